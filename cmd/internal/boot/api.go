package boot

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/handlers"
	"github.com/millrace/millrace/internal/auth"
	"github.com/millrace/millrace/internal/cache"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/metrics"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/internal/rest"
	"github.com/millrace/millrace/internal/supervise"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/web"
)

// apiGrace is how long requests may go on once accepting has ended.
const apiGrace = 20 * time.Second

// superviseAPI keeps api processes running that share one listening socket.
func (p *process) superviseAPI(ctx context.Context) error {
	socket, err := supervise.Listen(ctx, "tcp", p.config.Addr)
	if err != nil {
		return listenError(p.config, err)
	}
	defer socket.Close()
	return supervised(supervise.Run(ctx, supervise.Config{
		Children: []supervise.Child{{Name: childAPI, Count: p.config.Processes, Command: command(childAPI),
			Files: map[string]*os.File{httpSocket: socket.File()}, MaxDelay: time.Second, OnStop: func() { _ = socket.Close() }}},
		Grace:   p.config.DrainDelay + apiGrace,
		Healthy: healthy,
		OnReady: func() { fmt.Printf("ready http://%s  (api, %d processes)\n", socket.Addr(), p.config.Processes) },
		Kill:    p.signals.Kill, Roll: p.signals.Roll, Log: p.log,
	}))
}

// api is one api process.
func (p *process) api(ctx context.Context) error {
	s, err := openStores(ctx, p.config, p.log, apiConns)
	if err != nil {
		return err
	}
	defer s.Close()
	l, err := p.inherited.Listener(httpSocket)
	if err != nil {
		return err
	}
	a, err := newAPI(p, s)
	if err != nil {
		return err
	}
	return a.run(ctx, l, func() { p.ready() })
}

// ready tells the supervisor that this process takes work.
func (p *process) ready() {
	debug.FreeOSMemory() // what the start needed once
	if err := p.inherited.Ready(); err != nil {
		p.log.Warn("cannot report ready", "error", err)
	}
}

// taskTypes is the list of all task types, for a process that describes them and does no work.
func taskTypes(engine tasks.Engine) (tasks.List, error) {
	return tasks.NewList(handlers.All(handlers.Deps{Images: raster.New(), Engine: engine})...)
}

// authenticator knows the configured secrets.
func (c *Config) authenticator() (*auth.Authenticator, error) {
	a, err := auth.New(auth.Config{AdminKey: c.AdminKey, JWTSecret: c.JWTSecret, Issuer: c.JWTIssuer, Audience: c.JWTAud})
	if err != nil {
		return nil, &ConfigError{Line: err.Error()}
	}
	return a, nil
}

// apiParts is what runs in a process that answers the API.
type apiParts struct {
	dispatcher *dispatch.Dispatcher
	results    *cache.Cache
	presets    *cache.Cache
	hub        *notify.Hub
	server     *rest.Server
}

func newAPI(p *process, s *stores) (*apiParts, error) {
	engine := imageEngine()
	types, err := taskTypes(engine)
	if err != nil {
		return nil, err
	}
	authenticator, err := p.config.authenticator()
	if err != nil {
		return nil, err
	}
	a := &apiParts{
		results: cache.New(cache.Config{Redis: s.redis, Name: "results", Log: p.log}),
		presets: newPresets(p, s),
		hub:     notify.NewHub(notify.Config{Redis: s.redis, Log: p.log}),
	}
	a.dispatcher = dispatch.New(dispatch.Config{
		Ledger: s.ledger, Queue: s.queue, Signals: s.publisher, Results: a.results, Presets: cache.Typed[millrace.Preset]{Cache: a.presets}, Types: types, Log: p.log,
		Window: s.window, Committers: s.committers, MaxJobs: p.config.MaxJobs,
	})
	dashboard, err := s.queue.Dashboard(dashboardPath, !p.config.DashboardWrite)
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	registry := metrics.New(metrics.Config{Ledger: s.ledger, Queue: s.queue, Caches: []*cache.Cache{a.results, a.presets}, Version: version})
	a.server, err = rest.New(rest.Config{
		Dispatcher: a.dispatcher, Ledger: s.ledger, Blobs: s.blobs, Types: types, Hub: a.hub, Auth: authenticator, Log: p.log,
		Checks: s.checks(), Registry: registry, OpenMetrics: p.config.PublicMetrics || !p.config.authOn(), Hosts: p.config.Hosts,
		Web: rest.Page{Handler: web.Handler(), Patterns: web.Patterns(), CSP: web.ContentSecurityPolicy},
		Dashboard: rest.Page{Handler: dashboard.Handler, Patterns: []string{dashboardPath, dashboardPath + "/*"}, CSP: dashboard.CSP,
			Writes: p.config.DashboardWrite},
		Images: engine, Backup: s.backup, Version: version, Drain: rest.Drain{Delay: p.config.DrainDelay}, Limits: rest.Limits{Upload: int64(p.config.MaxUpload)},
	})
	return a, err
}

// newPresets is the cache of presets. Its lifetimes bound what a process that hears of no changes believes, and what one that died in the middle of a
// change leaves behind.
func newPresets(p *process, s *stores) *cache.Cache {
	return cache.New(cache.Config{Redis: s.redis, Name: "presets", Log: p.log, LocalTTL: 2 * time.Second, TTL: time.Minute, MaxValue: 2 * tasks.MaxParams})
}

const dashboardPath = "/dashboard"

// run answers requests until ctx ends, then drains: requests first, what they set going after.
func (a *apiParts) run(ctx context.Context, l net.Listener, ready func()) error {
	services, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running errgroup.Group
	for _, service := range []func(context.Context) error{a.dispatcher.Run, a.dispatcher.Refill, a.results.Run, a.presets.Run, a.hub.Run} {
		running.Go(func() error { return service(services) })
	}
	ready()
	err := a.server.Serve(ctx, l)
	stop()
	if runErr := running.Wait(); err == nil {
		err = runErr
	}
	return err
}
