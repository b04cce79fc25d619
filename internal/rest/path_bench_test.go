package rest_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/handlers"
	"github.com/millrace/millrace/internal/auth"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/rest"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/blob/disk"
	"github.com/millrace/millrace/store/sqlite"
	"github.com/millrace/millrace/tasks"
)

// swift is a ledger that has written everything already, so that a benchmark sees what the process itself does with a job.
type swift struct{ dispatch.Ledger }

func (swift) Insert(_ context.Context, jobs []store.NewJob) []error { return make([]error, len(jobs)) }

func (swift) InsertBatch(_ context.Context, _ string, _ *store.Idempotency, jobs []store.NewJob, _ func([]error) []byte) ([]error, error) {
	return make([]error, len(jobs)), nil
}

// sink is a queue that takes everything.
type sink struct{ dispatch.Queue }

func (sink) Enqueue(_ context.Context, tasks []queue.Task) []error { return make([]error, len(tasks)) }

// newPath is the API with the real dispatcher and nothing behind it.
func newPath(b *testing.B, ledger func(*sqlite.Ledger) dispatch.Ledger) http.Handler {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	types, err := tasks.NewList(handlers.All(handlers.Deps{})...)
	must(err)
	open, err := auth.New(auth.Config{})
	must(err)
	dir := b.TempDir()
	db, err := sqlite.Open(context.Background(), sqlite.Config{Path: dir + "/ledger.db"})
	must(err)
	b.Cleanup(func() { _ = db.Close() })
	blobs, err := disk.Open(disk.Config{Dir: dir + "/blobs"})
	must(err)
	log := slog.New(slog.DiscardHandler)
	d := dispatch.New(dispatch.Config{Ledger: ledger(db), Queue: sink{}, Types: types, Log: log, Committers: 1})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Run(ctx) }()
	b.Cleanup(func() { stop(); <-done })
	s, err := rest.New(rest.Config{Dispatcher: d, Ledger: db, Blobs: blobs, Types: types, Hub: notify.NewHub(notify.Config{}), Auth: open,
		Log: log, Registry: prometheus.NewRegistry()})
	must(err)
	return s.Handler()
}

// sent sends a body again and again.
func sent(b *testing.B, h http.Handler, path, kind, body string) {
	b.Helper()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "http://localhost"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted {
			b.Fatal(w.Code, w.Body)
		}
	}
}

const benchJob = `{"type":"compute.checksum","input":{"file":"0198c0de-0000-7000-8000-000000000000"},"params":{"algorithms":["sha256"]},"cache":false}`

// BenchmarkPath is what the process does for POST /v1/jobs, one job per operation: no sockets, and a ledger and a queue that cost nothing.
func BenchmarkPath(b *testing.B) {
	sent(b, newPath(b, func(l *sqlite.Ledger) dispatch.Ledger { return swift{l} }), "/v1/jobs", "application/json", benchJob)
}

// BenchmarkBatchPath is the same for POST /v1/jobs/batch, 1,000 jobs per operation.
func BenchmarkBatchPath(b *testing.B) {
	for _, kind := range []struct{ name, contentType, body string }{
		{"ndjson", "application/x-ndjson", strings.Repeat(benchJob+"\n", 1000)},
		{"array", "application/json", "[" + strings.Repeat(benchJob+",", 999) + benchJob + "]"},
	} {
		b.Run(kind.name, func(b *testing.B) {
			sent(b, newPath(b, func(l *sqlite.Ledger) dispatch.Ledger { return swift{l} }), "/v1/jobs/batch", kind.contentType, kind.body)
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

// BenchmarkBatchDurable writes the batches into SQLite, fsync included.
func BenchmarkBatchDurable(b *testing.B) {
	file := "0198c0de-0000-7000-8000-000000000000"
	h := newPath(b, func(l *sqlite.Ledger) dispatch.Ledger {
		f := millrace.File{ID: file, Tenant: millrace.DefaultTenant, Name: "x", SHA256: strings.Repeat("0", 64), Blob: "a/b", CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
		if err := l.CreateFile(context.Background(), f, nil); err != nil {
			b.Fatal(err)
		}
		return l
	})
	sent(b, h, "/v1/jobs/batch", "application/x-ndjson", strings.Repeat(benchJob+"\n", 1000))
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "jobs/s")
}

// BenchmarkSocketPath is POST /v1/jobs over loopback TCP from 16 connections, client included; ns/op is both sides' share of two cores.
func BenchmarkSocketPath(b *testing.B) {
	server := httptest.NewServer(newPath(b, func(l *sqlite.Ledger) dispatch.Ledger { return swift{l} }))
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.SetParallelism(8)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Post(server.URL+"/v1/jobs", "application/json", strings.NewReader(benchJob))
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusAccepted {
				b.Error(resp.Status)
			}
		}
	})
}
