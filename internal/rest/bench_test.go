package rest_test

import (
	"context"
	"encoding/json"
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
	"github.com/millrace/millrace/internal/rest"
	"github.com/millrace/millrace/store/blob/disk"
	"github.com/millrace/millrace/store/sqlite"
	"github.com/millrace/millrace/tasks"
)

// accepting is a dispatcher that does nothing, so that a benchmark sees HTTP and JSON alone.
type accepting struct{ rest.Dispatcher }

func (accepting) Room() error { return nil }

func (accepting) Submit(_ context.Context, spec dispatch.Spec) (*millrace.Job, error) {
	return &millrace.Job{ID: "0198c0de-0000-7000-8000-000000000000", Tenant: spec.Tenant, Type: spec.Type, State: millrace.Queued,
		Priority: millrace.Normal, Params: json.RawMessage(`{"algorithms":["sha256"]}`), Inputs: spec.Inputs, Run: 1, MaxAttempts: 5, CreatedAt: time.Now()}, nil
}

// BenchmarkSubmit is the API's own share of POST /v1/jobs: one job per operation, without sockets, ledger or queue.
func BenchmarkSubmit(b *testing.B) {
	bare := newBare(b)
	h := bare.server.Handler()
	body := `{"type":"compute.checksum","input":{"file":"0198c0de-0000-7000-8000-000000000000"},"params":{"algorithms":["sha256"]},"cache":false}`
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/v1/jobs", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted {
			b.Fatal(w.Code, w.Body)
		}
	}
}

// BenchmarkNothing is what BenchmarkSubmit spends on its request and recorder.
func BenchmarkNothing(b *testing.B) {
	body := strings.Repeat("x", 130)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/v1/jobs", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		_, _ = w.WriteString(body)
		_ = r
	}
}

// bare is a server over a ledger and blobs, with a dispatcher that does nothing and no Redis.
type bare struct {
	server *rest.Server
	ledger *sqlite.Ledger
	blobs  *disk.Store
}

func newBare(t testing.TB) *bare {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	types, err := tasks.NewList(handlers.All(handlers.Deps{})...)
	must(err)
	open, err := auth.New(auth.Config{})
	must(err)
	dir := t.TempDir()
	ledger, err := sqlite.Open(context.Background(), sqlite.Config{Path: dir + "/ledger.db"})
	must(err)
	t.Cleanup(func() { _ = ledger.Close() })
	blobs, err := disk.Open(disk.Config{Dir: dir + "/blobs"})
	must(err)
	s, err := rest.New(rest.Config{
		Dispatcher: accepting{}, Ledger: ledger, Blobs: blobs, Types: types, Hub: notify.NewHub(notify.Config{}), Auth: open,
		Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	})
	must(err)
	return &bare{s, ledger, blobs}
}

// files counts files and temporary blobs.
func (b *bare) files(t *testing.T) (files, temporary int) {
	t.Helper()
	list, err := b.ledger.ListFiles(t.Context(), millrace.DefaultTenant, "", 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	temporary, err = b.blobs.Sweep(t.Context(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return len(list), temporary
}
