// Package batch lets callers that arrive at the same time share one operation: a commit, a pipeline.
//
// There is no timer. A worker takes what is waiting, flushes it, and takes what has gathered meanwhile: a lone caller waits for nobody, and groups
// grow only while the previous one is on its way. It is not a queue for work that may wait, and it does not retry.
package batch

import (
	"cmp"
	"context"
	"errors"
	"sync"
)

// Errors of Do.
var (
	ErrFull   = errors.New("too many callers are waiting")
	ErrClosed = errors.New("no longer accepting")
	errShort  = errors.New("the flush answered for fewer items than it was given")
	errTwice  = errors.New("a batch group runs once")
)

// Config bounds a Group. Zero fields take the default named beside them.
type Config struct {
	Workers  int // flushes at the same time; 1
	MaxItems int // items of one flush; 256: more add latency, not throughput
	QueueLen int // items accepted and not yet taken by a flush; 4 × MaxItems. Beyond it Do refuses at once
}

// Group gathers items of type T and answers each with an R.
type Group[T, R any] struct {
	flush   func(context.Context, []T) []R
	workers int
	most    int
	calls   chan call[T, R]
	stop    chan struct{} // closed by Close
	done    chan struct{} // closed when Run has returned

	mu     sync.RWMutex // held for reading while Do sends, so that nothing is sent on the closed channel
	ran    bool
	closed bool
}

type call[T, R any] struct {
	item   T
	answer chan answer[R]
}

type answer[R any] struct {
	result R
	err    error
}

// New makes a Group; items wait until Run is called. flush gets one to MaxItems items and answers with one result for each, in order. Its context
// carries the values of Run's but is never canceled, because a flush serves callers that are still there: flush sets its own time limit.
func New[T, R any](cfg Config, flush func(ctx context.Context, items []T) []R) *Group[T, R] {
	most := max(1, cmp.Or(cfg.MaxItems, 256))
	return &Group[T, R]{
		flush:   flush,
		workers: max(1, cfg.Workers),
		most:    most,
		calls:   make(chan call[T, R], max(1, cmp.Or(cfg.QueueLen, 4*most))),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
}

// Do hands in an item and waits for its result. ErrFull and ErrClosed mean that the item was not accepted. When ctx ends first the item is
// flushed all the same: its outcome is unknown to this caller, as with any lost answer.
func (g *Group[T, R]) Do(ctx context.Context, item T) (R, error) {
	c := call[T, R]{item: item, answer: make(chan answer[R], 1)}
	if err := g.accept(ctx, c); err != nil {
		var zero R
		return zero, err
	}
	select {
	case a := <-c.answer:
		return a.result, a.err
	case <-ctx.Done():
		var zero R
		return zero, context.Cause(ctx)
	}
}

func (g *Group[T, R]) accept(ctx context.Context, c call[T, R]) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return ErrClosed
	}
	select {
	case g.calls <- c:
		return nil
	default:
		return ErrFull
	}
}

// Run flushes until ctx ends or Close is called; it returns when everything accepted until then has been flushed and answered.
func (g *Group[T, R]) Run(ctx context.Context) error {
	g.mu.Lock()
	if g.ran || g.closed {
		g.mu.Unlock()
		return errTwice
	}
	g.ran = true
	g.mu.Unlock()
	defer close(g.done)

	var wg sync.WaitGroup
	for range g.workers {
		wg.Go(func() { g.work(context.WithoutCancel(ctx)) })
	}
	select {
	case <-ctx.Done():
	case <-g.stop:
	}
	g.refuse()
	wg.Wait()
	return nil
}

// Close refuses new items and waits until all accepted ones are answered. Items of a Group that never ran are answered ErrClosed.
func (g *Group[T, R]) Close() {
	ran, first := g.refuse()
	switch {
	case ran:
		<-g.done
	case first:
		for c := range g.calls {
			c.answer <- answer[R]{err: ErrClosed}
		}
	}
}

// refuse ends acceptance. It says whether Run had begun, and whether this call is the one that ended it.
func (g *Group[T, R]) refuse() (ran, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	first = !g.closed
	if first {
		g.closed = true
		close(g.stop)
		close(g.calls)
	}
	return g.ran, first
}

// work flushes group after group until the channel is closed and empty.
func (g *Group[T, R]) work(ctx context.Context) {
	for first := range g.calls {
		calls := append(make([]call[T, R], 0, 1+min(len(g.calls), g.most-1)), first)
	gather:
		for len(calls) < g.most {
			select {
			case c, ok := <-g.calls:
				if !ok {
					break gather
				}
				calls = append(calls, c)
			default:
				break gather
			}
		}
		items := make([]T, len(calls))
		for i, c := range calls {
			items[i] = c.item
		}
		results := g.flush(ctx, items)
		for i, c := range calls {
			a := answer[R]{err: errShort}
			if i < len(results) {
				a = answer[R]{result: results[i]}
			}
			c.answer <- a
		}
	}
}
