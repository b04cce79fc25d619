package dispatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/cache"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/tasks"
)

// echoParams are the params of the test's own task type.
type echoParams struct {
	Word  string   `json:"word,omitempty"`
	Files []string `json:"files,omitempty"`
}

// refs are the files that the params speak of.
func (p echoParams) refs() []tasks.FileRef {
	var refs []tasks.FileRef
	for i, f := range p.Files {
		refs = append(refs, tasks.FileRef{File: f, Pointer: fmt.Sprintf("/params/files/%d", i)})
	}
	return refs
}

func echoType() tasks.Type {
	return tasks.Bind(tasks.Declaration[echoParams]{Name: "test.echo", Title: "Echo", Version: "1", Pool: millrace.IO, Pure: true, Refs: echoParams.refs},
		func(context.Context, *tasks.Call, echoParams) (any, error) { return nil, nil })
}

// silence is Signals that nobody hears.
type silence struct{}

func (silence) Cancel(context.Context, []string) {}

// brokenQueue is a queue whose enqueues fail until it is mended.
type brokenQueue struct {
	*queue.Queue
	mu     sync.Mutex
	broken bool
}

func (b *brokenQueue) set(broken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = broken
}

func (b *brokenQueue) Enqueue(ctx context.Context, group []queue.Task) []error {
	b.mu.Lock()
	broken := b.broken
	b.mu.Unlock()
	if !broken {
		return b.Queue.Enqueue(ctx, group)
	}
	errs := make([]error, len(group))
	for i := range errs {
		errs[i] = errors.New("redis is away")
	}
	return errs
}

type fixture struct {
	*testrig.Rig
	*dispatch.Dispatcher
	queue *brokenQueue
}

func newFixture(t *testing.T, window int) *fixture {
	t.Helper()
	rig := testrig.New(t)
	types, err := tasks.NewList(echoType())
	if err != nil {
		t.Fatal(err)
	}
	results := cache.New(cache.Config{Redis: rig.Redis, Name: "results", Log: rig.Log})
	q := &brokenQueue{Queue: rig.Queue}
	d := dispatch.New(dispatch.Config{Ledger: rig.Ledger, Queue: q, Signals: silence{}, Results: results, Types: types, Log: rig.Log,
		Window: window, Committers: 1})
	rig.Go(d.Run)
	return &fixture{Rig: rig, Dispatcher: d, queue: q}
}

func (f *fixture) spec(file string) dispatch.Spec {
	never := false
	return dispatch.Spec{Tenant: millrace.DefaultTenant, Type: "test.echo", Inputs: []millrace.Input{{File: file}}, Cache: &never}
}

// queued counts what is in the queue of the test's type.
func (f *fixture) queued(t *testing.T) int {
	t.Helper()
	depths, err := f.Queue.Depths(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return depths["io.normal"]
}

func TestSubmitCommitsThenSends(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	file := f.File("a", []byte("a"))
	job, err := f.Submit(t.Context(), f.spec(file.ID))
	if err != nil {
		t.Fatalf("Submit: %v", err)
	}
	got := f.Job(job.ID)
	if got.State != millrace.Queued || got.Queue != "io.normal" || got.MaxAttempts != dispatch.DefaultMaxAttempts || got.Timeout != dispatch.DefaultTimeout {
		t.Errorf("the ledger has %+v", got)
	}
	if diff := cmp.Diff(dispatch.DefaultBackoff(), got.Backoff); diff != "" {
		t.Errorf("backoff (-want +got):\n%s", diff)
	}
	testrig.Eventually(t, "the job in the queue", func() bool { return f.queued(t) == 1 })
}

func TestSubmitIsDurableWithoutTheQueue(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	file := f.File("a", []byte("a"))
	f.queue.set(true)
	job, err := f.Submit(t.Context(), f.spec(file.ID))
	if err != nil {
		t.Fatalf("Submit with Redis away: %v", err)
	}
	if got := f.Job(job.ID); got.State != millrace.Queued {
		t.Errorf("state = %s, want queued", got.State)
	}
	f.queue.set(false)
	f.Go(f.Refill)
	testrig.Eventually(t, "the refill to send what is owed", func() bool { return f.queued(t) == 1 })
}

func TestRefillKeepsToTheWindowAndSendsEverything(t *testing.T) {
	t.Parallel()
	const window, jobs = 20, 75
	f := newFixture(t, window)
	file := f.File("a", []byte("a"))
	want := make(map[string]bool)
	for range jobs {
		job, err := f.Submit(t.Context(), f.spec(file.ID))
		if err != nil {
			t.Fatal(err)
		}
		want[job.ID] = true
	}
	if n := f.queued(t); n > window {
		t.Errorf("%d tasks in the queue, the window is %d", n, window)
	}
	f.Go(f.Refill)
	var mu sync.Mutex
	most := 0
	f.Go(func(ctx context.Context) error {
		return f.Queue.Serve(ctx, queue.ServeConfig{Pool: millrace.IO, Slots: 2, Handler: func(ctx context.Context, task queue.Task) error {
			depths, err := f.Queue.Depths(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				most = max(most, depths["io.normal"])
			}
			_, err = f.Ledger.Cancel(ctx, millrace.DefaultTenant, task.Job) // ends the job, so that it is owed no more
			delete(want, task.Job)
			return err
		}})
	})
	testrig.Eventually(t, "every job delivered", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(want) == 0
	})
	if most > window {
		t.Errorf("up to %d tasks were in the queue, the window is %d", most, window)
	}
}

func TestScheduledJobGoesOutWhenDue(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	file := f.File("a", []byte("a"))
	f.Go(f.Refill)
	later, soon := f.spec(file.ID), f.spec(file.ID)
	later.RunAt, soon.Delay = time.Now().Add(time.Hour), 300*time.Millisecond
	a, err := f.Submit(t.Context(), later)
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Submit(t.Context(), soon)
	if err != nil {
		t.Fatal(err)
	}
	if a.State != millrace.Scheduled || b.State != millrace.Scheduled {
		t.Errorf("states = %s, %s, want scheduled", a.State, b.State)
	}
	testrig.Eventually(t, "the due job in the queue", func() bool { return f.queued(t) == 1 })
	if early := time.Until(b.RunAt); early > 0 {
		t.Errorf("the job was sent %v before it was due", early)
	}
}

func TestSubmitRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	file := f.File("a", []byte("a"))
	long := strings.Repeat("x", dispatch.MaxTagLength+1)
	minus := -time.Second
	for _, tt := range []struct {
		name    string
		change  func(*dispatch.Spec)
		pointer string
	}{
		{"unknown type", func(s *dispatch.Spec) { s.Type = "no.such" }, "/type"},
		{"unknown param", func(s *dispatch.Spec) { s.Params = json.RawMessage(`{"worl":1}`) }, "/params/worl"},
		{"wrong param", func(s *dispatch.Spec) { s.Params = json.RawMessage(`{"word":1}`) }, "/params/word"},
		{"no input", func(s *dispatch.Spec) { s.Inputs = nil }, "/input"},
		{"two inputs", func(s *dispatch.Spec) { s.Inputs = append(s.Inputs, s.Inputs[0]) }, "/input"},
		{"absent input", func(s *dispatch.Spec) { s.Inputs[0].File = "0193a8b0-0000-7000-8000-000000000000" }, "/input/file"},
		{"priority", func(s *dispatch.Spec) { s.Priority = "urgent" }, "/priority"},
		{"timeout", func(s *dispatch.Spec) { s.Timeout = 13 * time.Hour }, "/timeout"},
		{"negative timeout", func(s *dispatch.Spec) { s.Timeout = minus }, "/timeout"},
		{"attempts", func(s *dispatch.Spec) { s.MaxAttempts = -1 }, "/max_attempts"},
		{"negative delay", func(s *dispatch.Spec) { s.Delay = minus }, "/delay"},
		{"delay and run_at", func(s *dispatch.Spec) { s.Delay, s.RunAt = time.Second, time.Now() }, "/delay"},
		{"run_at in the far future", func(s *dispatch.Spec) { s.RunAt = time.Now().AddDate(5, 0, 0) }, "/run_at"},
		{"backoff", func(s *dispatch.Spec) { s.Backoff.Initial = &minus }, "/backoff/initial"},
		{"long tag", func(s *dispatch.Spec) { s.Tags = []string{"ok", long} }, "/tags/1"},
		{"tag twice", func(s *dispatch.Spec) { s.Tags = []string{"a", "a"} }, "/tags/1"},
		{"many tags", func(s *dispatch.Spec) { s.Tags = make([]string, 21) }, "/tags"},
		{"metadata no object", func(s *dispatch.Spec) { s.Metadata = json.RawMessage(`[1]`) }, "/metadata"},
		{"tag with NUL", func(s *dispatch.Spec) { s.Tags = []string{"a\x00"} }, "/tags/0"},
		{"metadata with NUL", func(s *dispatch.Spec) { s.Metadata = json.RawMessage(`{"a":"\u0000"}`) }, "/metadata"},
		{"params with NUL", func(s *dispatch.Spec) { s.Params = json.RawMessage(`{"word":"\\\u0000"}`) }, "/params"},
		{"metadata null", func(s *dispatch.Spec) { s.Metadata = json.RawMessage(`null`) }, "/metadata"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := f.spec(file.ID)
			tt.change(&spec)
			job, err := f.Submit(t.Context(), spec)
			e, ok := errors.AsType[*millrace.Error](err)
			if !ok || e.Kind != millrace.Invalid || len(e.Fields) == 0 || e.Fields[0].Pointer != tt.pointer {
				t.Errorf("Submit = %+v, %v, want Invalid at %s", job, err, tt.pointer)
			}
		})
	}
	jobs, err := f.Ledger.List(t.Context(), millrace.DefaultTenant, store.JobFilter{Limit: 10})
	if err != nil || len(jobs) != 0 {
		t.Errorf("the ledger has %d jobs after refusals (%v)", len(jobs), err)
	}
}

func TestCachedResultIsAJobOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	ctx := t.Context()
	a, b := f.File("a", []byte("same")), f.File("b", []byte("same"))
	spec := f.spec(a.ID)
	spec.Cache = nil
	first, err := f.Submit(ctx, spec)
	if err != nil || first.Cached {
		t.Fatalf("first Submit = %+v, %v", first, err)
	}
	f.succeed(t, first, `{"n":1}`)
	spec.Inputs[0].File = b.ID
	second, err := f.Submit(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	if !second.Cached || second.State != millrace.Succeeded || string(second.Result) != `{"n":1}` || second.ID == first.ID {
		t.Errorf("second = %+v, want the first one's result under an id of its own", second)
	}
	spec.Params = json.RawMessage(`{"word":"other"}`)
	if third, err := f.Submit(ctx, spec); err != nil || third.Cached {
		t.Errorf("other params: cached = %v, %v", third.Cached, err)
	}
	// An entry dies with its job, although the in-process copy is still there.
	if err := f.Delete(ctx, millrace.DefaultTenant, first.ID); err != nil {
		t.Fatal(err)
	}
	spec.Params = nil
	fourth, err := f.Submit(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	if fourth.Cached && string(fourth.Result) != `{"n":1}` {
		t.Errorf("fourth = %+v", fourth)
	}
}

// succeed does the work of a job by hand.
func (f *fixture) succeed(t *testing.T, job *millrace.Job, result string) {
	t.Helper()
	ctx := t.Context()
	worker := millrace.Worker{ID: "0193a8b0-0000-7000-8000-00000000aaaa", Role: "worker", Host: "h", BootID: "b"}
	if err := f.Ledger.Register(ctx, worker); err != nil {
		t.Fatal(err)
	}
	claimed, err := f.Ledger.Claim(ctx, worker.ID, []store.Delivery{{Job: job.ID, Fence: job.Fence}})
	if err != nil || claimed[0].Job == nil {
		t.Fatalf("Claim = %+v, %v", claimed, err)
	}
	won, err := f.Ledger.Finish(ctx, []store.Outcome{{Job: job.ID, Tenant: job.Tenant, Fence: claimed[0].Job.Fence, Kind: store.OutcomeSucceeded,
		Attempt: millrace.AttemptSucceeded, Result: json.RawMessage(result)}})
	if err != nil || !won[0] {
		t.Fatalf("Finish = %v, %v", won, err)
	}
}

func TestManyCallersShareCommits(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	file := f.File("a", []byte("a"))
	var callers sync.WaitGroup
	var mu sync.Mutex
	ids := make(map[string]bool)
	for range 64 {
		callers.Go(func() {
			for range 10 {
				job, err := f.Submit(t.Context(), f.spec(file.ID))
				if err != nil {
					t.Errorf("Submit: %v", err)
					return
				}
				mu.Lock()
				ids[job.ID] = true
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	if len(ids) != 640 {
		t.Errorf("%d ids for 640 jobs", len(ids))
	}
	testrig.Eventually(t, "all in the queue", func() bool { return f.queued(t) == 640 })
}

func TestOneBadNeighbourFailsAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	file := f.File("a", []byte("a"))
	var callers sync.WaitGroup
	for i := range 40 {
		callers.Go(func() {
			id, bad := file.ID, i%10 == 0
			if bad {
				id = fmt.Sprintf("0193a8b0-0000-7000-8000-%012d", i)
			}
			_, err := f.Submit(t.Context(), f.spec(id))
			if bad != (err != nil) {
				t.Errorf("Submit with input %s: %v", id, err)
			}
		})
	}
	callers.Wait()
}

// TestPrepare makes the row that a scheduler commits with its tick.
func TestPrepare(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	file := f.File("a", []byte("a"))
	spec := dispatch.Spec{Tenant: millrace.DefaultTenant, Type: "test.echo", Inputs: []millrace.Input{{File: file.ID}}, Schedule: "nightly",
		Unique: &millrace.Unique{Key: "one at a time"}}
	row, err := f.Prepare(t.Context(), spec)
	if err != nil || row.State != millrace.Queued || row.Schedule != "nightly" || row.Unique.Key != "one at a time" || row.CacheKey == "" || row.DispatchAfter != 0 {
		t.Fatalf("Prepare = %+v, %v", row, err)
	}
	if jobs, err := f.Ledger.List(t.Context(), millrace.DefaultTenant, store.JobFilter{Limit: 1}); err != nil || len(jobs) != 0 {
		t.Errorf("Prepare wrote %v, %v", jobs, err)
	}
	spec.Inputs = []millrace.Input{{File: "0198c0de-0000-7000-8000-000000000000"}}
	if row, err = f.Prepare(t.Context(), spec); err != nil || row.CacheKey != "" {
		t.Errorf("Prepare with a missing input = %+v, %v, want a row that the ledger refuses", row, err)
	}
	spec.Type = "no.such"
	if _, err = f.Prepare(t.Context(), spec); millrace.KindOf(err) != millrace.Invalid {
		t.Errorf("Prepare of an unknown type = %v", err)
	}
}
