package scheduler_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/scheduler"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store"
)

func TestSilentWorkersJobRunsAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	job := f.submit()
	silent := f.worker()
	first := f.claim(silent, job.ID)
	if first.Attempt != 1 {
		t.Fatalf("first claim: attempt %d, want 1", first.Attempt)
	}
	stop := f.lead(func(c *scheduler.Config) { c.Silence = 50 * time.Millisecond })
	back := f.Await(job.ID, "put back", func(j *millrace.Job) bool { return j.State == millrace.Queued })
	stop()
	if back.Attempt != 0 || back.WorkerID != "" || back.Fence == first.Fence || back.Crashes != 0 {
		t.Errorf("after the rescue: attempt %d, worker %q, fence %d (was %d), crashes %d", back.Attempt, back.WorkerID, back.Fence, first.Fence, back.Crashes)
	}
	if f.finish(first, store.OutcomeSucceeded, millrace.AttemptSucceeded) {
		t.Error("the dead worker's outcome became the job's")
	}
	second := f.claim(f.worker(), job.ID)
	if second.Attempt != 1 || second.Starts != 2 {
		t.Errorf("second claim: attempt %d, start %d; want attempt 1, start 2", second.Attempt, second.Starts)
	}
	if !f.finish(second, store.OutcomeSucceeded, millrace.AttemptSucceeded) {
		t.Error("the second attempt's outcome was refused")
	}
	done := f.Job(job.ID)
	if done.State != millrace.Succeeded || len(done.Attempts) != 2 || done.Attempts[0].Spent || done.Attempts[0].Outcome != millrace.AttemptReleased {
		t.Errorf("job = %s, attempts %+v", done.State, done.Attempts)
	}
}

func TestBeatingWorkerIsLeftAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	job := f.submit()
	worker := f.worker()
	attempt := f.claim(worker, job.ID)
	f.Go(func(ctx context.Context) error {
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return nil
			case <-tick.C:
				_, _ = f.Ledger.Beat(ctx, store.Beat{Worker: worker, Running: []store.Holding{{Job: job.ID, Fence: attempt.Fence}}})
			}
		}
	})
	ledger := &faultyLedger{Ledger: f.Ledger}
	f.lead(func(c *scheduler.Config) { c.Ledger, c.Silence, c.Unclaimed = ledger, 20*time.Second, time.Millisecond })
	testrig.Eventually(t, "some rounds", func() bool { return ledger.rescues.Load() >= 3 })
	if now := f.Job(job.ID); now.State != millrace.Running || now.Fence != attempt.Fence {
		t.Errorf("job = %s, fence %d; want it still running under fence %d", now.State, now.Fence, attempt.Fence)
	}
}

func TestOverdueCancelIsForced(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	job := f.submit()
	attempt := f.claim(f.worker(), job.ID)
	if _, err := f.Ledger.Cancel(t.Context(), job.Tenant, job.ID); err != nil {
		t.Fatal(err)
	}
	if now := f.Job(job.ID); now.State != millrace.Running {
		t.Fatalf("state after the request to cancel = %s, want running until the owner answers", now.State)
	}
	f.lead(func(c *scheduler.Config) { c.CancelGrace = time.Millisecond })
	f.Await(job.ID, "canceled", func(j *millrace.Job) bool { return j.State == millrace.Canceled })
	if f.finish(attempt, store.OutcomeSucceeded, millrace.AttemptSucceeded) {
		t.Error("the outcome of an attempt that was taken away became the job's")
	}
}

// A worker that hangs between taking a delivery and claiming the job holds it in the queue, where asynq refuses a second copy of that name.
func TestDeliveryThatNobodyClaimsIsSentAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.refill()
	job := f.submit()
	worker := f.worker()
	release := make(chan struct{})
	var deliveries, claimed atomic.Int64
	f.Go(func(ctx context.Context) error {
		return f.Queue.Serve(ctx, queue.ServeConfig{Pool: millrace.CPU, Slots: 2, Drain: time.Second, Handler: func(ctx context.Context, d queue.Task) error {
			if deliveries.Add(1) == 1 {
				<-release
				return nil
			}
			got, err := f.Ledger.Claim(ctx, worker, []store.Delivery{{Job: d.Job, Fence: d.Fence}})
			if err == nil && got[0].Job != nil {
				claimed.Add(1)
				_, err = f.Ledger.Finish(ctx, []store.Outcome{{Job: d.Job, Tenant: job.Tenant, Fence: got[0].Job.Fence, Kind: store.OutcomeSucceeded,
					Attempt: millrace.AttemptSucceeded}})
			}
			return err
		}})
	})
	t.Cleanup(func() { close(release) }) // before the server's own end, which waits for the handler
	testrig.Eventually(t, "the first delivery", func() bool { return deliveries.Load() == 1 })
	f.lead(func(c *scheduler.Config) { c.Unclaimed = 10 * time.Millisecond })
	f.Await(job.ID, "done by the second delivery", func(j *millrace.Job) bool { return j.State == millrace.Succeeded })
	if n := claimed.Load(); n != 1 {
		t.Errorf("%d deliveries were claimed, want 1", n)
	}
}

// The same for a worker that died there: its entry stays in the list of what is active.
func TestDeliveryOfADeadWorkerIsSentAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.refill()
	job := f.submit()
	testrig.Eventually(t, "the job in the queue", func() bool { return f.waiting() == 1 })
	f.must(f.Redis.RPopLPush(t.Context(), "asynq:{cpu.normal}:pending", "asynq:{cpu.normal}:active").Err())
	f.lead(func(c *scheduler.Config) { c.Unclaimed = 10 * time.Millisecond })
	testrig.Eventually(t, "the job in the queue again", func() bool { return f.waiting() == 1 })
	if now := f.Job(job.ID); now.Fence <= job.Fence || now.State != millrace.Queued {
		t.Errorf("job = %s, fence %d; want queued under a fence above %d", now.State, now.Fence, job.Fence)
	}
}

func TestClaimedDeliveryKeepsItsFence(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.refill()
	job := f.submit()
	testrig.Eventually(t, "the job in the queue", func() bool { return f.waiting() == 1 })
	f.must(f.Redis.RPopLPush(t.Context(), "asynq:{cpu.normal}:pending", "asynq:{cpu.normal}:active").Err())
	attempt := f.claim(f.worker(), job.ID)
	ledger := &faultyLedger{Ledger: f.Ledger}
	f.lead(func(c *scheduler.Config) { c.Ledger, c.Unclaimed = ledger, time.Millisecond })
	testrig.Eventually(t, "some rounds", func() bool { return ledger.rescues.Load() >= 4 })
	if now := f.Job(job.ID); now.Fence != attempt.Fence || f.waiting() != 0 {
		t.Errorf("fence = %d with %d in the queue, want %d and none", now.Fence, f.waiting(), attempt.Fence)
	}
}

// A delivery that no worker could take ends in the queue's archive, which refuses a second copy of that name: refilling alone never brings it back.
func TestDeliveryThatTheQueueGaveUpIsSentAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	failed, stuck := f.submit(), f.submit()
	worker := f.worker()
	stop := f.Go(func(ctx context.Context) error {
		return f.Queue.Serve(ctx, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: func(_ context.Context, d queue.Task) error {
			if d.Job == failed.ID {
				f.finish(f.claim(worker, failed.ID), store.OutcomeFailed, millrace.AttemptError)
			}
			return queue.Final(errors.New("given up"))
		}})
	})
	f.refill()
	testrig.Eventually(t, "both in the archive", func() bool {
		archived, err := f.Queue.Archived(t.Context())
		f.must(err)
		return len(archived) == 2
	})
	stop()
	end := f.Job(failed.ID)
	if end.State != millrace.Failed {
		t.Fatalf("state of the failed job = %s", end.State)
	}
	if err := f.leader().Do(t.Context(), "find deliveries that were given up"); err != nil {
		t.Fatal(err)
	}
	testrig.Eventually(t, "the unfinished job in the queue again", func() bool { return f.waiting() == 1 })
	if now := f.Job(failed.ID); now.State != millrace.Failed || now.Fence != end.Fence {
		t.Errorf("the failed job = %s, fence %d; want it left as it was, fence %d", now.State, now.Fence, end.Fence)
	}
	if now := f.Job(stuck.ID); now.State != millrace.Queued || now.Fence <= stuck.Fence {
		t.Errorf("the other = %s, fence %d; want queued under a fence above %d", now.State, now.Fence, stuck.Fence)
	}
}
