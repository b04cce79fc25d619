package boot

import (
	"context"
	"encoding/json"

	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/jobspec"
	"github.com/millrace/millrace/store"
)

// scheduled makes the jobs that schedules keep: read as a request would be, checked as one.
type scheduled struct{ dispatcher *dispatch.Dispatcher }

// Prepare implements scheduler.Jobs.
func (s scheduled) Prepare(ctx context.Context, tenant string, raw json.RawMessage) (store.NewJob, error) {
	spec, err := jobspec.Decode(raw, tenant)
	if err != nil {
		return store.NewJob{}, err
	}
	return s.dispatcher.Prepare(ctx, spec)
}

// Room implements scheduler.Jobs.
func (s scheduled) Room() error { return s.dispatcher.Room() }
