// Package remote carries the workers' part of the ledger (store.WorkerLedger) over a unix socket, for Millrace on one machine: there one
// process alone opens the SQLite file, and it serves the workers. No bytes of files pass here; workers share the directory of blobs. It is not
// for networks: whoever can open the socket is trusted.
//
// The connection over which a worker has registered is its sign of life: the kernel closes it when the process dies, however that happens.
package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/millrace/millrace/store"
)

// Hooks are told what happens on the socket.
type Hooks struct {
	// Gone is called when the connection of a registered worker has ended without Leave: its process has died. Not called when Serve ends.
	Gone func(workerID string)
}

// Bounds of the server.
const (
	maxCalls    = 64               // at once per connection; further ones wait in the socket
	callTimeout = 30 * time.Second // of one call, so that a stuck ledger cannot keep Serve from ending
	lastWords   = 2 * time.Second  // for a worker to take its answers when Serve ends
	acceptPause = 50 * time.Millisecond
)

// server is what the connections share.
type server struct {
	ledger store.WorkerLedger
	hooks  Hooks

	mu     sync.Mutex
	owners map[string]*session // by worker: the connection that stands for it, the newest that registered it
}

// Serve answers workers until ctx ends; then calls that have come are still answered, and ln and all connections closed. The workers of these
// connections are not gone then: they connect again to whoever serves next.
func Serve(ctx context.Context, ln net.Listener, ledger store.WorkerLedger, hooks Hooks) error {
	if err := unblock(ln); err != nil {
		return errors.Join(err, ln.Close())
	}
	s := &server{ledger: ledger, hooks: hooks, owners: make(map[string]*session)}
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() }) // the error, if any, is Accept's
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := ln.Accept()
		if err == nil {
			wg.Go(func() { s.serve(ctx, conn) })
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept worker: %w", err)
		}
		select { // out of file descriptors, say: others may give some back
		case <-ctx.Done():
		case <-time.After(acceptPause):
		}
	}
}

// session is one connection.
type session struct {
	*server
	workers map[string]bool // registered here and not left; guarded by server.mu
	out     chan []byte
}

func (s *server) serve(ctx context.Context, conn net.Conn) {
	c := &session{server: s, workers: make(map[string]bool), out: make(chan []byte, maxCalls)}
	// The end of Serve ends reading; what was read is answered before the connection closes, unless the worker does not read.
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetReadDeadline(time.Now())
		_ = conn.SetWriteDeadline(time.Now().Add(lastWords))
	})
	defer stop()
	var sender sync.WaitGroup
	sender.Go(func() {
		if sendFrames(conn, c.out) != nil {
			_ = conn.Close() // the reader notices
			for range c.out {
				continue
			}
		}
	})
	c.read(ctx, conn)
	close(c.out)
	sender.Wait()
	_ = conn.Close()
	if ctx.Err() == nil {
		c.gone()
	}
}

// read starts a call for each request and returns when the stream has ended and all calls are answered.
func (c *session) read(ctx context.Context, conn net.Conn) {
	var calls sync.WaitGroup
	defer calls.Wait()
	places := make(chan struct{}, maxCalls)
	r := bufio.NewReader(conn)
	for {
		body, err := readFrame(r)
		if err != nil {
			return
		}
		req, err := decodeRequest(body)
		if err != nil {
			return // not our client: nothing that it says can be trusted
		}
		places <- struct{}{}
		calls.Go(func() {
			defer func() { <-places }()
			// A call whose worker goes away, or that comes as the server ends, is finished all the same: half of it helps nobody.
			call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
			defer cancel()
			c.out <- c.answer(call, req)
		})
	}
}

// gone reports the workers that this connection stood for.
func (c *session) gone() {
	c.mu.Lock()
	var dead []string
	for id := range c.workers {
		if c.owners[id] == c {
			delete(c.owners, id)
			dead = append(dead, id)
		}
	}
	c.mu.Unlock()
	for _, id := range dead {
		if c.hooks.Gone != nil {
			c.hooks.Gone(id)
		}
	}
}

func (c *session) joined(worker string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.workers[worker], c.owners[worker] = true, c
}

func (c *session) left(worker string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.owners, worker)
	delete(c.workers, worker)
}
