package worker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/worker"
	"github.com/millrace/millrace/tasks"
)

// one gives the process a single slot.
func one(c *worker.Config) { c.Self.CPUSlots = 1 }

func TestSlotIsFreeWhileTheOutcomeIsOnItsWay(t *testing.T) {
	t.Parallel()
	hold, second := make(chan struct{}), make(chan struct{})
	var calls atomic.Int64
	ledger := &faulty{finish: func(_ context.Context, finish func() ([]bool, error)) ([]bool, error) {
		<-hold
		return finish()
	}}
	f := newFixture(t, func(context.Context, *tasks.Call) (any, error) {
		if calls.Add(1) == 2 {
			close(second)
		}
		return nil, nil
	}, ledger.on, one)
	ids := []string{f.submit(t).ID, f.submit(t).ID}
	<-second // would never begin if the first outcome held the slot
	close(hold)
	for _, id := range ids {
		f.await(id, millrace.Succeeded)
	}
}

// In quarantine it must: what dies with a process is blamed for it.
func TestAloneHoldsItsSlotUntilTheOutcomeIsWritten(t *testing.T) {
	t.Parallel()
	var running atomic.Int64 // handlers and outcomes
	ledger := &faulty{finish: func(_ context.Context, finish func() ([]bool, error)) ([]bool, error) {
		defer running.Add(-1)
		return finish()
	}}
	f := newFixture(t, func(context.Context, *tasks.Call) (any, error) {
		if n := running.Add(1); n > 1 {
			t.Errorf("%d quarantined jobs at once", n)
		}
		return nil, nil
	}, ledger.on, func(c *worker.Config) { c.Alone = true })
	var ids []string
	for range 10 {
		ids = append(ids, f.submit(t, quarantined).ID)
	}
	for _, id := range ids {
		f.await(id, millrace.Succeeded)
	}
}

// waiting puts a job into the pool that claims ahead.
func waiting(j *millrace.Job) { j.Queue = "io.normal" }

// Short jobs are claimed ahead; when something long comes before them they are put back, unspent, and others may have them.
func TestJobsThatFindNoSlotArePutBack(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	var block atomic.Bool
	var calls atomic.Int64
	f := newFixture(t, func(ctx context.Context, _ *tasks.Call) (any, error) {
		if block.Load() && calls.Add(1) == 1 {
			select {
			case <-hold:
			case <-ctx.Done():
			}
		}
		return nil, nil
	}, func(c *worker.Config) { c.Self.IOSlots = 1 })
	for range 20 { // it learns that they are short
		f.await(f.submit(t, waiting).ID, millrace.Succeeded)
	}
	block.Store(true)
	var ids []string
	for range 8 {
		ids = append(ids, f.submit(t, waiting).ID)
	}
	f.Await(ids[7], "a job behind the long one to be put back", func(*millrace.Job) bool {
		for _, id := range ids {
			if j := f.Job(id); j.State == millrace.Queued && len(j.Attempts) == 1 {
				if a := j.Attempts[0]; a.Outcome != millrace.AttemptReleased || a.Spent || j.Attempt != 0 {
					t.Errorf("history %+v, attempt %d, want one released for nothing", a, j.Attempt)
				}
				return true
			}
		}
		return false
	})
	close(hold)
	for _, id := range ids {
		if f.Job(id).State == millrace.Queued {
			f.send(t, id)
		}
		if j := f.await(id, millrace.Succeeded); j.Attempt != 1 {
			t.Errorf("%d attempts spent, want 1", j.Attempt)
		}
	}
}

// A job that computes may be a thousand times as long as the one before it: none is claimed behind it, so none has to be put back.
func TestComputingJobsAreNotClaimedAhead(t *testing.T) {
	t.Parallel()
	hold, began := make(chan struct{}), make(chan struct{})
	var block atomic.Bool
	var calls atomic.Int64
	f := newFixture(t, func(context.Context, *tasks.Call) (any, error) {
		if block.Load() && calls.Add(1) == 1 {
			close(began)
			<-hold
		}
		return nil, nil
	}, one)
	for range 20 {
		f.await(f.submit(t).ID, millrace.Succeeded)
	}
	block.Store(true)
	var ids []string
	for range 8 {
		ids = append(ids, f.submit(t).ID)
	}
	<-began
	<-time.After(300 * time.Millisecond) // three times as long as a job claimed ahead waits for a slot
	close(hold)
	for _, id := range ids {
		if j := f.await(id, millrace.Succeeded); len(j.Attempts) != 1 {
			t.Errorf("history %+v, want one attempt", j.Attempts)
		}
	}
}
