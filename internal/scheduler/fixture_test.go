package scheduler_test

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/scheduler"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store"
)

// fixture is real stores with everything around a leader but workers, which the tests play themselves.
type fixture struct {
	*testrig.Rig
	*testing.T
}

func newFixture(t *testing.T) *fixture { return &fixture{testrig.New(t), t} }

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// lead runs a leader until the test ends, or stop is called.
func (f *fixture) lead(changes ...func(*scheduler.Config)) (stop func()) {
	return f.Go(f.leader(changes...).Run)
}

func (f *fixture) leader(changes ...func(*scheduler.Config)) *scheduler.Leader {
	c := scheduler.Config{Ledger: f.Ledger, Queue: f.Queue, Blobs: f.Blobs, Log: f.Log}
	for _, change := range changes {
		change(&c)
	}
	l := scheduler.New(c)
	l.Hurry(50 * time.Millisecond)
	return l
}

// refill runs what sends owed jobs, as every api and scheduler does.
func (f *fixture) refill() {
	f.Go(dispatch.New(dispatch.Config{Ledger: f.Ledger, Queue: f.Queue, Log: f.Log, Committers: 1}).Refill)
}

// submit inserts a job that is owed at once.
func (f *fixture) submit(changes ...func(*millrace.Job)) *millrace.Job {
	f.Helper()
	job := &millrace.Job{ID: newID(), Tenant: millrace.DefaultTenant, Type: "test.work", State: millrace.Queued, Priority: millrace.Normal,
		Queue: "cpu.normal", Params: json.RawMessage(`{}`), Run: 1, MaxAttempts: 3, Timeout: time.Minute, Retention: time.Hour,
		Backoff: millrace.Backoff{Initial: time.Second, Max: time.Second, Factor: 1}, CreatedAt: time.Now()}
	for _, change := range changes {
		change(job)
	}
	for _, err := range f.Ledger.Insert(f.Context(), []store.NewJob{{Job: job}}) {
		f.must(err)
	}
	return job
}

// worker registers a worker process that never beats.
func (f *fixture) worker() string {
	f.Helper()
	id := newID()
	f.must(f.Ledger.Register(f.Context(), millrace.Worker{ID: id, Host: "mill", BootID: "boot", PID: 1, Role: "worker", CPUSlots: 1}))
	return id
}

// claim lets a worker take the job as the ledger has it now.
func (f *fixture) claim(worker, id string) *millrace.Job {
	f.Helper()
	claimed, err := f.Ledger.Claim(f.Context(), worker, []store.Delivery{{Job: id, Fence: f.Job(id).Fence}})
	f.must(err)
	if claimed[0].Job == nil {
		f.Fatalf("the claim of job %s was refused", id)
	}
	return claimed[0].Job
}

// finish records an outcome of the attempt and says whether it is the job's.
func (f *fixture) finish(attempt *millrace.Job, kind store.OutcomeKind, word string) bool {
	f.Helper()
	won, err := f.Ledger.Finish(f.Context(), []store.Outcome{{Job: attempt.ID, Tenant: attempt.Tenant, Fence: attempt.Fence, Kind: kind, Attempt: word}})
	f.must(err)
	return won[0]
}

// waiting counts what is in the queue of the jobs.
func (f *fixture) waiting() int {
	f.Helper()
	depths, err := f.Queue.Depths(f.Context())
	f.must(err)
	return depths["cpu.normal"]
}

// beats is how often a leader has felt the queue's pulse since Redis was empty.
func (f *fixture) beats() int {
	n, _ := strconv.Atoi(f.Redis.Get(f.Context(), "millrace:pulse").Val())
	return n
}

func (f *fixture) generation() int64 {
	f.Helper()
	gen, err := f.Ledger.Generation(f.Context())
	f.must(err)
	return gen
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// faultyLedger fails where a test says so, and counts.
type faultyLedger struct {
	scheduler.Ledger
	newGeneration func() error // nil: works
	bury          func() error
	expire        func(ctx context.Context) error
	rescues       atomic.Int64

	mu     sync.Mutex
	holder string // who asked for the lease last
}

func (l *faultyLedger) NewGeneration(ctx context.Context, from int64) error {
	if l.newGeneration != nil {
		if err := l.newGeneration(); err != nil {
			return err
		}
	}
	return l.Ledger.NewGeneration(ctx, from)
}

func (l *faultyLedger) BurySilent(ctx context.Context, silence time.Duration) (int, error) {
	if l.bury != nil {
		if err := l.bury(); err != nil {
			return 0, err
		}
	}
	return l.Ledger.BurySilent(ctx, silence)
}

func (l *faultyLedger) ExpireJobs(ctx context.Context, limit int) (int, error) {
	if l.expire != nil {
		if err := l.expire(ctx); err != nil {
			return 0, err
		}
	}
	return l.Ledger.ExpireJobs(ctx, limit)
}

func (l *faultyLedger) Rescue(ctx context.Context) (int, error) {
	l.rescues.Add(1)
	return l.Ledger.Rescue(ctx)
}

func (l *faultyLedger) Lead(ctx context.Context, name, holder string, ttl time.Duration) (int64, bool, error) {
	l.mu.Lock()
	l.holder = holder
	l.mu.Unlock()
	return l.Ledger.Lead(ctx, name, holder, ttl)
}

func (l *faultyLedger) lastHolder() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holder
}

// countedQueue counts the pulses that one leader feels, and may tell another run of Redis.
type countedQueue struct {
	*queue.Queue
	pulses, registers atomic.Int64
	run               atomic.Value // string; not set: as Redis says
	active            func() error
}

func (q *countedQueue) Pulse(ctx context.Context) (int64, string, error) {
	n, run, err := q.Queue.Pulse(ctx)
	if other, ok := q.run.Load().(string); ok {
		run = other
	}
	if err == nil {
		q.pulses.Add(1)
	}
	return n, run, err
}

func (q *countedQueue) Register(ctx context.Context) error {
	q.registers.Add(1)
	return q.Queue.Register(ctx)
}

func (q *countedQueue) Active(ctx context.Context) ([]queue.Task, error) {
	if q.active != nil {
		if err := q.active(); err != nil {
			return nil, err
		}
	}
	return q.Queue.Active(ctx)
}
