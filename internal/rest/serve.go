package rest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/millrace/millrace/internal/supervise/graceful"
)

// Drain is how a server ends without losing a request.
type Drain struct {
	// Delay is how long it goes on answering, with Connection: close and /readyz at 503, before it stops accepting: for a balancer to notice, and
	// for clients that keep connections open to let go of them. 0: 300 ms.
	Delay time.Duration
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
	defer s.stopWaiting()
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	announced := make(chan struct{})
	go func() {
		defer close(announced)
		select {
		case <-serving.Done(): // ended by itself
			return
		case <-ctx.Done():
		}
		s.draining.Store(true)
		delay := time.NewTimer(s.Drain.Delay)
		defer delay.Stop()
		select {
		case <-delay.C:
		case <-serving.Done():
		}
		stop()
	}()
	err := graceful.Serve(serving, server, ln, s.Drain.Timeout)
	stop()
	<-announced
	if errors.Is(err, context.DeadlineExceeded) {
		s.Log.Warn("requests were cut off at the end", "timeout", s.Drain.Timeout)
		return nil
	}
	return err
}
