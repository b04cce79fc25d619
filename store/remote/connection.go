package remote

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
)

// connection is one of a client's. Two goroutines belong to it, one that sends and one that receives; both end with it.
type connection struct {
	nc     net.Conn
	worker string // registered on it; guarded by Client.mu

	out   chan []byte
	done  chan struct{} // closed by end
	tasks sync.WaitGroup

	mu      sync.Mutex
	err     error // why it ended; nil while it lives
	last    uint64
	waiting map[uint64]chan reply // by request; each channel takes one reply without anybody there
}

// maxQueued is how many requests wait for the socket; who comes then waits with his own deadline.
const maxQueued = 64

func newConnection(nc net.Conn) *connection {
	c := &connection{nc: nc, out: make(chan []byte, maxQueued), done: make(chan struct{}), waiting: make(map[uint64]chan reply)}
	c.tasks.Go(c.send)
	c.tasks.Go(c.receive)
	return c
}

// end closes the connection for the first reason given.
func (c *connection) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.done)
	_ = c.nc.Close() // there is nothing left to lose
}

func (c *connection) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// wait returns when the goroutines of an ended connection have.
func (c *connection) wait() { c.tasks.Wait() }

func (c *connection) send() {
	w := bufio.NewWriter(c.nc)
	for {
		select {
		case <-c.done:
			return
		case body := <-c.out:
			err := writeFrame(w, body)
			if err == nil && len(c.out) == 0 {
				err = w.Flush()
			}
			if err != nil {
				c.end(fmt.Errorf("%w: %w", ErrDisconnected, err))
				return
			}
		}
	}
}

func (c *connection) receive() {
	in := bufio.NewReader(c.nc)
	for {
		body, err := readFrame(in)
		var r reply
		var result []byte
		if err == nil {
			r, result, err = unpack[reply](body)
		}
		if err != nil {
			c.end(fmt.Errorf("%w: %w", ErrDisconnected, err))
			return
		}
		c.mu.Lock()
		to := c.waiting[r.ID]
		delete(c.waiting, r.ID)
		c.mu.Unlock()
		if to != nil { // else its caller has gone away
			r.result = result
			to <- r
		}
	}
}

// exchange sends a request under a new id and waits for the reply, the end of ctx or that of the connection.
func (c *connection) exchange(ctx context.Context, req request) (reply, error) {
	answer := make(chan reply, 1)
	c.mu.Lock()
	c.last++
	req.ID = c.last
	c.waiting[req.ID] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, req.ID)
	}()
	body, err := pack(req, req.args)
	if err != nil {
		return reply{}, err
	}
	if len(body) > maxFrame {
		return reply{}, ErrTooLarge
	}
	select {
	case c.out <- body:
	case <-ctx.Done():
		return reply{}, context.Cause(ctx)
	case <-c.done:
		return reply{}, c.reason()
	}
	select {
	case r := <-answer:
		return r, nil
	case <-ctx.Done():
		return reply{}, context.Cause(ctx)
	case <-c.done:
		select {
		case r := <-answer: // it came just before the end
			return r, nil
		default:
			return reply{}, c.reason()
		}
	}
}

func (c *connection) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
