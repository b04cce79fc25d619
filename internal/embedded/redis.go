// Package embedded is the in-process Redis of `millrace serve`: dispatch for one machine with nothing to install.
//
// It speaks over connections that it is handed, on a unix socket: no TCP port is opened. It keeps nothing: after a restart the reconciler fills it
// again from the ledger. It is not for production with several machines; there Redis itself does the work.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Redis is the server. It lives in the process that must not die with a job: core, never a worker.
type Redis struct {
	mini *miniredis.Miniredis
}

// NewRedis makes a server that asks its clients for the password.
func NewRedis(password string) (*Redis, error) {
	if password == "" {
		// Whoever reaches the queue can feed the workers; the socket's mode alone does not protect a directory that was opened up.
		return nil, errors.New("the embedded Redis needs a password")
	}
	mini := miniredis.NewMiniRedis()
	mini.RequireAuth(password)
	conn, err := mini.Dial() // the one way to start it that opens no port
	if err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	if err := conn.Close(); err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	return &Redis{mini: mini}, nil
}

// Serve answers the clients that connect to l until ctx ends; it closes l and every connection, and returns when all of them have ended. A Redis
// serves once.
func (r *Redis) Serve(ctx context.Context, l net.Listener) error {
	server := r.mini.Server()
	if server == nil {
		return errors.New("the embedded Redis has ended")
	}
	inner, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.tick(inner) })
	stop := context.AfterFunc(inner, func() { l.Close() })

	var failed error
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				failed = fmt.Errorf("accept a client of the embedded Redis: %w", err)
			}
			break
		}
		server.ServeConn(conn)
	}
	cancel()
	if stop() {
		l.Close()
	}
	wg.Wait()
	r.mini.Close()
	return failed
}

// tick moves the clock of keys that expire. miniredis' own wall clock would walk all keys at each command: with 6,000 tasks queued it leaves 53
// jobs a second of 1,000.
func (r *Redis) tick(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			r.mini.FastForward(now.Sub(last))
			last = now
		}
	}
}
