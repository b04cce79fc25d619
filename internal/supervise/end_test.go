package supervise_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/supervise"
)

// Clients that open a new connection for each request, as fast as they can, while everything is told to end: those that have connected are answered.
// What the kernel takes in between the last accept and the close of the socket it resets, which nobody can prevent: one in a hundred may meet that.
func TestNoConnectionIsResetAtTheEnd(t *testing.T) {
	t.Parallel()
	for range 5 {
		socket := listen(t, "tcp")
		b := run(t, supervise.Config{Children: []supervise.Child{{
			Name: "api", Command: as("http"), Count: 2, Files: map[string]*os.File{"http": socket.File()},
			OnStop: func() { _ = socket.Close() },
		}}})
		b.ready(2)
		var clients sync.WaitGroup
		var answers, resets atomic.Int64
		enough := make(chan struct{})
		for range 4 * runtime.NumCPU() {
			clients.Go(func() {
				for {
					if err := ask(socket.Addr().String()); errors.Is(err, errNotConnected) {
						return
					} else if errors.Is(err, syscall.ECONNRESET) && resets.Add(1) <= 3 {
						continue
					} else if err != nil {
						t.Errorf("a request on a connection that was made: %v", err)
						return
					}
					if answers.Add(1) == 300 {
						close(enough)
					}
				}
			})
		}
		<-enough
		b.stop()
		clients.Wait()
		if err := b.end(); err != nil {
			t.Errorf("Run = %v", err)
		}
	}
}

var errNotConnected = errors.New("not connected")

// ask sends one request on a connection of its own.
func ask(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return errNotConnected
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://" + addr)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
