package boot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/cache"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/metrics"
	"github.com/millrace/millrace/internal/scheduler"
)

// scheduler is a scheduler process: it leads or stands by, refills the queue, and answers its probes.
func (p *process) scheduler(ctx context.Context) error {
	l, err := p.listenForProbes(ctx)
	if err != nil {
		return err
	}
	s, err := openStores(ctx, p.config, p.log, schedulerConns)
	if err != nil {
		return err
	}
	defer s.Close()
	types, err := taskTypes(imageEngine())
	if err != nil {
		return err
	}
	results, presets := cache.New(cache.Config{Redis: s.redis, Name: "results", Log: p.log}), newPresets(p, s)
	d := dispatch.New(dispatch.Config{Ledger: s.ledger, Queue: s.queue, Signals: s.publisher, Results: results,
		Presets: cache.Typed[millrace.Preset]{Cache: presets}, Types: types, Log: p.log, Window: s.window})
	leader := scheduler.New(scheduler.Config{Ledger: s.ledger, Queue: s.queue, Blobs: s.blobs, Log: p.log, Jobs: scheduled{d}, LowDisk: lowDisk})
	registry := metrics.New(metrics.Config{Ledger: s.ledger, Queue: s.queue, Caches: []*cache.Cache{results, presets}, Version: version})
	access, err := p.config.authenticator()
	if err != nil {
		return err
	}
	running, ctx := errgroup.WithContext(ctx)
	running.Go(func() error { return leader.Run(ctx) })
	running.Go(func() error { return d.Refill(ctx) })
	running.Go(func() error { return d.Count(ctx) })
	running.Go(func() error { return results.Run(ctx) })
	running.Go(func() error { return presets.Run(ctx) })
	debug.FreeOSMemory() // what the start needed once
	if l == nil {
		fmt.Println("ready  (scheduler, without health and metrics)")
	} else {
		running.Go(func() error { return serveProbes(ctx, l, s.checks(), registry, access) })
		fmt.Printf("ready http://%s  (scheduler)\n", l.Addr())
	}
	return running.Wait()
}

// listenForProbes answers nil where the address is taken and only the environment names it: MILLRACE_ADDR is then the api's, which shares the
// environment, and jobs must not wait for a scheduler because of its probes.
func (p *process) listenForProbes(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", p.config.Addr)
	if err == nil {
		return l, nil
	}
	if errors.Is(err, syscall.EADDRINUSE) && p.config.names["addr"] == variable("addr") {
		p.log.Warn("the address in MILLRACE_ADDR is taken, as by the api; health and metrics of the scheduler are off, --addr gives them one", "addr", p.config.Addr)
		return nil, nil
	}
	return nil, listenError(p.config, err)
}
