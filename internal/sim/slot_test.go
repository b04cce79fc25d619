package sim_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/scheduler"
	"github.com/millrace/millrace/internal/worker"
	"github.com/millrace/millrace/store"
)

// slot is a place where a process runs, one incarnation after the other, and its parent.
type slot struct {
	world  *world
	kind   string
	name   string
	wanted chan struct{} // somebody asks for the process to be started

	mu         sync.Mutex
	now        *process // nil between two incarnations
	dispatcher *dispatch.Dispatcher
}

// The kinds of processes.
const (
	kindWorker = "worker"
	kindAPI    = "api"
	kindLeader = "leader"
	kindAlone  = "quarantine" // the worker process that is started for what waits there
)

// process is the one that runs, or nil.
func (s *slot) process() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// exit notes that a process is no more.
func (s *slot) exit(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == p {
		s.now = nil
	}
	select {
	case <-p.exited:
	default:
		close(p.exited)
	}
}

// keep is the parent: it starts a process again when it has ended, and buries what it left.
func (s *slot) keep() {
	w := s.world
	for pid := 1; s.await(); pid++ {
		p := s.start(pid)
		<-p.exited
		p.mu.Lock()
		crashed := p.dead
		p.mu.Unlock()
		d := w.dice("parent", s.name, pid)
		if crashed && (s.kind == kindWorker || s.kind == kindAlone) && !d.chance(0.2) { // else nobody sees it: a host that is lost
			time.Sleep(d.between(time.Millisecond, 100*time.Millisecond))
			s.bury(pid, d.chance(0.7))
		}
		if !w.healed() {
			time.Sleep(d.between(50*time.Millisecond, 2*time.Second))
		}
		time.Sleep(d.between(time.Millisecond, 100*time.Millisecond))
	}
}

// await returns when the process should be started; false: nothing is any more.
func (s *slot) await() bool {
	for s.kind == kindAlone && !s.world.ended() {
		select {
		case <-s.wanted:
			return !s.world.ended()
		case <-time.After(time.Second):
		}
	}
	return !s.world.ended()
}

// want asks for the process.
func (s *slot) want() {
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

// bury is what a parent does at the end of a child: once, since the leader does it after.
func (s *slot) bury(pid int, crash bool) {
	w := s.world
	parent := newProcess(w, s, -pid)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	l := newLedger(parent)
	death := store.Death{Crash: crash, Detail: "signal: killed"}
	n, err := l.BuryHost(ctx, s.name, func(w millrace.Worker) bool { return w.PID > pid }, func(millrace.Worker) store.Death { return death })
	if err == nil && n > 0 {
		_, _ = l.Rescue(ctx)
	}
}

func newProcess(w *world, s *slot, pid int) *process {
	return &process{
		world: w, slot: s, pid: pid, exited: make(chan struct{}), gone: make(chan struct{}), stop: func() {},
		links: map[*link]struct{}{}, calls: map[string]int{}, cut: map[string]time.Time{},
	}
}

// start begins an incarnation.
func (s *slot) start(pid int) *process {
	w := s.world
	p := newProcess(w, s, pid)
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	s.mu.Lock()
	s.now = p
	s.mu.Unlock()
	w.trace.add(p.String(), "starts")
	w.tasks.Go(func() {
		defer stop()
		client := w.redis.client(p)
		defer client.Close()
		q, err := queue.Open(queue.Config{Redis: client, Log: w.logger(p)})
		if err != nil {
			w.wrongly("open the queue: %v", err)
			return
		}
		defer q.Close()
		switch s.kind {
		case kindWorker, kindAlone:
			err = s.work(ctx, p, q)
		case kindAPI:
			err = s.accept(ctx, p, q)
		default:
			err = s.lead(ctx, p, q)
		}
		w.trace.add(p.String(), "has ended")
		if p.thawed() == nil && err != nil && !errors.Is(err, context.Canceled) {
			w.wrongly("%s ended with %v", p, err)
		}
		s.exit(p)
	})
	return p
}

func (s *slot) work(ctx context.Context, p *process, q *queue.Queue) error {
	cpu, io := 1, 3
	if s.kind == kindAlone {
		cpu, io = 0, 0
	}
	return worker.New(worker.Config{
		Ledger: newLedger(p), Queue: q, Blobs: &blobs{p}, Types: s.world.types(s), Events: silence{}, Log: s.world.logger(p),
		Self: millrace.Worker{
			Host: s.name, BootID: "boot", PID: p.pid, PIDStart: int64(p.pid), Role: "worker", CPUSlots: cpu, IOSlots: io, StartedAt: time.Now(),
		},
		Chance: p.chance, Grace: 4 * time.Second, Alone: s.kind == kindAlone, Idle: 3 * time.Second, Quarantine: s.world.slot(kindAlone).want,
	}).Run(ctx)
}

// accept is an api process without its HTTP: clients call its dispatcher. Told to end, it serves the requests that it has.
func (s *slot) accept(ctx context.Context, p *process, q *queue.Queue) error {
	d := s.dispatcherOf(p, q)
	services, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running errgroup.Group
	running.Go(func() error { return d.Run(services) })
	running.Go(func() error { return d.Refill(services) })
	s.mu.Lock()
	s.dispatcher = d
	s.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.served.Wait()
	stop()
	return running.Wait()
}

func (s *slot) dispatcherOf(p *process, q *queue.Queue) *dispatch.Dispatcher {
	return dispatch.New(dispatch.Config{
		Ledger: newLedger(p), Queue: q, Signals: silence{}, Results: noCache{}, Types: s.world.rig.types[kindAPI], Log: s.world.logger(p),
		Window: s.world.plan.window, Committers: 1, Now: s.world.now, Chance: p.chance,
	})
}

func (s *slot) lead(ctx context.Context, p *process, q *queue.Queue) error {
	jobs := scheduled{s.dispatcherOf(p, q)}
	return scheduler.New(scheduler.Config{
		Ledger: newLedger(p), Queue: q, Jobs: jobs, Blobs: &blobs{p}, Log: s.world.logger(p), Tidy: s.world.plan.tidy, Chance: p.chance,
	}).Run(ctx)
}

// silence is for news that nobody hears: they are hints.
type silence struct{}

func (silence) Cancel(context.Context, []string)        {}
func (silence) Publish(context.Context, []notify.Event) {}

// noCache asks the ledger each time.
type noCache struct{}

func (noCache) Get(ctx context.Context, _ string, load func(context.Context) ([]byte, error)) ([]byte, error) {
	return load(ctx)
}
func (noCache) Invalidate(context.Context, string) {}
