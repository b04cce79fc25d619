//go:build !linux

package supervise_test

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/supervise"
)

const deathSignal = false

func orphan(in *supervise.Inherited) int {
	ctx, cancel := in.Lifeline(context.Background(), time.Hour)
	defer cancel()
	in.Ready()
	<-ctx.Done()
	return 0
}
