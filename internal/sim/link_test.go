package sim_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// half is one direction of a connection: bytes that wait for their reader, without bound, so that nobody ever blocks in a write. It never leaves
// the process, so waiting for it is durable and virtual time goes on.
type half struct {
	mu     sync.Mutex
	data   []byte
	closed bool
	ready  chan struct{} // one token: something changed
}

func newHalf() *half { return &half{ready: make(chan struct{}, 1)} }

func (h *half) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return 0, io.ErrClosedPipe
	}
	h.data = append(h.data, p...)
	h.nudge()
	return len(p), nil
}

func (h *half) nudge() {
	select {
	case h.ready <- struct{}{}:
	default:
	}
}

func (h *half) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.nudge()
}

// take reads what is there; done is false when the caller has to wait.
func (h *half) take(p []byte) (n int, err error, done bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case len(h.data) > 0:
		n = copy(p, h.data)
		h.data = h.data[n:]
		return n, nil, true
	case h.closed:
		h.nudge()
		return 0, io.EOF, true
	}
	return 0, nil, false
}

func (h *half) read(p []byte, deadline time.Time) (int, error) {
	var late <-chan time.Time
	if !deadline.IsZero() {
		t := time.NewTimer(time.Until(deadline))
		defer t.Stop()
		late = t.C
	}
	for {
		if n, err, done := h.take(p); done {
			return n, err
		}
		select {
		case <-h.ready:
		case <-late:
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// link is one end of a connection in memory. What its owner writes arrives a while later, through a goroutine of the link's own: a write that took
// its time would hold locks of the Redis client meanwhile, for which others wait in a way that is not durable.
type link struct {
	in, out *half
	owner   *process // at the client's end: whose process it is

	mu       sync.Mutex
	deadline time.Time
	way      []parcel
	more     chan struct{} // one token: way is not empty
	over     chan struct{} // closed by Close
	closed   bool
	greeted  bool // the first exchange is over: it takes no time, because the Redis client holds a lock meanwhile
}

// shape is a command without its ids, times and counts. The chance of its way hangs on it and not on how many others were sent before, since
// several goroutines of a process may send in the same moment.
func shape(p []byte) string {
	kept := make([]byte, 0, min(len(p), 256))
	for _, c := range p[:min(len(p), 256)] {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c == '\r' || c == '\n' || c == '$' {
			continue
		}
		kept = append(kept, c)
	}
	return string(kept)
}

// parcel is what is on its way.
type parcel struct {
	bytes []byte
	takes time.Duration
}

func newLink(owner *process) (client, server *link) {
	up, down := newHalf(), newHalf()
	client = &link{in: down, out: up, owner: owner, more: make(chan struct{}, 1), over: make(chan struct{})}
	owner.world.tasks.Go(client.carry)
	return client, &link{in: up, out: down, over: make(chan struct{})}
}

// carry brings what was written to the other end.
func (l *link) carry() {
	for {
		l.mu.Lock()
		way := l.way
		l.way = nil
		l.mu.Unlock()
		for _, p := range way {
			time.Sleep(p.takes)
			if l.owner.thawed() != nil {
				return
			}
			if _, err := l.out.write(p.bytes); err != nil {
				return
			}
		}
		select {
		case <-l.more:
		case <-l.over:
			return
		}
	}
}

func (l *link) Read(p []byte) (int, error) {
	l.mu.Lock()
	deadline, greeted := l.deadline, l.greeted
	l.greeted = true
	l.mu.Unlock()
	n, err := l.in.read(p, deadline)
	if l.owner != nil && greeted {
		if gone := l.owner.thawed(); gone != nil {
			return 0, gone
		}
	}
	return n, err
}

func (l *link) Write(p []byte) (int, error) {
	if l.owner == nil {
		return l.out.write(p)
	}
	takes, err := l.owner.transmit("redis " + shape(p))
	if err != nil {
		l.Close()
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, io.ErrClosedPipe
	}
	if !l.greeted {
		return l.out.write(p)
	}
	l.way = append(l.way, parcel{bytes.Clone(p), takes})
	select {
	case l.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (l *link) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.over)
	}
	l.mu.Unlock()
	l.in.close()
	l.out.close()
	if l.owner != nil {
		l.owner.forget(l)
	}
	return nil
}

func (l *link) SetReadDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline = t
	return nil
}

func (l *link) SetDeadline(t time.Time) error    { return l.SetReadDeadline(t) }
func (l *link) SetWriteDeadline(time.Time) error { return nil } // a write never waits
func (l *link) LocalAddr() net.Addr              { return memory{} }
func (l *link) RemoteAddr() net.Addr             { return memory{} }

type memory struct{}

func (memory) Network() string { return "memory" }
func (memory) String() string  { return "memory" }
