package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/internal/worker"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/blob"
	"github.com/millrace/millrace/tasks"
)

// params of the test's task type: none.
type params struct{}

// fixture is a worker process on real stores whose one task type does what a test says.
type fixture struct {
	*testrig.Rig
	worker *worker.Worker
	stop   func()

	mu     sync.Mutex
	work   func(ctx context.Context, call *tasks.Call) (any, error)
	events []notify.Event
}

// Publish implements worker.Publisher.
func (f *fixture) Publish(_ context.Context, events []notify.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, events...)
}

type change func(*worker.Config)

func newFixture(t *testing.T, work func(ctx context.Context, call *tasks.Call) (any, error), changes ...change) *fixture {
	t.Helper()
	f := &fixture{Rig: testrig.New(t), work: work}
	bound := tasks.Bind(tasks.Declaration[params]{Name: "test.work", Title: "Work", Version: "1", Pool: millrace.CPU},
		func(ctx context.Context, call *tasks.Call, _ params) (any, error) { return f.work(ctx, call) })
	types, err := tasks.NewList(bound)
	if err != nil {
		t.Fatal(err)
	}
	c := worker.Config{Ledger: f.Ledger, Queue: f.Queue, Blobs: f.Blobs, Types: types, Events: f, Log: f.Log, Grace: 10 * time.Second,
		Self: millrace.Worker{Host: "test", BootID: "boot", PID: 1, Role: "worker", CPUSlots: 2}}
	for _, change := range changes {
		change(&c)
	}
	f.worker = worker.New(c)
	f.stop = f.Go(f.worker.Run)
	return f
}

// submit puts a job into the ledger and the queue.
func (f *fixture) submit(t *testing.T, changes ...func(*millrace.Job)) *millrace.Job {
	t.Helper()
	input := f.File("in.txt", []byte("input"))
	job := &millrace.Job{ID: uuid.Must(uuid.NewV7()).String(), Tenant: millrace.DefaultTenant, Type: "test.work", State: millrace.Queued,
		Priority: millrace.Normal, Queue: "cpu.normal", Params: json.RawMessage(`{}`), Inputs: []millrace.Input{{File: input.ID}}, Run: 1,
		MaxAttempts: 3, Timeout: time.Minute, Retention: time.Hour, CreatedAt: time.Now(),
		Backoff: millrace.Backoff{Initial: time.Millisecond, Max: time.Second, Factor: 2}}
	for _, change := range changes {
		change(job)
	}
	for _, err := range f.Ledger.Insert(t.Context(), []store.NewJob{{Job: job}}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	f.send(t, job.ID)
	return job
}

// send enqueues a job under its present fence.
func (f *fixture) send(t *testing.T, id string) {
	t.Helper()
	job := f.Job(id)
	for _, err := range f.Queue.Enqueue(t.Context(), []queue.Task{{Job: job.ID, Fence: job.Fence, Type: job.Type, Queue: job.Queue}}) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (f *fixture) await(id string, state millrace.State) *millrace.Job {
	return f.Await(id, "state "+string(state), func(j *millrace.Job) bool { return j.State == state })
}

// blobs lists the published keys.
func (f *fixture) blobs(t *testing.T) []string {
	t.Helper()
	var keys []string
	err := f.Blobs.Keys(t.Context(), time.Now().Add(time.Hour), func(key string) error {
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func write(ctx context.Context, call *tasks.Call, name, text string) error {
	w, err := call.Create(ctx, name)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	return w.Close()
}

func TestAttemptSucceeds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(ctx context.Context, call *tasks.Call) (any, error) {
		in, err := call.Open(ctx, 0)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		text, err := io.ReadAll(in)
		if err != nil {
			return nil, err
		}
		call.Progress(5, 5, "bytes", "")
		return map[string]int{"n": len(text)}, write(ctx, call, "out.txt", string(text)+"!")
	})
	job := f.await(f.submit(t).ID, millrace.Succeeded)
	if string(job.Result) != `{"n":5}` || len(job.Outputs) != 1 || job.Attempt != 1 || job.Progress.Done != 5 {
		t.Fatalf("job = %+v", job)
	}
	out := job.Outputs[0]
	if out.Name != "out.txt" || out.Size != 6 || out.ContentType != "text/plain; charset=utf-8" {
		t.Errorf("output = %+v", out)
	}
	file, err := f.Ledger.File(t.Context(), job.Tenant, out.File)
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Blobs.Open(t.Context(), file.Blob)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if text, err := io.ReadAll(r); err != nil || string(text) != "input!" {
		t.Errorf("output holds %q, %v", text, err)
	}
	testrig.Eventually(t, "watchers to hear of the end", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.events) > 0 && f.events[len(f.events)-1].State == millrace.Succeeded
	})
}

func TestAttemptFailsForGood(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(ctx context.Context, call *tasks.Call) (any, error) {
		return nil, errors.Join(write(ctx, call, "half.txt", "half"), millrace.BadInput(millrace.CodeCorrupt, "the input is broken"))
	})
	job := f.await(f.submit(t).ID, millrace.Failed)
	if job.Attempt != 1 || job.Error == nil || job.Error.Code != millrace.CodeCorrupt || job.Error.Retryable || len(job.Outputs) != 0 {
		t.Errorf("job = %+v, error %+v", job, job.Error)
	}
	if n := len(f.blobs(t)); n != 1 {
		t.Errorf("%d blobs are left, want the input's only", n)
	}
}

func TestTransientErrorIsTriedAgain(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	f := newFixture(t, func(ctx context.Context, call *tasks.Call) (any, error) {
		if calls.Add(1) == 1 {
			return nil, errors.New("secret detail of the server")
		}
		return nil, nil
	})
	id := f.submit(t).ID
	job := f.await(id, millrace.Retrying)
	if job.Error == nil || job.Error.Code != millrace.CodeInternal || !job.Error.Retryable || job.Error.Message == "secret detail of the server" {
		t.Errorf("error = %+v, want internal, retryable, without the server's own words", job.Error)
	}
	f.send(t, id)
	job = f.await(id, millrace.Succeeded)
	if job.Attempt != 2 || len(job.Attempts) != 2 || !job.Attempts[0].Spent || job.Attempts[0].Outcome != millrace.AttemptError {
		t.Errorf("attempt %d, history %+v", job.Attempt, job.Attempts)
	}
}

func TestAttemptsRunOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(context.Context, *tasks.Call) (any, error) { panic("boom") })
	id := f.submit(t, func(j *millrace.Job) { j.MaxAttempts = 2 }).ID
	f.await(id, millrace.Retrying)
	f.send(t, id)
	if job := f.await(id, millrace.Failed); job.Attempt != 2 || job.Error.Code != millrace.CodeInternal {
		t.Errorf("job = %+v, error %+v", job, job.Error)
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(ctx context.Context, _ *tasks.Call) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	job := f.await(f.submit(t, func(j *millrace.Job) { j.Timeout, j.MaxAttempts = 20*time.Millisecond, 1 }).ID, millrace.Failed)
	if job.Error.Code != millrace.CodeTimeout || job.Attempts[0].Outcome != millrace.AttemptTimeout || !job.Attempts[0].Spent {
		t.Errorf("error %+v, history %+v", job.Error, job.Attempts)
	}
}

func TestCancelRunning(t *testing.T) {
	t.Parallel()
	for _, quick := range []bool{true, false} {
		f := newFixture(t, func(ctx context.Context, call *tasks.Call) (any, error) {
			in, err := call.Open(ctx, 0)
			if err != nil {
				return nil, err
			}
			defer in.Close()
			<-ctx.Done()
			_, err = in.Read(make([]byte, 1)) // reads fail by themselves once the context has ended
			return nil, err
		})
		id := f.submit(t).ID
		f.await(id, millrace.Running)
		if _, err := f.Ledger.Cancel(t.Context(), millrace.DefaultTenant, id); err != nil {
			t.Fatal(err)
		}
		if quick {
			f.worker.Cancel(id) // otherwise the beat brings the word
		}
		job := f.await(id, millrace.Canceled)
		if job.Attempt != 0 || job.Attempts[0].Outcome != millrace.AttemptCanceled {
			t.Errorf("quick %v: attempt %d, history %+v", quick, job.Attempt, job.Attempts)
		}
		f.stop()
	}
}

func TestDrainGivesWorkBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(ctx context.Context, _ *tasks.Call) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}, func(c *worker.Config) { c.Grace = 50 * time.Millisecond })
	id := f.submit(t).ID
	f.await(id, millrace.Running)
	f.stop()
	job := f.Job(id)
	if job.State != millrace.Queued || job.Attempt != 0 || job.Attempts[0].Outcome != millrace.AttemptReleased || job.Attempts[0].Spent {
		t.Errorf("after the drain: state %s, attempt %d, history %+v", job.State, job.Attempt, job.Attempts)
	}
	workers, err := f.Ledger.Workers(t.Context())
	if err != nil || len(workers) != 0 {
		t.Errorf("workers after the drain = %+v, %v", workers, err)
	}
}

func TestDrainLetsWorkFinish(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	f := newFixture(t, func(ctx context.Context, _ *tasks.Call) (any, error) {
		select {
		case <-release:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	id := f.submit(t).ID
	f.await(id, millrace.Running)
	stopped := make(chan struct{})
	go func() { defer close(stopped); f.stop() }()
	close(release)
	<-stopped
	if job := f.Job(id); job.State != millrace.Succeeded {
		t.Errorf("state after the drain = %s, want succeeded", job.State)
	}
}

func TestStaleAttemptChangesNothing(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var calls atomic.Int64
	f := newFixture(t, func(ctx context.Context, call *tasks.Call) (any, error) {
		if calls.Add(1) == 1 {
			<-release // deaf to its context, as most codecs are
			return "stale", nil
		}
		return "fresh", write(context.WithoutCancel(ctx), call, "fresh.txt", "fresh")
	})
	id := f.submit(t).ID
	first := f.await(id, millrace.Running)
	if err := f.Ledger.Bury(t.Context(), first.WorkerID, store.Death{Crash: true}); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Ledger.Rescue(t.Context()); n != 1 || err != nil {
		t.Fatalf("Rescue = %d, %v", n, err)
	}
	f.send(t, id)
	// The buried process notices, takes a new identity, and may work again.
	f.await(id, millrace.Succeeded)
	close(release)
	f.stop()
	job := f.Job(id)
	if string(job.Result) != `"fresh"` || job.Attempt != 1 || job.Crashes != 1 || len(job.Outputs) != 1 {
		t.Errorf("job = %+v, want the fresh attempt's outcome alone", job)
	}
	if second := job.Attempts[1].Worker; second == first.WorkerID {
		t.Error("the buried worker worked on under its old id")
	}
}

func TestSlotsBoundWhatRuns(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int64
	f := newFixture(t, func(ctx context.Context, _ *tasks.Call) (any, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-time.After(20 * time.Millisecond)
		return nil, nil
	})
	var ids []string
	for range 12 {
		ids = append(ids, f.submit(t).ID)
	}
	for _, id := range ids {
		f.await(id, millrace.Succeeded)
	}
	if most.Load() != 2 {
		t.Errorf("%d handlers at once, want 2", most.Load())
	}
}

func TestMemoryBudget(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(ctx context.Context, call *tasks.Call) (any, error) {
		release, err := call.Reserve(ctx, 1<<30)
		if err == nil {
			release()
		}
		return nil, err
	}, func(c *worker.Config) { c.Budget = 1 << 20 })
	if job := f.await(f.submit(t).ID, millrace.Failed); job.Error.Code != millrace.CodeTooLarge || job.Attempt != 1 {
		t.Errorf("error = %+v after %d attempts, want too_large after one", job.Error, job.Attempt)
	}
}

func TestDeletedInputBytes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(ctx context.Context, call *tasks.Call) (any, error) {
		_, err := call.Open(ctx, 0)
		return nil, err
	})
	for _, key := range f.blobs(t) {
		_ = f.Blobs.Remove(t.Context(), key)
	}
	input := f.File("gone.txt", []byte("gone"))
	if err := f.Blobs.Remove(t.Context(), input.Blob); err != nil {
		t.Fatal(err)
	}
	id := f.submit(t, func(j *millrace.Job) { j.Inputs[0].File, j.MaxAttempts = input.ID, 1 }).ID
	if job := f.await(id, millrace.Failed); job.Error.Code != millrace.CodeInputFailed {
		t.Errorf("error = %+v, want input_failed", job.Error)
	}
	if _, err := f.Blobs.Open(t.Context(), input.Blob); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Open of a removed blob = %v", err)
	}
}
