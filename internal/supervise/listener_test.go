package supervise_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/supervise"
)

// Clients open a new connection for each request while children are killed and rolled. A connection that a killed child had accepted is lost, which no
// design can avoid; one that is refused would mean that nobody held the socket, and a roll must lose nothing at all.
func TestListenerHandOver(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			socket := listen(t, network)
			b := run(t, supervise.Config{Children: []supervise.Child{{
				Name: "api", Command: as("http"), Count: 2, Files: map[string]*os.File{"http": socket.File()},
			}}})
			c := startClients(t, socket.Addr())
			pids := b.ready(2)

			c.expectLosses(true)
			for range 5 {
				c.someAnswers()
				kill(t, pids[0])
				pids = append(pids[1:], b.next("ready").pid)
			}
			for _, pid := range pids {
				kill(t, pid) // both at once: connections wait in the backlog
			}
			b.ready(2)
			c.someAnswers()

			c.expectLosses(false)
			b.roll <- struct{}{}
			b.log.wait(t, "all children rolled")
			c.someAnswers()
			c.finish()

			b.stop()
			if err := b.end(); err != nil {
				t.Fatalf("Run = %v, want nil", err)
			}
			for _, e := range b.rest() {
				if e.kind == "exit" && e.exit.Overrun {
					t.Errorf("exit = %+v: Close of the listener hung", e.exit)
				}
			}
		})
	}
}

// A balancer sends a request elsewhere when its connection is refused; one that waits in a backlog until the drain is over is lost with it.
func TestConnectionsAreRefusedDuringADrain(t *testing.T) {
	t.Parallel()
	socket := listen(t, "tcp")
	b := run(t, supervise.Config{Grace: time.Hour, Children: []supervise.Child{{
		Name: "api", Command: as("endless drain"), Files: map[string]*os.File{"http": socket.File()}, OnStop: func() { socket.Close() },
	}}})
	b.ready(1)
	b.stop()
	for deadline := time.Now().Add(patience); ; {
		conn, err := net.Dial("tcp", socket.Addr().String())
		if errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
		if err == nil {
			conn.Close()
		}
		if time.Now().After(deadline) {
			t.Errorf("Dial during the drain = %v, want it refused", err)
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	close(b.kill)
	if err := b.end(); !errors.Is(err, supervise.ErrKilled) {
		t.Errorf("Run = %v", err)
	}
}

// exec.Cmd asks each extra file for its number, which makes an ordinary socket file blocking, for every process that shares it.
func TestSocketStaysNonblocking(t *testing.T) {
	t.Parallel()
	socket := listen(t, "tcp")
	fd := socket.File().Fd()
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
	if errno != 0 || flags&syscall.O_NONBLOCK == 0 {
		t.Errorf("flags = %#x (%v), want O_NONBLOCK", flags, errno)
	}
}

func TestSocketClose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	socket, err := supervise.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("Stat = %v, %v, want mode 0600", info, err)
	}
	if err := socket.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("Stat = %v, want no file", err)
	}
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("Dial succeeded, want it refused")
	}
}

// Not parallel: it changes the temporary directory.
func TestSocketDirIsShort(t *testing.T) {
	long := longDir(t)
	t.Setenv("TMPDIR", long)
	dir, err := supervise.SocketDir("millrace")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket, err := supervise.Listen(t.Context(), "unix", filepath.Join(dir, "dispatch.sock"))
	if err != nil {
		t.Fatalf("Listen in %s: %v", dir, err)
	}
	defer socket.Close()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("Stat = %v, %v, want mode 0700", info, err)
	}
	if left, err := os.ReadDir(long); err != nil || len(left) != 0 {
		t.Errorf("left in the long directory: %v, %v", left, err)
	}
}

func listen(t *testing.T, network string) *supervise.Socket {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		dir, err := supervise.SocketDir("supervise-test")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		address = filepath.Join(dir, "s")
	}
	socket, err := supervise.Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return socket
}

// clients keep asking a server, each request over a connection of its own.
type clients struct {
	t        *testing.T
	stop     context.CancelFunc
	done     sync.WaitGroup
	client   *http.Client
	lossy    atomic.Bool
	inFlight sync.RWMutex // held for reading during a request
	answers  chan struct{}
}

func startClients(t *testing.T, addr net.Addr) *clients {
	ctx, stop := context.WithCancel(t.Context())
	c := &clients{t: t, stop: stop, answers: make(chan struct{}), client: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
		},
	}}}
	for range 4 {
		c.done.Go(func() {
			for ctx.Err() == nil {
				c.ask(ctx)
			}
		})
	}
	t.Cleanup(c.finish)
	return c
}

func (c *clients) ask(ctx context.Context) {
	c.inFlight.RLock()
	lossy := c.lossy.Load()
	err := c.get(ctx)
	c.inFlight.RUnlock()
	switch {
	case ctx.Err() != nil:
		return
	case err != nil && (!lossy || errors.Is(err, syscall.ECONNREFUSED)):
		c.t.Errorf("request failed, losses allowed %v: %v", lossy, err)
		return
	case err != nil:
		return
	}
	select {
	case c.answers <- struct{}{}:
	default:
	}
}

func (c *clients) get(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/", nil)
	if err != nil {
		return err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// expectLosses takes effect when no request is under way.
func (c *clients) expectLosses(yes bool) {
	c.inFlight.Lock()
	defer c.inFlight.Unlock()
	c.lossy.Store(yes)
}

// someAnswers waits until the server has answered a few times.
func (c *clients) someAnswers() {
	for range 20 {
		<-c.answers
	}
}

func (c *clients) finish() {
	c.stop()
	c.done.Wait()
}
