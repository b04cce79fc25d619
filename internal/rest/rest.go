// Package rest is the HTTP API: it decodes a request, calls one method of the domain, and answers.
//
// routes.go shows the whole surface; problem.go is the only place that turns an error into a status. The package holds no SQL, no queue and no
// work of a task type, and is the only importer of Echo.
package rest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/auth"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/blob"
	"github.com/millrace/millrace/tasks"
)

// Dispatcher accepts jobs and changes their course. Its refusals are millrace.Errors.
type Dispatcher interface {
	Room() error                                                           // refuses while too many jobs wait
	Check(ctx context.Context, spec dispatch.Spec) error                   // what Submit would refuse in the request itself
	Refs(ctx context.Context, spec dispatch.Spec) ([]tasks.FileRef, error) // the files that the params speak of
	Submit(ctx context.Context, spec dispatch.Spec) (*millrace.Job, error)
	Cancel(ctx context.Context, tenant, id string) (*millrace.Job, error)
	Batch(tenant string, n int) *dispatch.Batch
	Retry(ctx context.Context, tenant, id string, key *dispatch.Key) (*millrace.Job, error)
	PauseQueue(ctx context.Context, queue string, paused bool) error
	PutPreset(ctx context.Context, p millrace.Preset, match *store.PresetMatch) (stored millrace.Preset, created bool, err error)
	DeletePreset(ctx context.Context, tenant, name string, match *store.PresetMatch) error
	Delete(ctx context.Context, tenant, id string) error
}

// Ledger is what the API reads, and where it writes files and schedules. Changes to jobs, presets and queues go through the Dispatcher.
type Ledger interface {
	store.Files
	store.Keys
	store.Schedules
	Preset(ctx context.Context, tenant, name string) (millrace.Preset, error)
	ListPresets(ctx context.Context, tenant, after string, limit int) ([]millrace.Preset, error)
	PausedQueues(ctx context.Context) ([]string, error)
	Job(ctx context.Context, tenant, id string) (*millrace.Job, error)
	List(ctx context.Context, tenant string, f store.JobFilter) ([]*millrace.Job, error)
	Workers(ctx context.Context) ([]millrace.Worker, error)
	Depths(ctx context.Context, limit int) ([]store.Depth, error)
}

// Hub wakes whoever waits for news of a job. News are hints: whoever misses one reads the ledger.
type Hub interface {
	Watch(job string) *notify.Watch
}

// Check is one dependency in /readyz.
type Check struct {
	Name     string
	Required bool // without it the server cannot take work: 503. Otherwise it is named and the server stays ready
	Func     func(ctx context.Context) error
}

// Page is a handler for browsers with the policy its own files need.
type Page struct {
	Handler  http.Handler // nil: there is no such page
	Patterns []string     // of its routes, in Echo's syntax
	CSP      string
	Writes   bool // it takes POST and DELETE, too
}

// Config is what a Server stands on.
type Config struct {
	Dispatcher Dispatcher
	Ledger     Ledger
	Blobs      blob.Store
	Types      tasks.List
	Hub        Hub
	Auth       *auth.Authenticator
	Checks     []Check
	Log        *slog.Logger

	// Registry is where /metrics reads and this package's own metrics go.
	Registry *prometheus.Registry
	// OpenMetrics lets /metrics be read without a credential where auth is on.
	OpenMetrics bool
	// Hosts are names, beside those of loopback, that a Host header may carry (MILLRACE_HOSTS). Checked while auth is off, and with auth on
	// where there are any: an embedded server must not answer a page that made its own name resolve to 127.0.0.1.
	Hosts []string
	// Web is the app at /, open to everybody because its files hold no data. Dashboard is for admins.
	Web, Dashboard Page
	// Images is what does pictures, for /readyz.
	Images tasks.Engine
	// Version is what the OpenAPI document calls this build.
	Version string
	// Backup streams the server's whole state; nil where it is not kept by this server alone.
	Backup func(ctx context.Context, w io.Writer) error
	// Drain is how Serve ends.
	Drain Drain

	Limits Limits
}

// Limits bound what one request may take. Zero fields mean the defaults of the contract.
type Limits struct {
	Body       int64         // bytes of a JSON body; 0: 1 MiB
	Batch      int64         // bytes of a batch of jobs; 0: 16 MiB
	Batches    int64         // bytes that all batches of this process may take in memory; 0: 96 MiB
	Upload     int64         // bytes of a request that carries files; 0: 10 GiB
	Wait       time.Duration // longest ?wait=; 0: 60 s
	Streams    int           // SSE streams of this process; 0: 1,000
	Unused     time.Duration // how long an upload is kept that no job needs; 0: 24 h
	BodyIdle   time.Duration // without a byte of the body; 0: 30 s
	BodyRate   int64         // bytes per second that a body must keep up over a minute; 0: 8 KiB
	KeepAlive  time.Duration // between comments in an event stream; 0: 15 s
	Reread     time.Duration // how often who waits looks into the ledger without being woken; 0: 1 s
	WriteIdle  time.Duration // for the client to take 1 MiB of an answer; 0: 60 s
	QueuesStay time.Duration // how old GET /v1/queues may be; 0: 5 s
}

func (l Limits) withDefaults() Limits {
	fill(&l.Body, 1<<20)
	fill(&l.Batch, 16<<20)
	fill(&l.Batches, 96<<20)
	fill(&l.Upload, 10<<30)
	fill(&l.Wait, time.Minute)
	fill(&l.Streams, 1000)
	fill(&l.Unused, 24*time.Hour)
	fill(&l.BodyIdle, 30*time.Second)
	fill(&l.BodyRate, 8<<10)
	fill(&l.KeepAlive, 15*time.Second)
	fill(&l.Reread, time.Second)
	fill(&l.WriteIdle, time.Minute)
	fill(&l.QueuesStay, 5*time.Second)
	return l
}

func fill[T comparable](v *T, standard T) {
	var zero T
	if *v == zero {
		*v = standard
	}
}

// Server is the API. Make it with New; serve it with Serve, or mount Handler.
type Server struct {
	Config
	echo      *echo.Echo
	guard     guard
	metrics   *metrics
	types     typeDocs
	openapi   []byte
	docs      []byte
	docsCSP   string
	queues    queueCache
	ready     readiness
	batches   batchBudget
	outages   outages
	buffers   sync.Pool // of *bytes.Buffer: request bodies and answers
	chunks    sync.Pool // of *[]byte: uploads
	streams   atomic.Int64
	backingUp atomic.Bool
	draining  atomic.Bool
	closing   chan struct{} // closed when waiting requests are to end
	closed    sync.Once
}

// New makes a Server.
func New(c Config) (*Server, error) {
	if c.Dispatcher == nil || c.Ledger == nil || c.Blobs == nil || c.Hub == nil || c.Auth == nil || c.Registry == nil || c.Log == nil {
		return nil, errors.New("rest: a part is missing in the configuration")
	}
	c.Limits = c.Limits.withDefaults()
	fill(&c.Drain.Delay, 300*time.Millisecond)
	fill(&c.Drain.Timeout, 20*time.Second)
	s := &Server{Config: c, guard: newGuard(c), closing: make(chan struct{}), batches: batchBudget{size: c.Limits.Batches}}
	s.buffers.New = newBuffer
	s.chunks.New = newChunk
	var err error
	if s.metrics, err = newMetrics(c.Registry); err != nil {
		return nil, err
	}
	if s.types, err = describeTypes(c.Types); err != nil {
		return nil, err
	}
	routes := s.routes()
	if s.openapi, err = describe(routes, c); err != nil {
		return nil, err
	}
	if s.docs, s.docsCSP, err = renderDocs(routes, c); err != nil {
		return nil, err
	}
	s.echo = s.router(routes)
	return s, nil
}

// Handler is the whole API.
func (s *Server) Handler() http.Handler { return s.echo }

// stopWaiting ends event streams and long polls.
func (s *Server) stopWaiting() { s.closed.Do(func() { close(s.closing) }) }
