package boot

import (
	"context"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/handlers"
	"github.com/millrace/millrace/internal/embedded"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/supervise"
	"github.com/millrace/millrace/internal/worker"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/remote"
	"github.com/millrace/millrace/tasks"
)

// superviseWorkers keeps worker processes running and rescues the jobs of one that dies the moment it is gone.
func (p *process) superviseWorkers(ctx context.Context) error {
	if _, err := openDisk(p.config); err != nil {
		return err
	}
	s := &stores{}
	if err := s.openPostgres(ctx, p.config, p.log, supervisorConns); err != nil {
		return err
	}
	defer s.Close()
	dead := newBurials(s.ledger, p.log)
	dead.bury(supervise.Exit{}) // those of a run before this one
	return supervised(supervise.Run(ctx, supervise.Config{
		Children: workerChildren(p.config.Processes, nil, nil, dead),
		Grace:    p.config.Grace, Healthy: healthy, Kill: p.signals.Kill, Roll: p.signals.Roll, Log: p.log,
		OnReady: func() { p.log.Info("ready", "processes", p.config.Processes, "cpu", p.config.CPU, "io", p.config.IO) },
	}))
}

// newWorker fills in who this process is.
func newWorker(w millrace.Worker) millrace.Worker {
	if id, err := supervise.Host(); err == nil {
		w.Host, w.BootID = id.Name, id.BootID
	}
	w.PID = os.Getpid()
	w.PIDStart, _ = supervise.ProcessStart(w.PID)
	return w
}

// worker is one worker process. Alone, it takes what waits in quarantine, and ends when nothing does.
func (p *process) worker(ctx context.Context, alone bool) error {
	limitMemory(p.config)
	s, ledger, err := p.openForWorker(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	engine, stopHelpers := images(p.config, p.log)
	defer stopHelpers()
	types, err := tasks.NewList(handlers.All(handlers.Deps{Images: engine})...)
	if err != nil {
		return err
	}
	self := newWorker(millrace.Worker{Role: childWorker, CPUSlots: p.config.CPU, IOSlots: p.config.IO})
	if alone {
		self.Role, self.CPUSlots, self.IOSlots = childQuarantine, 1, 0
	}
	w := worker.New(worker.Config{
		Ledger: ledger, Queue: s.queue, Blobs: s.blobs, Types: types, Events: s.publisher, Log: p.log,
		Self: self, Budget: memoryBudget(p.config), Grace: p.config.Grace, Ready: p.ready, Alone: alone, Quarantine: p.wantQuarantine,
	})
	services, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running errgroup.Group
	running.Go(func() error { return notify.Cancels(services, notify.Config{Redis: s.redis, Log: p.log}, w.Cancel) })
	err = w.Run(ctx)
	stop()
	_ = running.Wait()
	return err
}

// wantQuarantine has the supervisor start the process for the job that waits in quarantine.
func (p *process) wantQuarantine() {
	if err := p.inherited.Want(childQuarantine); err != nil {
		p.log.Warn("cannot ask for the process that takes quarantined jobs", "error", err)
	}
}

// openForWorker opens what a worker process sees of the stores: the workers' part of the ledger, over core's socket where it is SQLite.
func (p *process) openForWorker(ctx context.Context) (*stores, store.WorkerLedger, error) {
	s := &stores{}
	ledger, err := p.openWorkerLedger(ctx, s)
	if err == nil {
		err = p.openWorkerQueue(ctx, s)
	}
	if err == nil {
		err = s.openBlobs(ctx, p.config)
	}
	if err != nil {
		_ = s.Close()
		return nil, nil, err
	}
	return s, ledger, nil
}

func (p *process) openWorkerLedger(ctx context.Context, s *stores) (store.WorkerLedger, error) {
	if p.config.Database == "" {
		client := remote.Dial(remote.Config{Path: socketPath(ledgerSocket)})
		s.closers = append(s.closers, client.Close)
		return client, nil
	}
	err := s.openPostgres(ctx, p.config, p.log, workerConns)
	return s.ledger, err
}

func (p *process) openWorkerQueue(ctx context.Context, s *stores) error {
	if p.config.RedisURL != "" {
		return s.openRedis(ctx, p.config, p.log)
	}
	return s.useRedis(embedded.Dial(socketPath(dispatchSocket), os.Getenv(redisVariable)), p.log)
}
