package worker

import (
	"context"
	"time"
)

// awaitEnd returns why the pools shall end: a stuck handler, or a quarantine that is empty. nil when ctx has ended for other reasons.
func (w *Worker) awaitEnd(ctx context.Context) error {
	var look <-chan time.Time // never, unless Alone
	if w.Alone {
		w.sinceWork(time.Now())
		tick := time.NewTicker(max(w.Idle/20, time.Millisecond))
		defer tick.Stop()
		look = tick.C
	}
	for {
		select {
		case <-w.stuck:
			return errStuck
		case <-ctx.Done():
			return nil
		case now := <-look:
			if w.sinceWork(now) >= w.Idle {
				return errIdle
			}
		}
	}
}

// sinceWork is for how long nothing has run, as far as its callers have looked.
func (w *Worker) sinceWork(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.worked.IsZero() || len(w.attempts) > 0 {
		w.worked = now
	}
	return now.Sub(w.worked)
}
