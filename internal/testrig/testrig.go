// Package testrig puts the real embedded parts together for tests: a SQLite ledger in a fresh directory, asynq on the in-process Redis, a blob
// directory. Only tests import it.
package testrig

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/embedded"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/store/blob"
	"github.com/millrace/millrace/store/blob/disk"
	"github.com/millrace/millrace/store/sqlite"
)

// Rig is a set of stores that end with the test.
type Rig struct {
	Ledger *sqlite.Ledger
	Redis  redis.UniversalClient
	Queue  *queue.Queue
	Blobs  blob.Store
	Log    *slog.Logger

	t testing.TB
}

// New makes the stores.
func New(t testing.TB) *Rig {
	t.Helper()
	dir := t.TempDir()
	r := &Rig{t: t, Log: slog.New(slog.DiscardHandler)}
	ledger, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "ledger.db"), Log: r.Log})
	if err != nil {
		t.Fatalf("open the ledger: %v", err)
	}
	t.Cleanup(func() { _ = ledger.Close() })
	r.Ledger = ledger
	if r.Blobs, err = disk.Open(disk.Config{Dir: filepath.Join(dir, "blobs")}); err != nil {
		t.Fatalf("open the blobs: %v", err)
	}
	r.openQueue()
	return r
}

func (r *Rig) openQueue() {
	r.t.Helper()
	sockets, err := os.MkdirTemp("", "rig-") // short, unlike t.TempDir: the path of a unix socket is bounded
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	path := filepath.Join(sockets, "redis.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		r.t.Fatal(err)
	}
	server, err := embedded.NewRedis("secret")
	if err != nil {
		r.t.Fatal(err)
	}
	r.Go(func(ctx context.Context) error { return server.Serve(ctx, l) })
	r.Redis = embedded.Dial(path, "secret")
	r.t.Cleanup(func() { _ = r.Redis.Close() })
	if r.Queue, err = queue.Open(queue.Config{Redis: r.Redis, Log: r.Log}); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.Queue.Close)
}

// Go runs a service until the test ends, or until stop is called, and waits for it.
func (r *Rig) Go(run func(ctx context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	ended := false
	stop = func() {
		cancel()
		if ended {
			return
		}
		ended = true
		if err := <-done; err != nil {
			r.t.Errorf("service ended with %v", err)
		}
	}
	r.t.Cleanup(stop)
	return stop
}

// File stores bytes as an uploaded file of the default tenant.
func (r *Rig) File(name string, data []byte) millrace.File {
	r.t.Helper()
	ctx := r.t.Context()
	w, err := r.Blobs.Create(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		r.t.Fatal(err)
	}
	sum, size := w.Sum()
	key, err := w.Commit(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	f := millrace.File{ID: uuid.Must(uuid.NewV7()).String(), Tenant: millrace.DefaultTenant, Name: name, Size: size, SHA256: sum, Blob: key,
		ContentType: "application/octet-stream", CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
	if err := r.Ledger.CreateFile(ctx, f, nil); err != nil {
		r.t.Fatal(err)
	}
	return f
}

// Job reads a job that must exist.
func (r *Rig) Job(id string) *millrace.Job {
	r.t.Helper()
	job, err := r.Ledger.Job(r.t.Context(), millrace.DefaultTenant, id)
	if err != nil {
		r.t.Fatalf("job %s: %v", id, err)
	}
	return job
}

// Await reads the job until it fits.
func (r *Rig) Await(id, what string, fits func(*millrace.Job) bool) *millrace.Job {
	r.t.Helper()
	var job *millrace.Job
	Eventually(r.t, what, func() bool {
		job = r.Job(id)
		return fits(job)
	})
	return job
}

// Eventually polls until done answers true, for half a minute.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within half a minute", what)
		}
	}
}
