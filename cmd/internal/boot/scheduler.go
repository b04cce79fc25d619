package boot

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/metrics"
	"github.com/millrace/millrace/internal/scheduler"
)

// scheduler is a scheduler process: it leads or stands by, refills the queue, and answers its probes.
func (p *process) scheduler(ctx context.Context) error {
	l, err := net.Listen("tcp", p.config.Addr)
	if err != nil {
		return listenError(p.config, err)
	}
	s, err := openStores(ctx, p.config, p.log, schedulerConns)
	if err != nil {
		return err
	}
	defer s.Close()
	d := dispatch.New(dispatch.Config{Ledger: s.ledger, Queue: s.queue, Signals: s.publisher, Log: p.log, Window: s.window})
	leader := scheduler.New(scheduler.Config{Ledger: s.ledger, Queue: s.queue, Blobs: s.blobs, Log: p.log})
	registry := metrics.New(metrics.Config{Ledger: s.ledger, Queue: s.queue, Version: version})
	access, err := p.config.authenticator()
	if err != nil {
		return err
	}
	running, ctx := errgroup.WithContext(ctx)
	running.Go(func() error { return leader.Run(ctx) })
	running.Go(func() error { return d.Refill(ctx) })
	running.Go(func() error { return serveProbes(ctx, l, s.checks(), registry, access) })
	debug.FreeOSMemory() // what the start needed once
	fmt.Printf("ready http://%s  (scheduler)\n", l.Addr())
	return running.Wait()
}
