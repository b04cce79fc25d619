package postgres_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store/postgres"
)

// TestGivenUpRead: a caller that stops waiting ends the statement on the server, and the connection goes on.
func TestGivenUpRead(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	l, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, MaxConns: 1, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	backend := func() (pid int) {
		t.Helper()
		if err := l.Pool().QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			t.Fatal(err)
		}
		return pid
	}
	before := backend()
	other := connect(t, dsn)
	exec(t, other, "BEGIN")
	exec(t, other, "LOCK TABLE jobs")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := l.Job(ctx, millrace.DefaultTenant, newID()); err == nil {
		t.Fatal("a read behind a lock answered")
	}
	if after := backend(); after != before {
		t.Errorf("the connection was given up with the statement: backend %d, then %d", before, after)
	}
	exec(t, other, "ROLLBACK")
}

// TestReadEndsByItself: without a deadline of the caller's a read behind a lock ends all the same.
func TestReadEndsByItself(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	l := open(t, dsn)
	other := connect(t, dsn)
	exec(t, other, "BEGIN")
	exec(t, other, "LOCK TABLE jobs")
	if _, err := l.Job(t.Context(), millrace.DefaultTenant, newID()); err == nil || t.Context().Err() != nil {
		t.Errorf("Job behind a lock = %v, want an error of its own", err)
	}
	exec(t, other, "ROLLBACK")
}

// TestBlackHole: a network that swallows everything holds a caller no longer than its deadline and the time of a cancel.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	hole := newHole(t, dsn)
	l := open(t, hole.dsn)
	if err := l.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	hole.swallow()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := l.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ping into a black hole = %v, want a deadline exceeded", err)
	}
}

// hole is a proxy that can stop passing anything on without closing.
type hole struct {
	dsn  string
	mu   sync.Mutex
	open bool // swallows
}

func (h *hole) swallow() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = true
}

func (h *hole) swallows() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open
}

func newHole(t *testing.T, dsn string) *hole {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	network, address := "tcp", u.Host
	if dir := u.Query().Get("host"); dir != "" {
		network, address = "unix", dir+"/.s.PGSQL.5432"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hole{}
	u.Host = listener.Addr().String()
	q := u.Query()
	q.Del("host")
	u.RawQuery = q.Encode()
	h.dsn = u.String()

	var all sync.WaitGroup
	var conns []net.Conn
	pass := func(to, from net.Conn) {
		buf := make([]byte, 1<<16)
		for {
			n, err := from.Read(buf)
			if err == nil && !h.swallows() {
				_, err = to.Write(buf[:n])
			}
			if errors.Is(err, io.EOF) && h.swallows() {
				return
			}
			if err != nil {
				to.Close()
				return
			}
		}
	}
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial(network, address)
			if err != nil {
				client.Close()
				continue
			}
			h.mu.Lock()
			conns = append(conns, client, server)
			h.mu.Unlock()
			all.Go(func() { pass(server, client) })
			all.Go(func() { pass(client, server) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		h.mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		h.mu.Unlock()
		all.Wait()
	})
	return h
}
