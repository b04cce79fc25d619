// Package dispatch accepts jobs: the ledger first, the queue after.
//
// A job is accepted when its row is committed; what follows is only speed. If the enqueue fails, or the process dies before it, the row is owed
// and Refill, which every api and scheduler runs, sends it. Package dispatch knows nothing of HTTP and nothing of how work is done.
package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/batch"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/tasks"
)

// Ledger is the part of the ledger that accepting and dispatching jobs needs.
type Ledger interface {
	store.Jobs
	store.Results
	store.Dispatch
	store.Queues
	store.Presets
	File(ctx context.Context, tenant, id string) (millrace.File, error)
}

// Queue is the part of the queue that dispatching needs.
type Queue interface {
	Enqueue(ctx context.Context, tasks []queue.Task) []error
	Depths(ctx context.Context) (map[string]int, error)
	Lock(ctx context.Context, key string, ttl time.Duration) (bool, error)
	Pause(ctx context.Context, queue string, paused bool) error
}

// Signals tell other processes what happened. They are hints: whoever misses one reads the ledger.
type Signals interface {
	Cancel(ctx context.Context, jobs []string)
}

// Results is the cache in front of the ledger's result cache.
type Results interface {
	Get(ctx context.Context, key string, load func(context.Context) ([]byte, error)) ([]byte, error)
	Invalidate(ctx context.Context, key string)
}

// Config is what a Dispatcher stands on. Everything is required but the limits and Presets.
type Config struct {
	Ledger  Ledger
	Queue   Queue
	Signals Signals
	Results Results
	Presets Presets // nil: each use of a preset reads the ledger
	Types   tasks.List
	Log     *slog.Logger

	// Window bounds how many tasks of one queue sit in Redis; the rest waits in the ledger. 0: 20,000.
	Window int
	// MaxJobs bounds how many jobs wait for a worker in all; then Room refuses. 0: DefaultMaxJobs.
	MaxJobs int
	// Committers is how many groups of inserts may be on their way to the ledger at once. 0: 2. SQLite, with its one writer, wants 1.
	Committers int
	// Now is the clock for ids and delays. nil: time.Now.
	Now func() time.Time
	// Chance spreads the pauses between repetitions and rounds, so that many processes do not move in step: uniform in [0, 1). nil: math/rand.
	Chance func() float64
}

// insertTimeout bounds one commit.
const insertTimeout = 15 * time.Second

// grace is how long the refill leaves a fresh job to its submitter's own enqueue.
const grace = 2 * time.Second

// Dispatcher accepts jobs. Run must be running for Submit to work.
type Dispatcher struct {
	Config
	inserts *batch.Group[store.NewJob, error]
	sends   *sender
	window  *window
	files   *fileIndex
	params  paramIndex
	ledger  *outage
	refills *outage
	backlog backlog
}

// New makes a Dispatcher.
func New(c Config) *Dispatcher {
	if c.Window == 0 {
		c.Window = 20_000
	}
	if c.MaxJobs == 0 {
		c.MaxJobs = DefaultMaxJobs
	}
	if c.Committers == 0 {
		c.Committers = 2
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Presets == nil {
		c.Presets = uncached{}
	}
	if c.Chance == nil {
		c.Chance = rand.Float64
	}
	d := &Dispatcher{Config: c, window: newWindow(c.Window), files: newFileIndex(),
		ledger:  &outage{log: c.Log, gone: "the ledger is out of reach; submits are repeated", back: "the ledger is back"},
		refills: &outage{log: c.Log, gone: "refill failed; it will be tried again", back: "refill works again"}}
	d.sends = newSender(c.Queue, c.Log)
	d.backlog.limit = c.MaxJobs
	// 256 rows a group: more adds latency without throughput (measured on PostgreSQL: 100 → 1,000 rows, 0.9 → 10.7 ms, +0 %).
	d.inserts = batch.New(batch.Config{Workers: c.Committers, MaxItems: 256, QueueLen: 4 * 256}, d.insert)
	return d
}

// Run commits and sends until ctx ends, then finishes what Submit has already taken.
func (d *Dispatcher) Run(ctx context.Context) error {
	sent, counted := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(counted)
		_ = d.Count(ctx) // it only ends with ctx
	}()
	sendCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go func() {
		defer close(sent)
		d.sends.run(sendCtx)
	}()
	err := d.inserts.Run(ctx)
	stop()
	<-sent
	<-counted
	return err
}

// Check says what Submit would refuse in the request itself, before anything is written for it. Whether the inputs exist is not looked at.
func (d *Dispatcher) Check(ctx context.Context, spec Spec) error {
	_, _, err := d.prepare(ctx, spec, d.preset)
	return err
}

// Refs names the files that a job's params speak of.
func (d *Dispatcher) Refs(ctx context.Context, spec Spec) ([]tasks.FileRef, error) {
	t, job, err := d.prepare(ctx, spec, d.preset)
	if err != nil {
		return nil, err
	}
	return t.Refs(job.Params)
}

// Submit checks a job, commits it and sends it, unless an equal one lives: then it waits for that. The job is durable when Submit returns nil. Refusals are millrace.Errors: Invalid with pointers
// for what is wrong in the request, Unavailable when the ledger cannot take it now.
func (d *Dispatcher) Submit(ctx context.Context, spec Spec) (*millrace.Job, error) {
	t, job, err := d.prepare(ctx, spec, d.preset)
	if err != nil {
		return nil, err
	}
	if err := d.Room(); err != nil {
		return nil, err
	}
	if wantsCache(spec, t) && len(job.Inputs) > 0 {
		if err := d.cacheKey(ctx, t, job); err != nil {
			return nil, err
		}
		if hit, err := d.fromCache(ctx, job, spec.Key); hit != nil || err != nil {
			return hit, err
		}
		return d.commit(ctx, coalesced(job, spec.Key))
	}
	if err := d.refs(ctx, t, job); err != nil {
		return nil, err
	}
	return d.commit(ctx, store.NewJob{Job: job, Idempotency: spec.Key.idempotency(job)})
}

// Prepare makes the row of a job that somebody else commits: the scheduler, with the tick that asks for it. Nothing is written or sent; the job is
// owed as soon as its row is there. A refusal is Invalid, with pointers into the job. Whether the inputs exist is for the ledger to say
// (store.ErrInputMissing), and the result cache is not asked: what is to run again and again is run.
func (d *Dispatcher) Prepare(ctx context.Context, spec Spec) (store.NewJob, error) {
	t, job, err := d.prepare(ctx, spec, d.preset)
	if err != nil {
		return store.NewJob{}, err
	}
	if wantsCache(spec, t) && len(job.Inputs) > 0 {
		if err := d.cacheKey(ctx, t, job); err != nil && !errors.Is(err, store.ErrInputMissing) {
			return store.NewJob{}, err
		}
	}
	return store.NewJob{Job: job, Idempotency: spec.Key.idempotency(job)}, nil
}

func (d *Dispatcher) commit(ctx context.Context, row store.NewJob) (*millrace.Job, error) {
	job := row.Job
	send := job.State == millrace.Queued && d.window.take(job.Queue)
	if send {
		row.DispatchAfter = grace
	}
	if err := d.insertOne(ctx, row); err != nil {
		return nil, err
	}
	d.backlog.accepted(1)
	fault.Point(fault.Inserted)
	if send && job.State == millrace.Queued { // it does not wait for an equal one
		d.sends.send(queue.Task{Job: job.ID, Fence: job.Fence, Type: job.Type, Queue: job.Queue})
	}
	fault.Point(fault.BeforeAnswer)
	return job, nil
}

// insertOne waits for the job's group to commit, and hands the job in again when the answer is lost. A group goes on when its callers leave.
func (d *Dispatcher) insertOne(ctx context.Context, row store.NewJob) error {
	return ledgerError(d.again(ctx, func() error {
		answer, refused := d.inserts.Do(ctx, row)
		if refused != nil {
			return refused
		}
		return answer
	}))
}

// insert is the flush of the groups. Its limit ends the wait for a ledger that hangs, which would take all that is submitted with it.
func (d *Dispatcher) insert(ctx context.Context, rows []store.NewJob) []error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	fault.Point(fault.BeforeInsert)
	return d.Ledger.Insert(ctx, rows)
}

// ledgerError says in the caller's words why the ledger refused a job. Words of the contract that are no refusal of a job pass.
func ledgerError(err error) error {
	held, isHeld := errors.AsType[*store.HeldError](err)
	replayed, isReplayed := errors.AsType[*store.ReplayedError](err)
	known, isKnown := errors.AsType[*millrace.Error](err)
	switch {
	case err == nil:
		return nil
	case isKnown:
		return known
	case isReplayed:
		return replayed
	case isHeld:
		return &millrace.Error{Kind: millrace.Conflict, Code: CodeHeld, Err: held,
			Detail: "a job that is not finished has this unique key: " + held.Job,
			Fields: []millrace.FieldError{{Pointer: "/unique/key", Detail: "is held by job " + held.Job}}}
	case errors.Is(err, store.ErrInputMissing):
		return &millrace.Error{Kind: millrace.Invalid, Code: millrace.CodeInvalidInput, Err: err,
			Detail: "an input file does not exist; upload it with POST /v1/files first",
			Fields: []millrace.FieldError{{Pointer: "/input/file", Detail: "does not exist"}}}
	case errors.Is(err, store.ErrStaleResult):
		return err
	case errors.Is(err, store.ErrFull):
		return &millrace.Error{Kind: millrace.Unavailable, Err: err, RetryAfter: 60, Detail: "the server's disk is full; nothing was accepted"}
	case errors.Is(err, batch.ErrFull):
		return &millrace.Error{Kind: millrace.Unavailable, Err: err, RetryAfter: 1,
			Detail: "the server takes in jobs as fast as it can; try again shortly"}
	case errors.Is(err, batch.ErrClosed):
		return millrace.Wrap(millrace.Unavailable, err, "the server is shutting down; nothing was accepted")
	}
	// Its answer may be what was lost, so that nothing was accepted would be too much to say.
	return millrace.Wrap(millrace.Unavailable, err, "the ledger is out of reach; the job is accepted only if it shows in GET /v1/jobs")
}

// CodeHeld is the code of a refusal because of a unique key; store.HeldError in its chain names the holder.
const CodeHeld millrace.Code = "unique_held"

// newID makes a UUIDv7: the primary key grows at its right end.
func newID() string { return uuid.Must(uuid.NewV7()).String() }
