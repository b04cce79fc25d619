package boot

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/rest"
)

func TestReadyNamesWhatFails(t *testing.T) {
	t.Parallel()
	fine := func(context.Context) error { return nil }
	fails := func(context.Context) error { return errors.New("secret host 10.0.0.1 refused") }
	for _, tt := range []struct {
		name          string
		ledger, queue func(context.Context) error
		code          int
		status        string
		checks        map[string]string
	}{
		{"all well", fine, fine, http.StatusOK, "ready", map[string]string{"ledger": "ok", "queue": "ok"}},
		{"Redis down", fine, fails, http.StatusOK, "degraded", map[string]string{"ledger": "ok", "queue": "failing"}},
		{"database down", fails, fine, http.StatusServiceUnavailable, "unready", map[string]string{"ledger": "failing", "queue": "ok"}},
		{"both down", fails, fails, http.StatusServiceUnavailable, "unready", map[string]string{"ledger": "failing", "queue": "failing"}},
	} {
		rec := httptest.NewRecorder()
		ready(rec, httptest.NewRequest(http.MethodGet, "/readyz", nil), []rest.Check{{Name: "ledger", Required: true, Func: tt.ledger}, {Name: "queue", Func: tt.queue}})
		var got struct {
			Status string
			Checks map[string]string
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if rec.Code != tt.code || got.Status != tt.status || got.Checks["ledger"] != tt.checks["ledger"] || got.Checks["queue"] != tt.checks["queue"] {
			t.Errorf("%s: %d %+v, want %d %s %v", tt.name, rec.Code, got, tt.code, tt.status, tt.checks)
		}
		if strings.Contains(rec.Body.String(), "10.0.0.1") {
			t.Errorf("%s: the answer tells strangers why: %s", tt.name, rec.Body)
		}
	}
}

// An address that the api has taken from the same environment keeps no scheduler from leading; one that a person typed is a mistake.
func TestSchedulerWithoutItsAddress(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tt := range []struct {
		set  string
		fits func(net.Listener, error) bool
	}{
		{"MILLRACE_ADDR", func(l net.Listener, err error) bool { return l == nil && err == nil }},
		{"--addr", func(l net.Listener, err error) bool { return l == nil && isUsage(err) }},
	} {
		var log strings.Builder
		p := &process{config: Config{Addr: l.Addr().String(), names: map[string]string{"addr": tt.set}}, log: slog.New(slog.NewTextHandler(&log, nil))}
		got, err := p.listenForProbes(t.Context())
		if !tt.fits(got, err) {
			t.Errorf("%s: %v, %v", tt.set, got, err)
		}
		if lines := strings.Count(log.String(), "\n"); (lines == 1) != (err == nil) {
			t.Errorf("%s: %d lines of log:\n%s", tt.set, lines, &log)
		}
	}
}
