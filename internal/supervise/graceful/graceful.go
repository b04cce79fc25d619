// Package graceful ends an HTTP server without dropping a request that a client has already sent.
//
// http.Server.Shutdown alone does drop some: a request that it reads after the shutdown has begun is closed without an answer, and a connection that was
// just accepted may not be known to it yet. Where several processes share a listening socket and are replaced one by one, both show up as errors under
// load. It is not a server: routes, timeouts and limits belong to the caller.
package graceful

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// settle is how long a connection may stay silent, once the server stops, before it is taken for one that was opened on speculation.
const settle = 500 * time.Millisecond

// Serve runs the server on l until ctx ends. Then it stops accepting, answers every request that is under way or on its way, and returns nil,
// or an error when grace was too short and connections were cut. The server's OnShutdown functions run when no new request can begin any more.
// An end that ctx did not ask for is an error. Serve uses the server's Handler, ConnState and ConnContext, and calls those that it finds there.
func Serve(ctx context.Context, server *http.Server, l net.Listener, grace time.Duration) error {
	t := track(server)
	served := make(chan error, 1)
	last := &lastAccept{Listener: l}
	go func() { served <- server.Serve(last) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	// ctx is over; what follows has its own limit.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	server.SetKeepAlivesEnabled(false)
	// Closing the listener instead of calling Shutdown keeps the server answering.
	last.end()
	<-served
	t.wait(ctx)
	err := server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("drain: %w", err), server.Close())
	}
	return err
}

// tracker knows the connections on which a request may be on its way: new ones, and those whose request has begun but has not reached the handler.
type tracker struct {
	mu      sync.Mutex
	pending map[net.Conn]struct{}
	empty   chan struct{} // closed when the last is gone, while somebody waits
}

// connKey finds a request's connection in its context.
type connKey struct{}

// track wraps the server's hooks. The handler counts as the arrival of a request, since http.Server still drops one that it has marked as active.
func track(server *http.Server) *tracker {
	t := &tracker{pending: make(map[net.Conn]struct{})}
	handler, connState, connContext := server.Handler, server.ConnState, server.ConnContext
	if handler == nil {
		handler = http.DefaultServeMux
	}
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, c)
		}
		return context.WithValue(ctx, connKey{}, c)
	}
	server.ConnState = func(c net.Conn, state http.ConnState) {
		t.set(c, state == http.StateNew || state == http.StateActive)
		if connState != nil {
			connState(c, state)
		}
	}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
			t.set(c, false)
		}
		handler.ServeHTTP(w, r)
	})
	return t
}

func (t *tracker) set(c net.Conn, pending bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if pending {
		t.pending[c] = struct{}{}
		return
	}
	delete(t.pending, c)
	if len(t.pending) == 0 && t.empty != nil {
		close(t.empty)
		t.empty = nil
	}
}

// wait returns when every request on its way has arrived, and closes the connections that stay silent.
func (t *tracker) wait(ctx context.Context) {
	t.mu.Lock()
	if len(t.pending) == 0 {
		t.mu.Unlock()
		return
	}
	empty := make(chan struct{})
	t.empty = empty
	t.mu.Unlock()
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-empty:
		return
	case <-ctx.Done():
	case <-timer.C:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.pending {
		c.Close()
	}
}
