package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// Config says where the ledger's process listens.
type Config struct {
	Path string // of the unix socket
}

// ErrDisconnected means that the connection ended before the answer came: the call may have been done or not. Repeat it.
var ErrDisconnected = errors.New("connection to the ledger was lost")

// ErrClosed is the answer of a client after Close.
var ErrClosed = errors.New("the client of the ledger is closed")

// Client is the ledger as a worker process sees it, over one connection that is made when it is needed. When the connection is lost (the process
// that keeps the ledger restarts) the next call makes a new one and registers the worker again under its id before anything else. A call that
// was under way fails with ErrDisconnected. It is safe for concurrent use.
type Client struct {
	path string

	connecting chan struct{} // holds one token: who has it may change conn and worker
	closing    context.Context
	close      context.CancelFunc

	mu     sync.Mutex // guards the rest; only for a moment
	conn   *connection
	worker *millrace.Worker // as it registered last; nil before and after Leave
}

var _ store.WorkerLedger = (*Client)(nil)

// Dial makes a client. It does not connect yet: the first call does.
func Dial(cfg Config) *Client {
	c := &Client{path: cfg.Path, connecting: make(chan struct{}, 1)}
	c.closing, c.close = context.WithCancel(context.Background())
	return c
}

// Close ends the connection; for the server, a worker that has not left is dead then. Calls under way fail.
func (c *Client) Close() error {
	c.close()
	c.connecting <- struct{}{} // a connection in the making is given up at once
	defer func() { <-c.connecting }()
	if conn := c.current(); conn != nil {
		conn.end(ErrClosed)
		conn.wait()
	}
	return nil
}

// Register implements store.WorkerLedger. The client keeps w and registers it again whenever it has to connect anew.
func (c *Client) Register(ctx context.Context, w millrace.Worker) error {
	return c.exclusively(ctx, func(ctx context.Context) error {
		conn, err := c.dial(ctx)
		if err != nil {
			return err
		}
		return c.register(ctx, conn, w)
	})
}

// Beat implements store.WorkerLedger.
func (c *Client) Beat(ctx context.Context, b store.Beat) (store.BeatReply, error) {
	return call[store.BeatReply](ctx, c, methodBeat, b)
}

// Claim implements store.WorkerLedger. Jobs whose answer would be too large together come in several; asking again for what was claimed answers
// the same.
func (c *Client) Claim(ctx context.Context, worker string, deliveries []store.Delivery) ([]store.Claimed, error) {
	return inParts(deliveries, func(part []store.Delivery) ([]store.Claimed, error) {
		got, err := call[[]claimed](ctx, c, methodClaim, claimArgs{Worker: worker, Deliveries: part})
		if err != nil {
			return nil, err
		}
		return unpackClaimed(got), nil
	})
}

// Finish implements store.WorkerLedger. Outcomes that are too large together go in several transactions; when one of them fails, repeat all.
func (c *Client) Finish(ctx context.Context, outcomes []store.Outcome) ([]bool, error) {
	return inParts(outcomes, func(part []store.Outcome) ([]bool, error) {
		return call[[]bool](ctx, c, methodFinish, packOutcomes(part))
	})
}

// inParts makes a call for all, or for each half when the message would be too large, and so on.
func inParts[A, R any](all []A, call func([]A) ([]R, error)) ([]R, error) {
	got, err := call(all)
	if len(all) < 2 || !errors.Is(err, ErrTooLarge) {
		return got, err
	}
	first, err := inParts(all[:len(all)/2], call)
	if err != nil {
		return nil, err
	}
	second, err := inParts(all[len(all)/2:], call)
	if err != nil {
		return nil, err
	}
	return append(first, second...), nil
}

// TakeBlob implements store.WorkerLedger.
func (c *Client) TakeBlob(ctx context.Context, tenant, sha256 string) (key string, ok bool, err error) {
	r, err := call[blobReply](ctx, c, methodTakeBlob, blobArgs{Tenant: tenant, SHA256: sha256})
	return r.Key, r.OK, err
}

// Leave implements store.WorkerLedger.
func (c *Client) Leave(ctx context.Context, worker string) error {
	_, err := call[nothing](ctx, c, methodLeave, workerArgs{Worker: worker})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.worker != nil && c.worker.ID == worker {
		c.worker = nil
	}
	return nil
}

// call makes sure of a connection on which the worker is known, and makes the call there.
func call[R, A any](ctx context.Context, c *Client, method string, args A) (R, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		var zero R
		return zero, fmt.Errorf("%s: %w", method, err)
	}
	return exchange[R](ctx, conn, method, args)
}

func (c *Client) current() *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// ready is the connection if the worker is known on it.
func (c *Client) ready() *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil || c.conn.ended() || (c.worker != nil && c.conn.worker != c.worker.ID) {
		return nil
	}
	return c.conn
}

func (c *Client) connect(ctx context.Context) (conn *connection, err error) {
	if conn = c.ready(); conn != nil {
		return conn, nil
	}
	err = c.exclusively(ctx, func(ctx context.Context) error {
		if conn = c.ready(); conn != nil { // another has just done it
			return nil
		}
		if conn, err = c.dial(ctx); err != nil {
			return err
		}
		c.mu.Lock()
		w := c.worker
		c.mu.Unlock()
		if w == nil {
			return nil
		}
		return c.register(ctx, conn, *w)
	})
	return conn, err
}

// exclusively runs fn while nobody else connects; its context also ends with Close.
func (c *Client) exclusively(ctx context.Context, fn func(context.Context) error) error {
	select {
	case c.connecting <- struct{}{}:
		defer func() { <-c.connecting }()
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closing.Done():
		return ErrClosed
	}
	if c.closing.Err() != nil {
		return ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.closing, func() { cancel(ErrClosed) })()
	err := fn(ctx)
	if err != nil && c.closing.Err() != nil {
		return ErrClosed
	}
	return err
}

// dial is the living connection, or a new one.
func (c *Client) dial(ctx context.Context) (*connection, error) {
	if conn := c.current(); conn != nil {
		if !conn.ended() {
			return conn, nil
		}
		conn.wait()
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", c.path)
	if err != nil {
		return nil, fmt.Errorf("connect to the ledger: %w", err)
	}
	conn := newConnection(nc)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	return conn, nil
}

// register makes the worker known on the connection. That it is remembered only then lets Register take a new identity after a burial.
func (c *Client) register(ctx context.Context, conn *connection, w millrace.Worker) error {
	if _, err := exchange[nothing](ctx, conn, methodRegister, w); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.worker, conn.worker = &w, w.ID
	return nil
}

// exchange sends a request and waits for its reply.
func exchange[R, A any](ctx context.Context, conn *connection, method string, args A) (result R, err error) {
	raw, err := json.Marshal(args)
	if err != nil {
		return result, fmt.Errorf("%s: encode arguments: %w", method, err)
	}
	r, err := conn.exchange(ctx, request{Method: method, args: raw})
	if err != nil {
		return result, fmt.Errorf("%s: %w", method, err)
	}
	if r.Error != "" {
		return result, &remoteError{text: r.Error, kind: kinds()[r.Kind]}
	}
	if err := json.Unmarshal(r.result, &result); err != nil {
		return result, fmt.Errorf("%s: decode answer: %w", method, err)
	}
	return result, nil
}
