package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/internal/worker"
	"github.com/millrace/millrace/store/blob"
	"github.com/millrace/millrace/tasks"
)

func TestDeadlineEndsTheAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(ctx context.Context, _ *tasks.Call) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	deadline := time.Now().Add(2 * time.Second).Truncate(time.Second).Add(time.Second)
	job := f.await(f.submit(t, func(j *millrace.Job) { j.Deadline = deadline }).ID, millrace.Failed)
	if job.Error.Code != millrace.CodeTimeout || job.Error.Retryable || !strings.Contains(job.Error.Message, deadline.UTC().Format(time.RFC3339)) {
		t.Errorf("error = %+v, want a final timeout that names %s", job.Error, deadline.UTC().Format(time.RFC3339))
	}
	if job.Attempt != 1 || job.Attempts[0].Outcome != millrace.AttemptTimeout {
		t.Errorf("attempt %d, history %+v", job.Attempt, job.Attempts)
	}
}

func TestRetryAfterTheDeadlineFailsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(context.Context, *tasks.Call) (any, error) { return nil, errors.New("passes") })
	deadline := time.Now().Add(time.Minute)
	job := f.await(f.submit(t, func(j *millrace.Job) {
		j.Deadline, j.Backoff = deadline, millrace.Backoff{Initial: time.Hour, Max: time.Hour, Factor: 2}
	}).ID, millrace.Failed)
	if job.Error.Code != millrace.CodeTimeout || !strings.Contains(job.Error.Message, deadline.UTC().Format(time.RFC3339)) {
		t.Errorf("error = %+v, want a timeout that names the deadline", job.Error)
	}
	if job.Attempt != 1 || job.Attempts[0].Outcome != millrace.AttemptError {
		t.Errorf("attempt %d, history %+v", job.Attempt, job.Attempts)
	}
}

func TestDeadlineFarAwayChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(ctx context.Context, _ *tasks.Call) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	job := f.await(f.submit(t, func(j *millrace.Job) {
		j.Deadline, j.Timeout, j.MaxAttempts = time.Now().Add(time.Hour), 20*time.Millisecond, 1
	}).ID, millrace.Failed)
	if !strings.Contains(job.Error.Message, "20ms") {
		t.Errorf("error = %+v, want that of the timeout", job.Error)
	}
}

// fullDisk is a blob store whose writers find no room.
type fullDisk struct {
	blob.Store
	full atomic.Bool
}

func (d *fullDisk) Create(ctx context.Context) (blob.Writer, error) {
	w, err := d.Store.Create(ctx)
	if err == nil && d.full.Load() {
		w = fullWriter{w}
	}
	return w, err
}

type fullWriter struct{ blob.Writer }

func (fullWriter) Write([]byte) (int, error) { return 0, fmt.Errorf("write blob: %w", blob.ErrFull) }

func TestFullDiskSpendsNothing(t *testing.T) {
	t.Parallel()
	for where, fault := range map[string]error{"output": blob.ErrFull, "temporary file": syscall.ENOSPC, "sync": syscall.EIO} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			disk := &fullDisk{}
			disk.full.Store(true)
			f := newFixture(t, func(ctx context.Context, call *tasks.Call) (any, error) {
				if where != "output" && disk.full.Load() {
					return nil, fmt.Errorf("on the disk: %w", fault)
				}
				return nil, write(ctx, call, "out.txt", "bytes")
			}, func(c *worker.Config) { disk.Store, c.Blobs = c.Blobs, disk })
			id := f.submit(t, func(j *millrace.Job) { j.MaxAttempts = 1 }).ID
			job := f.Await(id, "the job to be put back", func(j *millrace.Job) bool { return len(j.Attempts) == 1 && j.State == millrace.Queued })
			a := job.Attempts[0]
			if job.Attempt != 0 || a.Spent || a.Outcome != millrace.AttemptReleased || a.Error == nil || a.Error.Code != millrace.CodeUnavailable {
				t.Errorf("attempt %d, history %+v, want one released", job.Attempt, a)
			}
			owed, err := f.Ledger.Owed(t.Context(), map[string]int{"cpu.normal": 10})
			if err != nil || len(owed) != 0 {
				t.Errorf("Owed = %+v, %v, want nothing for some seconds", owed, err)
			}
			disk.full.Store(false)
			f.send(t, id)
			if job := f.await(id, millrace.Succeeded); job.Attempt != 1 || job.Error != nil || len(job.Outputs) != 1 {
				t.Errorf("job = %+v", job)
			}
		})
	}
}

func TestOutputThatNeverFitsFailsInTheEnd(t *testing.T) {
	t.Parallel()
	disk := &fullDisk{}
	disk.full.Store(true)
	f := newFixture(t, func(ctx context.Context, call *tasks.Call) (any, error) {
		return nil, write(ctx, call, "out.txt", "bytes")
	}, func(c *worker.Config) { disk.Store, c.Blobs = c.Blobs, disk })
	id := f.submit(t, func(j *millrace.Job) { j.MaxAttempts = 1 }).ID
	starts := 0
	var job *millrace.Job
	testrig.Eventually(t, "the job to fail", func() bool {
		job = f.Job(id)
		if job.State == millrace.Queued && job.Starts > starts {
			starts = job.Starts
			f.send(t, id) // its delay would be minutes
		}
		return job.State == millrace.Failed
	})
	if job.Error.Code != millrace.CodeUnavailable || job.Starts != 21 || job.Attempt != 1 {
		t.Errorf("error %+v after %d starts, %d spent; want unavailable after 20 for nothing and one that counts", job.Error, job.Starts, job.Attempt)
	}
}
