package remote_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/remote"
	"github.com/millrace/millrace/store/sqlite"
)

// clock is a time.Now that a test can set forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) Age(_ testing.TB, d time.Duration) { c.ahead.Add(int64(d)) }

func openLedger(t testing.TB, c *clock) *sqlite.Ledger {
	t.Helper()
	l, err := sqlite.Open(context.Background(), sqlite.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

// socket is a path short enough for a socket; t.TempDir has the test's name in it.
func socket(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "millrace-remote-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func listen(t testing.TB, path string) *net.UnixListener {
	t.Helper()
	ln, err := remote.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// serve runs a server until stop is called or the test ends; gone receives the workers that died.
func serve(t testing.TB, ln net.Listener, ledger store.WorkerLedger) (gone <-chan string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	dead, ended := make(chan string, 16), make(chan error, 1)
	go func() { ended <- remote.Serve(ctx, ln, ledger, remote.Hooks{Gone: func(id string) { dead <- id }}) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("Serve does not end")
		}
	}
	t.Cleanup(stop)
	return dead, stop
}

func dial(t testing.TB, path string) *remote.Client {
	t.Helper()
	c := remote.Dial(remote.Config{Path: path})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

func newWorker() millrace.Worker {
	return millrace.Worker{ID: uuid.Must(uuid.NewV7()).String(), Host: "mill"}
}

// await is the next value of the channel, or the end of the test.
func await[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("%s: nothing came", what)
		panic("unreachable")
	}
}
