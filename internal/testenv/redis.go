package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Redis starts a private redis-server and returns its address, such as "redis://127.0.0.1:35712/0". It ends with the test.
func Redis(t testing.TB) string {
	t.Helper()
	return StartRedis(t).URL
}

// RedisServer is a private redis-server that a test may kill, hang and start again.
type RedisServer struct {
	URL  string
	port int
	dir  func() string
	args []string
	proc *process
}

// StartRedis starts a private redis-server without persistence; args are further arguments for it. It ends with the test.
func StartRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		missing(t, "redis-server is not in PATH")
	}
	s := &RedisServer{args: args}
	s.dir = func() string {
		// Not t.TempDir: the directory must go even when the test binary is killed, so its guard removes it.
		dir, err := os.MkdirTemp("", "millrace-redis-")
		if err != nil {
			t.Fatalf("directory for redis: %v", err)
		}
		return dir
	}
	t.Cleanup(func() {
		if s.proc != nil {
			s.proc.stop()
		}
	})
	for try := 0; ; try++ {
		s.port = freePort(t)
		err := s.run()
		if err == nil {
			break
		}
		// Another process may have taken the port between freePort and the server's own bind.
		if !errors.Is(err, errExited) || try == 5 {
			t.Fatalf("start redis-server: %v", err)
		}
	}
	s.URL = fmt.Sprintf("redis://127.0.0.1:%d/0", s.port)
	return s
}

func (s *RedisServer) run() error {
	args := append([]string{"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"}, s.args...)
	proc, err := start(s.dir(), "KILL", nil, "redis-server", args...)
	if err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{
		Addr: fmt.Sprintf("127.0.0.1:%d", s.port), MaxRetries: -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	defer client.Close()
	err = proc.ready(func() error { return client.Ping(context.Background()).Err() })
	if err == nil && proc.exited() {
		err = errExited // the answer came from whoever else has the port
	}
	if err != nil {
		proc.stop()
		return err
	}
	s.proc = proc
	return nil
}

// Kill ends the server as kill -9 does; everything in it is lost. Connections to its port are refused until Start.
func (s *RedisServer) Kill() { s.proc.stop() }

// Start runs the server again on its port, empty.
func (s *RedisServer) Start(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatalf("start redis-server again: %v", err)
	}
}

// Hang stops the server without closing its connections, as a stalled machine does; Resume lets it go on.
func (s *RedisServer) Hang() error { return syscall.Kill(s.proc.pid, syscall.SIGSTOP) }

// Resume ends Hang.
func (s *RedisServer) Resume() error { return syscall.Kill(s.proc.pid, syscall.SIGCONT) }

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
