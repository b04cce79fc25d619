// Package worker does the work: it takes deliveries from the queue, claims the jobs in the ledger, runs their handlers and records one outcome
// for each attempt.
//
// A delivery is a hint; an attempt exists only between a claim and a guarded outcome in the ledger. Handlers run on this package's contexts and
// slots, never on the queue's, whose own timeouts free a slot while a handler still runs.
package worker

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/batch"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/blob"
	"github.com/millrace/millrace/tasks"
)

// Queue delivers tasks until ctx ends.
type Queue interface {
	Serve(ctx context.Context, c queue.ServeConfig) error
}

// Publisher tells watchers what happened. It never fails: who misses it reads the ledger.
type Publisher interface {
	Publish(ctx context.Context, events []notify.Event)
}

// Config is what a worker process stands on. Everything is required but the durations and budgets.
type Config struct {
	Ledger store.WorkerLedger
	Queue  Queue
	Blobs  blob.Store
	Types  tasks.List
	Events Publisher
	Log    *slog.Logger

	// Self describes this process: host, boot id, pid, role and slots. The id is made by Run.
	Self millrace.Worker
	// Budget is how many bytes of memory the running jobs may reserve together. 0: 512 MiB.
	Budget int64
	// Grace is how long running attempts may go on once the drain began. 0: 25 s.
	Grace time.Duration
	// Ready is called once the process takes work.
	Ready func()

	// Quarantine is called when a job waits in quarantine, not more than once a second: somebody should start the process that takes it. May be nil.
	Quarantine func()
	// Alone makes this the process that takes quarantined jobs: one after the other and no others. Run returns nil once none came for Idle.
	Alone bool
	// Idle is how long an Alone process waits for a job. 0: 30 s.
	Idle time.Duration
	// Chance spreads the delays of retries: uniform in [0, 1). nil: math/rand.
	Chance func() float64
}

// Liveness: a worker beats each second; one that could not for selfFence gives up its attempts, well before the leader buries it after 10 s.
const (
	beatEvery    = time.Second
	selfFence    = 7 * time.Second
	stuckGrace   = 60 * time.Second // a handler that ignores the end of its context for so long costs the process
	releaseGrace = 3 * time.Second  // for handlers to return once a drain has canceled them
	// ledgerTimeout bounds a claim and an outcome. A ledger that hangs must not hold the process longer than it counts itself alive.
	ledgerTimeout = selfFence
)

// Why an attempt's context ended.
var (
	errTimeout  = errors.New("timeout")
	errCanceled = errors.New("canceled by request")
	errShutdown = errors.New("the worker shuts down")
	errLost     = errors.New("the attempt belongs to another by now")
	errDeadline = errors.New("the job's deadline has passed")
	errCrowded  = errors.New("no slot became free")
	errStuck    = errors.New("a handler ignored the end of its context; the process ends to free its slot")
	errIdle     = errors.New("no job is in quarantine")
)

// Worker is one worker process.
type Worker struct {
	Config
	slots    map[millrace.Pool]*slots
	budget   *budget
	claims   *batch.Group[store.Delivery, claimAnswer]
	outcomes *batch.Group[store.Outcome, outcomeAnswer]
	news     *news
	stuck    chan struct{}
	drained  chan struct{} // closed once the drain has begun

	mu       sync.Mutex // guards what follows
	id       string
	lastBeat time.Time // of the last beat that the ledger took; monotonic
	fence    bool      // it was too old: id counts for nothing any more
	outage   int       // what the log knows of the present one: 0 nothing, 1 that beats fail, 2 that the attempts were given up
	asked    time.Time // when Quarantine was called last
	worked   time.Time // when something ran last, for an Alone process
	attempts map[store.Delivery]*attempt
	draining bool
	over     bool // the drain's grace is, too: an attempt that begins now ends at once
}

// New makes a worker process.
func New(c Config) *Worker {
	if c.Budget == 0 {
		c.Budget = 512 << 20
	}
	if c.Grace == 0 {
		c.Grace = 25 * time.Second
	}
	if c.Idle == 0 {
		c.Idle = 30 * time.Second
	}
	if c.Chance == nil {
		c.Chance = rand.Float64
	}
	c.Self.MemoryBudget = c.Budget
	pools := map[millrace.Pool]*slots{millrace.CPU: newSlots(c.Self.CPUSlots, false, false), millrace.IO: newSlots(c.Self.IOSlots, false, true)}
	if c.Alone {
		pools = map[millrace.Pool]*slots{millrace.Quarantine: newSlots(1, true, false)}
	}
	w := &Worker{
		Config:   c,
		slots:    pools,
		budget:   newBudget(c.Budget),
		news:     newNews(c.Events),
		stuck:    make(chan struct{}, 1),
		drained:  make(chan struct{}),
		attempts: make(map[store.Delivery]*attempt),
	}
	most := 0 // that can wait for a group
	for _, s := range pools {
		most += s.most()
	}
	w.claims = batch.New(batch.Config{Workers: 1, MaxItems: 128, QueueLen: most}, w.claimGroup)
	w.outcomes = batch.New(batch.Config{Workers: 2, MaxItems: 256, QueueLen: 2 * most}, w.finishGroup)
	return w
}

// Run works until ctx ends, then drains: nothing new is taken, running attempts get Grace, the rest is released with no attempt spent.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.register(ctx); err != nil {
		return err
	}
	// Services outlive ctx: the drain still beats, claims nothing, and writes outcomes.
	services, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running errgroup.Group
	for _, service := range []func(context.Context) error{w.claims.Run, w.outcomes.Run, w.news.run, w.beat} {
		running.Go(func() error { return service(services) })
	}
	err := w.serve(ctx)
	stop()
	err = errors.Join(err, running.Wait())
	w.leave() // after the last beat, which would take it for a burial
	return err
}

// serve runs the pools until ctx ends or a handler is stuck, and returns when every handler has.
func (w *Worker) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pools, poolCtx := errgroup.WithContext(ctx)
	for pool, slots := range w.slots {
		if slots.size > 0 {
			pools.Go(func() error { return w.Queue.Serve(poolCtx, w.serveConfig(pool, slots)) })
		}
	}
	served, drained := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(drained)
		if why := w.awaitEnd(poolCtx); why != nil {
			cancel(why)
		}
		w.drain(poolCtx, served)
	}()
	if w.Ready != nil {
		w.Ready()
	}
	err := pools.Wait()
	close(served)
	cancel(nil)
	<-drained
	w.waitAttempts()
	if errors.Is(context.Cause(ctx), errStuck) {
		return errStuck
	}
	return err // nil when it was only idle
}

func (w *Worker) serveConfig(pool millrace.Pool, s *slots) queue.ServeConfig {
	return queue.ServeConfig{
		Pool: pool, Slots: s.most(), Room: s.room,
		Handler: func(ctx context.Context, t queue.Task) error { return w.handle(ctx, s, t) },
		Drain:   w.Grace + releaseGrace,
	}
}

// drain cancels what still runs when the grace is over, unless the pools have ended before. It does not go by the attempts of this moment: a claim
// that is on its way becomes one later.
func (w *Worker) drain(ctx context.Context, served <-chan struct{}) {
	<-ctx.Done()
	w.mu.Lock()
	w.draining = true
	left := len(w.attempts)
	w.mu.Unlock()
	close(w.drained)
	if left > 0 {
		w.Log.Info("draining", "attempts", left, "grace", w.Grace)
	}
	deadline := time.NewTimer(w.Grace)
	defer deadline.Stop()
	select {
	case <-served:
	case <-deadline.C:
		w.mu.Lock()
		w.over = true
		w.mu.Unlock()
		w.cancelAll(errShutdown)
	}
}

// waitAttempts gives canceled attempts a moment to hand their jobs back. What is left after it is rescued by the ledger.
func (w *Worker) waitAttempts() {
	for deadline := time.Now().Add(releaseGrace); w.count() > 0 && time.Now().Before(deadline); {
		<-time.After(10 * time.Millisecond)
	}
}

func (w *Worker) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.attempts)
}

func (w *Worker) cancelAll(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.attempts {
		a.cancel(cause)
	}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }
