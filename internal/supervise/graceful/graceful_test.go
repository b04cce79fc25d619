package graceful_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/supervise/graceful"
)

// server is one run of Serve on a loopback port.
type server struct {
	addr   string
	stop   context.CancelFunc
	result chan error
}

func start(t *testing.T, h http.HandlerFunc, grace time.Duration) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s := &server{addr: l.Addr().String(), stop: stop, result: make(chan error, 1)}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		s.result <- graceful.Serve(ctx, &http.Server{Handler: h}, l, grace)
	}()
	t.Cleanup(func() {
		stop()
		<-finished
	})
	return s
}

func (s *server) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (s *server) get(t *testing.T, client *http.Client) string {
	t.Helper()
	resp, err := client.Get("http://" + s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// refused waits until the server no longer accepts.
func (s *server) refused(t *testing.T) {
	t.Helper()
	for {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			return
		}
		c.Close()
	}
}

func TestAnswersWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	s := start(t, func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		fmt.Fprint(w, "done")
	}, time.Minute)
	got := make(chan string, 1)
	go func() { got <- s.get(t, &http.Client{}) }()
	<-begun
	s.stop()
	s.refused(t)
	close(finish)
	if body := <-got; body != "done" {
		t.Errorf("body = %q, want done", body)
	}
	if err := <-s.result; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}

// The request is complete only after the server has stopped accepting: Shutdown alone would close its connection without an answer.
func TestAnswersARequestOnItsWay(t *testing.T) {
	t.Parallel()
	s := start(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "done") }, time.Minute)
	c := s.dial(t)
	fmt.Fprint(c, "GET / HTTP/1.1\r\n")
	s.get(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}) // accepted after c, so c is accepted by now
	s.stop()
	s.refused(t)
	fmt.Fprint(c, "Host: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "done" || !resp.Close {
		t.Errorf("answer = %q, %v, close %v, want done and a connection that closes", body, err, resp.Close)
	}
	if err := <-s.result; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}

func TestSilentAndIdleConnectionsDoNotHold(t *testing.T) {
	t.Parallel()
	s := start(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "done") }, time.Hour)
	s.dial(t)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	s.get(t, client) // stays open, idle
	s.stop()
	select {
	case err := <-s.result:
		if err != nil {
			t.Errorf("Serve = %v, want nil", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Serve still waits for connections that say nothing")
	}
}

func TestGraceEnds(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	s := start(t, func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	}, time.Millisecond)
	fmt.Fprint(s.dial(t), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	s.stop()
	if err := <-s.result; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Serve = %v, want a deadline error", err)
	}
}

func TestOwnHooksAreCalled(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	type key struct{}
	var mu sync.Mutex
	var states []string
	srv := &http.Server{
		Handler:     http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Context().Value(key{})) }),
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context { return context.WithValue(ctx, key{}, "mine") },
		ConnState: func(_ net.Conn, s http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, s.String())
		},
	}
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- graceful.Serve(ctx, srv, l, time.Minute) }()
	s := &server{addr: l.Addr().String()}
	if body := s.get(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}); body != "mine" {
		t.Errorf("body = %q, want the value of the caller's ConnContext", body)
	}
	stop()
	if err := <-result; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(states, " "); got != "new active closed" {
		t.Errorf("states = %q, want new active closed", got)
	}
}

func TestListenerThatFails(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := graceful.Serve(t.Context(), &http.Server{}, l, time.Minute); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve = %v, want net.ErrClosed", err)
	}
}
