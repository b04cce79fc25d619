package worker_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/internal/worker"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/tasks"
)

// roomy is a worker with a budget of 100 bytes whose jobs reserve as many as their priority stands for, and end when they may.
type roomy struct {
	*fixture
	end     func()        // large jobs
	free    chan struct{} // closed by end
	running atomic.Int64  // large jobs that have their memory
	delay   atomic.Int64  // of the latest job that was put back
}

// watched tells what the worker says of jobs that it puts back.
type watched struct {
	store.WorkerLedger
	delay *atomic.Int64
}

func (l watched) Finish(ctx context.Context, outcomes []store.Outcome) ([]bool, error) {
	for _, o := range outcomes {
		if o.Kind == store.OutcomeReleased {
			l.delay.Store(int64(o.Delay))
		}
	}
	return l.WorkerLedger.Finish(ctx, outcomes)
}

// What jobs ask for.
const (
	tiny, middle, large = 5, 40, 80
)

func newRoomy(t *testing.T) *roomy {
	r := &roomy{free: make(chan struct{})}
	r.end = sync.OnceFunc(func() { close(r.free) })
	r.fixture = newFixture(t, func(ctx context.Context, call *tasks.Call) (any, error) {
		size := map[string]int64{"tiny": tiny, "middle": middle, "large": large}[call.Inputs()[0].Name]
		if err := write(ctx, call, "before.txt", "made before the memory was asked for"); err != nil {
			return nil, err
		}
		release, err := call.Reserve(ctx, size)
		if err != nil {
			return nil, err
		}
		defer release()
		if size == large {
			r.running.Add(1)
			defer r.running.Add(-1)
			select {
			case <-r.free:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return nil, nil
	}, func(c *worker.Config) {
		c.Budget, c.Chance, c.Ledger = 100, func() float64 { return 0 }, watched{c.Ledger, &r.delay}
	})
	t.Cleanup(r.end)
	return r
}

func (r *roomy) add(t *testing.T, size string) string {
	t.Helper()
	input := r.File(size, []byte("input"))
	return r.submit(t, func(j *millrace.Job) { j.Inputs = []millrace.Input{{File: input.ID}} }).ID
}

// released waits until the job was put back n times.
func (r *roomy) released(id string, n int) *millrace.Job {
	return r.Await(id, "put back for want of memory", func(j *millrace.Job) bool {
		return j.State == millrace.Queued && len(j.Attempts) == n && j.Attempts[n-1].Outcome == millrace.AttemptReleased
	})
}

// again puts the job back so often that room will be kept for it.
func (r *roomy) again(t *testing.T, id string) {
	t.Helper()
	r.released(id, 1)
	for n := 2; n <= 3; n++ {
		r.send(t, id)
		r.released(id, n)
	}
}

func TestJobWithoutRoomIsPutBack(t *testing.T) {
	t.Parallel()
	r := newRoomy(t)
	first := r.add(t, "large")
	testrig.Eventually(t, "the first job to have its memory", func() bool { return r.running.Load() == 1 })
	second := r.add(t, "large")
	job := r.released(second, 1)
	if a := job.Attempts[0]; job.Attempt != 0 || a.Spent || a.Error == nil || a.Error.Code != millrace.CodeUnavailable || !a.Error.Retryable {
		t.Errorf("attempt %d, history %+v with %+v, want none spent and the reason told", job.Attempt, a, a.Error)
	}
	if r.delay.Load() != int64(750*time.Millisecond) {
		t.Errorf("due again in %v, want a second less a quarter, as chance has it", time.Duration(r.delay.Load()))
	}
	// Its slot is free: there are two, and the first job has the other.
	r.await(r.add(t, "tiny"), millrace.Succeeded)
	r.end()
	r.await(first, millrace.Succeeded)
	r.send(t, second)
	if job := r.await(second, millrace.Succeeded); job.Attempt != 1 || job.Error != nil || len(job.Outputs) != 1 {
		t.Errorf("job = %+v, want one attempt, one output and no error", job)
	}
}

func TestRoomIsKept(t *testing.T) {
	t.Parallel()
	r := newRoomy(t)
	r.add(t, "large")
	testrig.Eventually(t, "the first job to have its memory", func() bool { return r.running.Load() == 1 })
	second := r.add(t, "large")
	r.again(t, second)
	r.send(t, second)
	r.await(second, millrace.Running)
	// It waits without a slot, and its room is not given to what would fit otherwise.
	third := r.add(t, "middle")
	r.released(third, 1)
	r.await(r.add(t, "tiny"), millrace.Succeeded)
	if job := r.Job(second); job.State != millrace.Running || len(job.Attempts) != 4 && len(job.Attempts) != 3 {
		t.Errorf("state %s with %d attempts, want it to wait in the worker", job.State, len(job.Attempts))
	}
	r.end()
	if job := r.await(second, millrace.Succeeded); job.Attempt != 1 || len(job.Outputs) != 1 {
		t.Errorf("attempt %d with %d outputs, want one and one", job.Attempt, len(job.Outputs))
	}
	r.send(t, third)
	r.await(third, millrace.Succeeded)
}

func TestWaitForRoomEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, r *roomy, id string)
		want millrace.State
	}{
		{"canceled", func(t *testing.T, r *roomy, id string) {
			if _, err := r.Ledger.Cancel(t.Context(), millrace.DefaultTenant, id); err != nil {
				t.Fatal(err)
			}
		}, millrace.Canceled},
		{"drained", func(_ *testing.T, r *roomy, _ string) { r.end(); r.stop() }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRoomy(t)
			r.add(t, "large")
			testrig.Eventually(t, "the first job to have its memory", func() bool { return r.running.Load() == 1 })
			id := r.add(t, "large")
			r.again(t, id)
			r.send(t, id)
			r.await(id, millrace.Running)
			tt.end(t, r, id)
			if tt.want != "" {
				r.await(id, tt.want)
				return
			}
			if job := r.Job(id); job.State != millrace.Queued && job.State != millrace.Succeeded {
				t.Errorf("state %s after the drain, want queued or succeeded", job.State)
			}
		})
	}
}

func TestReservedMemoryIsTold(t *testing.T) {
	t.Parallel()
	r := newRoomy(t)
	testrig.Eventually(t, "the worker to register", func() bool {
		workers, err := r.Ledger.Workers(t.Context())
		return err == nil && len(workers) == 1 && workers[0].MemoryBudget == 100 // from the beginning
	})
	id := r.add(t, "large")
	used := func(want int64) func() bool {
		return func() bool {
			workers, err := r.Ledger.Workers(t.Context())
			return err == nil && len(workers) == 1 && workers[0].MemoryUsed == want && workers[0].MemoryBudget == 100
		}
	}
	testrig.Eventually(t, "the ledger to know what is used", used(large))
	r.end()
	r.await(id, millrace.Succeeded)
	testrig.Eventually(t, "the ledger to know what is free", used(0))
}
