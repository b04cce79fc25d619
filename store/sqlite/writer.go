package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/millrace/millrace/store"
)

// writer is the one goroutine that writes. It takes what has gathered while the last transaction was being synced, runs all of it in one
// transaction, commits, and answers everybody. There is no timer: a lone caller waits for nobody, and under load groups form by themselves.
type writer struct {
	conn  *sql.Conn
	clock func() (wall, mono int64)
	stmts map[string]*sql.Stmt // of conn; the writing goroutine's own
	lazy  bool                 // commits are not synced at present; likewise

	ops      chan *op
	stopping chan struct{} // closed by stop: no new ones
	stopped  chan struct{} // closed by the goroutine at its end
	once     sync.Once
}

// op is one caller's share of a transaction: all of it is committed, or nothing.
type op struct {
	ctx  context.Context
	run  func(*tx) error
	lazy bool // its commit may be lost when the machine loses power
	err  error
	done chan struct{}
}

const (
	maxGroup   = 256  // more in a group adds latency, not throughput
	maxWaiting = 1024 // four groups: who comes then waits at the door, with his own deadline
)

var errClosed = errors.New("the ledger is closed")

func startWriter(conn *sql.Conn, clock func() (wall, mono int64)) *writer {
	w := &writer{
		conn: conn, clock: clock, stmts: make(map[string]*sql.Stmt),
		ops: make(chan *op, maxWaiting), stopping: make(chan struct{}), stopped: make(chan struct{}),
	}
	go w.loop()
	return w
}

// stop answers all that was accepted and ends the goroutine.
func (w *writer) stop() error {
	w.once.Do(func() { close(w.stopping) })
	<-w.stopped
	var err error
	for _, s := range w.stmts {
		err = errors.Join(err, s.Close())
	}
	w.stmts = nil
	return errors.Join(err, w.conn.Close())
}

// write runs fn in a transaction with whatever else waits, and returns when it is durable or has failed. If ctx ends first it is not known
// whether fn was or will be committed; fn goes on using what it has captured, so the caller must not look at that any more.
func (l *Ledger) write(ctx context.Context, fn func(*tx) error) error {
	var news []store.Release
	err := l.writer.do(&op{ctx: ctx, done: make(chan struct{}), run: func(t *tx) error {
		t.news = nil
		err := fn(t)
		news = t.news
		return err
	}})
	if err == nil && len(news) > 0 && l.tell != nil {
		l.tell(news)
	}
	return err
}

// writeLazily is write for what nobody misses after a loss of power, which ends all who could have heard of it. It survives the process's
// death as everything does. Among others it is synced with them.
func (l *Ledger) writeLazily(ctx context.Context, fn func(*tx) error) error {
	return l.writer.do(&op{ctx: ctx, run: fn, lazy: true, done: make(chan struct{})})
}

func (w *writer) do(o *op) error {
	ctx := o.ctx
	select {
	case <-w.stopping:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	case w.ops <- o:
	}
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stopped:
		select {
		case <-o.done:
			return o.err
		default:
			return errClosed
		}
	}
}

func (w *writer) loop() {
	defer close(w.stopped)
	group := make([]*op, 0, maxGroup)
	for {
		select {
		case o := <-w.ops:
			group = append(group[:0], o)
		case <-w.stopping:
			w.drain(group)
			return
		}
		w.commit(w.gather(group))
	}
}

// drain commits what was in the channel when the writer was told to stop.
func (w *writer) drain(group []*op) {
	for {
		if group = w.gather(group[:0]); len(group) == 0 {
			return
		}
		w.commit(group)
	}
}

// gather adds what waits at this moment.
func (w *writer) gather(group []*op) []*op {
	for len(group) < maxGroup {
		select {
		case o := <-w.ops:
			group = append(group, o)
		default:
			return group
		}
	}
	return group
}

// commit runs a group as one transaction and answers it.
func (w *writer) commit(group []*op) {
	err := w.transact(group)
	for _, o := range group {
		// One who has failed by himself keeps his own reason; the others hear that the transaction failed.
		if o.err == nil && err != nil {
			o.err = err
		}
		o.err = classify(o.err)
		close(o.done)
	}
}

func (w *writer) transact(group []*op) error {
	t := &tx{writer: w}
	t.now, t.mono = w.clock()
	lazy := !slices.ContainsFunc(group, func(o *op) bool { return !o.lazy })
	if err := t.begin(lazy); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	for _, o := range group {
		if err := t.attempt(o, len(group) == 1); err != nil {
			return errors.Join(err, t.rollback())
		}
	}
	if _, err := t.exec(`COMMIT`); err != nil {
		return errors.Join(fmt.Errorf("commit: %w", err), t.rollback())
	}
	return nil
}

// attempt runs one op inside the transaction; a failing one is undone alone. The error it returns is fatal to the whole group.
func (t *tx) attempt(o *op, alone bool) error {
	if o.err = o.ctx.Err(); o.err != nil {
		return nil
	}
	if alone { // then the transaction's own rollback undoes it
		o.err = o.run(t)
		return o.err
	}
	if _, err := t.exec(`SAVEPOINT op`); err != nil {
		return fmt.Errorf("savepoint: %w", err)
	}
	if o.err = o.run(t); o.err != nil {
		// Some failures (a full disk) make SQLite roll back everything; the savepoint is gone then, and so are the neighbours' writes.
		if _, err := t.exec(`ROLLBACK TO op`); err != nil {
			return errors.Join(o.err, err)
		}
	}
	if _, err := t.exec(`RELEASE op`); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}
