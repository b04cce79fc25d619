package rest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/rest"
	"github.com/millrace/millrace/internal/testrig"
)

// serve lets the mill's server listen by itself, and answers how it ended.
func (m *mill) serve(ctx context.Context) (ended <-chan error) {
	m.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	m.must(err)
	m.url = "http://" + l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- m.server.Serve(ctx, l) }()
	return done
}

func TestServeDrains(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) {
		c.Drain = rest.Drain{Delay: 300 * time.Millisecond, Timeout: 20 * time.Second}
		c.Limits.Reread = never
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := m.serve(ctx)
	j := m.submit(m.upload("a", "x").ID)
	l := m.listen(j.URL + "/events")
	l.want("state")
	waiting := async(func() answer { return m.get(j.URL + "?wait=60s") })
	if a := m.get("/readyz"); a.StatusCode != http.StatusOK {
		t.Fatalf("readyz = %d", a.StatusCode)
	}
	cancel()
	var drained answer
	testrig.Eventually(t, "readyz to say that the server drains", func() bool {
		drained = m.get("/readyz")
		return drained.StatusCode == http.StatusServiceUnavailable
	})
	if !strings.Contains(string(drained.body), `"draining"`) || !drained.Close {
		t.Errorf("draining readyz = %s, Connection: close %t", drained.body, drained.Close)
	}
	if a := m.get(j.URL); a.StatusCode != http.StatusOK {
		t.Errorf("while draining GET = %d", a.StatusCode)
	}
	e, ok := l.next()
	for ok && !strings.Contains(e.comment, "closing") {
		e, ok = l.next()
	}
	if !ok {
		t.Error("the stream ended without a word")
	}
	if _, more := l.next(); more {
		t.Error("the stream goes on after the server said that it closes")
	}
	if got := read[job](t, <-waiting, http.StatusOK); got.ID != j.ID {
		t.Errorf("who waited got %+v", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestServeCutsOffWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) { c.Drain = rest.Drain{Delay: time.Millisecond, Timeout: 50 * time.Millisecond} })
	ctx, cancel := context.WithCancel(t.Context())
	ended := m.serve(ctx)
	conn, err := net.Dial("tcp", strings.TrimPrefix(m.url, "http://"))
	m.must(err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, uploadHead+"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
	m.must(err)
	_, err = conn.Read(make([]byte, 1)) // 100 Continue: the handler is reading
	m.must(err)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestServeSaysWhenTheListenerFails(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	m.must(err)
	m.must(l.Close())
	if err := m.server.Serve(t.Context(), l); err == nil {
		t.Error("Serve on a closed listener = nil")
	}
}

func TestReadyz(t *testing.T) {
	t.Parallel()
	broken := func(context.Context) error { return errors.New("dial tcp 10.1.2.3:5432: password=hunter2") }
	fine := func(context.Context) error { return nil }
	for _, tt := range []struct {
		name   string
		checks []rest.Check
		status int
		want   string
	}{
		{"no checks", nil, 200, `{"status":"ready","checks":{}}`},
		{"all fine", []rest.Check{{"ledger", true, fine}, {"redis", false, fine}}, 200, `{"status":"ready","checks":{"ledger":"ok","redis":"ok"}}`},
		{"redis is away", []rest.Check{{"ledger", true, fine}, {"redis", false, broken}}, 200, `{"status":"degraded","checks":{"ledger":"ok","redis":"failing"}}`},
		{"ledger is away", []rest.Check{{"ledger", true, broken}, {"redis", false, broken}}, 503, `{"status":"unready","checks":{"ledger":"failing","redis":"failing"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMill(t, func(c *rest.Config) { c.Checks = tt.checks })
			a := m.get("/readyz")
			if a.StatusCode != tt.status || strings.TrimSpace(string(a.body)) != tt.want {
				t.Errorf("readyz = %d %s, want %d %s", a.StatusCode, a.body, tt.status, tt.want)
			}
		})
	}
}

func TestReadyzIsNoWayToTireTheStores(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	m := newMill(t, func(c *rest.Config) {
		c.Checks = []rest.Check{{"ledger", true, func(context.Context) error { asked.Add(1); return nil }}}
	})
	start := time.Now()
	for range 50 {
		m.get("/readyz")
	}
	if most := int64(time.Since(start)/(500*time.Millisecond)) + 1; asked.Load() > most {
		t.Errorf("50 calls asked the store %d times, want %d at most", asked.Load(), most)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	m.get("/v1/jobs/" + newID())
	m.get("/no/such/path/" + newID())
	m.do("BREW", "/v1/jobs", nil)
	text := string(m.get("/metrics").body)
	for _, want := range []string{
		`millrace_http_requests_total{method="GET",route="/v1/jobs/:id",status="404"} 1`,
		`millrace_http_requests_total{method="GET",route="none",status="404"} 1`,
		`millrace_http_requests_total{method="other",route="/v1/jobs",status="405"} 1`,
		`millrace_http_request_seconds_count{method="GET",route="/v1/jobs/:id"} 1`, `millrace_http_event_streams 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}
