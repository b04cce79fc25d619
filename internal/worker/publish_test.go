package worker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/worker"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/tasks"
)

// slowPublish answers for a blob only after the worker has beaten twice meanwhile.
type slowPublish struct {
	store.WorkerLedger
	beats chan struct{}
	still atomic.Bool // no beat came
}

func (l *slowPublish) Beat(ctx context.Context, b store.Beat) (store.BeatReply, error) {
	select {
	case l.beats <- struct{}{}:
	default:
	}
	return l.WorkerLedger.Beat(ctx, b)
}

func (l *slowPublish) TakeBlob(ctx context.Context, tenant, sha256 string) (string, bool, error) {
	for range 3 { // the first may have begun before
		select {
		case <-l.beats:
		case <-time.After(20 * time.Second):
			l.still.Store(true)
			return "", false, errAway
		}
	}
	return l.WorkerLedger.TakeBlob(ctx, tenant, sha256)
}

// A store that takes long to publish an output must not keep the process from saying that it lives: it would be buried in the middle.
func TestPublishingHoldsUpNoBeat(t *testing.T) {
	t.Parallel()
	ledger := &slowPublish{beats: make(chan struct{}, 1)}
	f := newFixture(t, func(ctx context.Context, call *tasks.Call) (any, error) {
		return nil, write(ctx, call, "out.txt", "flour")
	},
		func(c *worker.Config) { ledger.WorkerLedger, c.Ledger = c.Ledger, ledger })
	id := f.submit(t).ID
	f.await(id, millrace.Succeeded)
	if ledger.still.Load() {
		t.Error("the process did not beat while it published")
	}
}
