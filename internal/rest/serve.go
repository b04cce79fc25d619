package rest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Drain is how a server ends without losing a request.
type Drain struct {
	// Delay is how long it goes on answering, with Connection: close and /readyz at 503, before it shuts down: http.Server.Shutdown alone drops
	// requests that clients are just writing. Long enough for a balancer to notice. 0: 300 ms.
	Delay time.Duration
	// CloseFirst closes the listener at once, for a listener that another process holds too: new connections then wait for that one.
	CloseFirst bool
	// Timeout bounds what requests may still take after the delay. 0: 20 s.
	Timeout time.Duration
}

// Limits of a connection. There is no limit on a whole request or answer: uploads and downloads may take hours as long as they move.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10
)

// Serve answers requests from ln until ctx ends, then drains and returns nil. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug), // clients that break off; nothing an operator would act on
	}
	server.RegisterOnShutdown(s.stopWaiting)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err := <-served:
		s.stopWaiting()
		return errors.Join(err, server.Close())
	case <-ctx.Done():
	}
	err := s.drain(server, ln)
	<-served
	return err
}

func (s *Server) drain(server *http.Server, ln net.Listener) error {
	s.draining.Store(true)
	if s.Drain.CloseFirst {
		_ = ln.Close()
	}
	delay := time.NewTimer(s.Drain.Delay)
	<-delay.C
	ctx, cancel := context.WithTimeout(context.Background(), s.Drain.Timeout)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.Log.Warn("requests were cut off at the end", "timeout", s.Drain.Timeout)
		err = server.Close()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil // the listener was closed before
	}
	return err
}
