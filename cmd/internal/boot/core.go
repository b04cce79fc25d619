package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/embedded"
	"github.com/millrace/millrace/internal/scheduler"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/remote"
	"github.com/millrace/millrace/store/sqlite"
)

// reunion is how long a core that was restarted waits for the workers that live on, before it takes their jobs for orphaned.
const reunion = 10 * time.Second

// straggle is how long it waits for whom it does not count on, which beats each second.
const straggle = 1500 * time.Millisecond

// core is the embedded server's one process with the stores: api, scheduler, dispatch, and the only opener of the SQLite file.
func (p *process) core(ctx context.Context) error {
	limitCore()
	e, err := p.openEmbedded(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	l, err := p.inherited.Listener(httpSocket)
	if err != nil {
		return err
	}
	e.keepReserve()
	if e.copy != nil {
		e.backup = e.writeBackup
	}
	api, err := newAPI(p, e.stores)
	if err != nil {
		return err
	}
	services, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running errgroup.Group
	lead := func(ctx context.Context) error { return e.lead(ctx, scheduled{api.dispatcher}) }
	for _, service := range append(e.services, lead, e.beat) {
		running.Go(func() error { return service(services) })
	}
	err = api.run(ctx, l, p.ready)
	stop()
	if runErr := running.Wait(); err == nil {
		err = runErr
	}
	return err
}

// embeddedStores are the stores of core, and what keeps them going.
type embeddedStores struct {
	*stores
	process  *process
	services []func(context.Context) error
	resumed  bool        // the workers of the run before this one live on
	reunited atomic.Bool // whoever has not come back by now is gone
	word     *receiver   // of the supervisor, on how workers ended
	gate     scheduler.Gate
	copy     func(ctx context.Context, path string) error // of the ledger; nil where it is PostgreSQL
}

func (p *process) openEmbedded(ctx context.Context) (*embeddedStores, error) {
	e := &embeddedStores{process: p, word: newReceiver(), stores: &stores{window: embeddedWindow, committers: 1}}
	for _, open := range []func(context.Context) error{e.openDispatch, e.openLedger, func(ctx context.Context) error {
		return e.openBlobs(ctx, p.config)
	}, e.takeOver} {
		if err := open(ctx); err != nil {
			_ = e.Close()
			return nil, err
		}
	}
	return e, nil
}

// openDispatch hosts the embedded Redis, or connects to the real one where a person has named it.
func (e *embeddedStores) openDispatch(ctx context.Context) error {
	p := e.process
	if p.config.RedisURL != "" {
		e.window = productionWindow
		return e.openRedis(ctx, p.config, p.log)
	}
	password := os.Getenv(redisVariable)
	server, err := embedded.NewRedis(password)
	if err != nil {
		return fmt.Errorf("start the embedded queue: %w", err)
	}
	l, err := p.inherited.Listener(dispatchSocket)
	if err != nil {
		return err
	}
	e.services = append(e.services, func(ctx context.Context) error { return server.Serve(ctx, l) })
	e.archive = embeddedArchive
	return e.useRedis(embedded.Dial(socketPath(dispatchSocket), password), p.log)
}

// openLedger opens the SQLite file and serves the workers' part of it, or connects to PostgreSQL where a person has named it.
func (e *embeddedStores) openLedger(ctx context.Context) error {
	p := e.process
	if p.config.Database != "" {
		e.committers = 2
		return e.openPostgres(ctx, p.config, p.log, apiConns)
	}
	ledger, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(p.config.DataDir, "millrace.db"), Log: p.log, Released: e.released})
	if err != nil {
		return sqliteError(p.config, err)
	}
	e.ledger = ledger
	e.copy = ledger.Backup
	e.closers = append(e.closers, ledger.Close)
	if e.resumed, err = ledger.Resume(ctx, os.Getenv(nonceVariable)); err != nil {
		return err
	}
	l, err := p.inherited.Listener(ledgerSocket)
	if err != nil {
		return err
	}
	word, err := p.inherited.File(wordPipe)
	if err != nil {
		return err
	}
	e.services = append(e.services, func(ctx context.Context) error { return e.serveWorkers(ctx, l) },
		func(ctx context.Context) error { return e.word.listen(ctx, word) })
	return nil
}

// sqliteError tells a ledger that no other start will open from one that is in trouble.
func sqliteError(c Config, err error) error {
	const corrupt, cannotOpen, notADatabase, readOnly = 11, 14, 26, 8 // SQLite's primary codes
	hopeless := errors.Is(err, fs.ErrPermission)
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		switch coded.Code() & 0xff {
		case corrupt, cannotOpen, notADatabase, readOnly:
			hopeless = true
		}
	}
	if !hopeless {
		return err
	}
	return configError("%s: %v; give a directory that this user may write to, or restore its millrace.db", c.names["data-dir"], err)
}

func socketPath(name string) string { return filepath.Join(os.Getenv(socketsVariable), name) }

// serveWorkers carries the ledger to the worker processes. The end of a worker's connection is the notice of its death.
func (e *embeddedStores) serveWorkers(ctx context.Context, l net.Listener) error {
	return remote.Serve(ctx, l, e.ledger, remote.Hooks{Gone: func(worker string) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := e.ledger.Bury(ctx, worker, e.deathOf(ctx, worker)); err != nil {
			e.process.log.Warn("cannot bury a dead worker; the leader will", "error", err)
			return
		}
		if !e.reunited.Load() {
			return // others may not have come back yet; the leader rescues when they had the time to
		}
		rescue(ctx, e.ledger, e.process.log)
	}})
}

// deathOf is how a worker ended, in the supervisor's word.
func (e *embeddedStores) deathOf(ctx context.Context, worker string) store.Death {
	workers, err := e.ledger.Workers(ctx)
	if err != nil {
		return store.Death{}
	}
	for _, w := range workers {
		if w.ID == worker {
			return e.word.of(ctx, w.PID)
		}
	}
	return store.Death{}
}

func rescue(ctx context.Context, ledger store.Ledger, log *slog.Logger) {
	n, err := ledger.Rescue(ctx)
	if err != nil {
		log.Warn("cannot rescue the jobs of dead workers; the leader will", "error", err)
	} else if n > 0 {
		log.Info("jobs of a dead worker were put back", "jobs", n)
	}
}

// takeOver settles what the run before left: the embedded queue is empty, so everything unfinished is owed, and after a fresh start nobody
// owns a running job any more.
func (e *embeddedStores) takeOver(ctx context.Context) error {
	gen, err := e.ledger.Generation(ctx)
	if err != nil {
		return err
	}
	if err := e.ledger.NewGeneration(ctx, gen); err != nil {
		return err
	}
	if e.resumed || e.process.config.Database != "" {
		return nil
	}
	e.reunited.Store(true)
	n, err := e.ledger.Rescue(ctx)
	if n > 0 {
		e.process.log.Info("jobs that were running when the server ended are queued again", "jobs", n)
	}
	return err
}

// reunite waits until as many workers have registered as there should be, the supervisor's replacements for dead ones among them, but not for ever;
// and then for one more beat, since nobody knows whether there is a quarantine. Whoever is missing then is gone.
func (e *embeddedStores) reunite(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reunion)
	defer cancel()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		live := 0
		workers, _ := e.ledger.Workers(ctx)
		for _, w := range workers {
			if w.Role == childWorker {
				live++
			}
		}
		if live >= e.process.config.Workers {
			break
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(straggle):
	}
}

// lead is the scheduler. After a restart of core alone it waits for the workers to register again: until then every owner looks dead.
func (e *embeddedStores) lead(ctx context.Context, jobs scheduler.Jobs) error {
	if !e.reunited.Load() && e.process.config.Database == "" {
		e.reunite(ctx)
	}
	e.reunited.Store(true)
	return scheduler.New(scheduler.Config{
		Ledger: e.ledger, Queue: e.queue, Blobs: e.blobs, Log: e.process.log, Jobs: jobs, Gate: &e.gate, Archive: e.archive, LowDisk: lowDisk,
	}).Run(ctx)
}

// beat lists core itself among the live processes.
func (e *embeddedStores) beat(ctx context.Context) error {
	self := newWorker(millrace.Worker{ID: uuid.Must(uuid.NewV7()).String(), Role: childCore})
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for registered := false; ; {
		var err error
		if !registered {
			err = e.ledger.Register(ctx, self)
			registered = err == nil
		} else {
			_, err = e.ledger.Beat(ctx, store.Beat{Worker: self.ID})
		}
		if err != nil && ctx.Err() == nil {
			e.process.log.Debug("core cannot beat", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = e.ledger.Leave(context.WithoutCancel(ctx), self.ID)
			return nil
		}
	}
}
