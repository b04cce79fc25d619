package dispatch

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
)

// DefaultMaxJobs is how many jobs may wait for a worker in all.
const DefaultMaxJobs = 2_000_000

const (
	countEvery = 5 * time.Second
	countShare = 50 // a count that takes long is made so much less often: at most 2 % of the time goes into it
)

// backlog is this process's idea of how many jobs wait in the ledger: the last count, and what this process has accepted since. Other processes
// count for themselves, so the bound is passed by at most what they all take in between two counts.
type backlog struct {
	limit   int
	waiting atomic.Int64
}

// Room refuses new jobs while too many wait already: Limited, with a time to come back. It costs nothing, so that it can be asked before a
// request's body is read.
func (d *Dispatcher) Room() error {
	if d.backlog.waiting.Load() < int64(d.backlog.limit) {
		return nil
	}
	return &millrace.Error{Kind: millrace.Limited, RetryAfter: 10,
		Detail: "as many jobs are waiting as the server takes; nothing was accepted. Come back when some are done"}
}

// accepted notes jobs that this process has put into the ledger.
func (b *backlog) accepted(n int) { b.waiting.Add(int64(n)) }

// Count counts the backlog for Room again and again until ctx ends, as Run does; it is for processes that take no jobs in themselves. While the ledger
// does not answer, the last count stands.
func (d *Dispatcher) Count(ctx context.Context) error {
	for wait := time.Duration(0); ; {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		began := time.Now()
		n, err := d.Ledger.Backlog(ctx, d.backlog.limit)
		if err == nil {
			d.backlog.waiting.Store(int64(n))
		}
		wait = max(countEvery, countShare*time.Since(began))
	}
}
