package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/batch"
	"github.com/millrace/millrace/store"
)

// How long a write is repeated whose answer was lost, and how it waits in between.
const (
	repeatFor  = 5 * time.Second
	firstPause = 50 * time.Millisecond
	longPause  = time.Second
)

// batchTimeout bounds the commit of a batch: ten thousand rows on a busy disk take their time, and giving up means to begin again.
const batchTimeout = time.Minute

// unknown says whether err leaves open what became of a write: the database's own errors do, and the contract's words do not.
func unknown(err error) bool {
	if err == nil || errors.Is(err, store.ErrInputMissing) || errors.Is(err, store.ErrStaleResult) || errors.Is(err, store.ErrFull) ||
		errors.Is(err, store.ErrState) || errors.Is(err, store.ErrNotFound) {
		return false
	}
	if _, ok := errors.AsType[*store.ReplayedError](err); ok {
		return false
	}
	if _, ok := errors.AsType[*store.HeldError](err); ok {
		return false
	}
	_, ours := errors.AsType[*millrace.Error](err)
	return !ours
}

// again repeats a write while nobody knows whether it was done: the same rows with the same ids, which the ledger knows when they are there. It
// never guesses. While the ledger has been out of reach for longer than a write is repeated, each write is tried once, so that callers are not
// kept waiting for what will not come.
func (d *Dispatcher) again(ctx context.Context, write func() error) error {
	over := time.Now().Add(repeatFor)
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := write()
		switch {
		case errors.Is(err, batch.ErrFull), errors.Is(err, batch.ErrClosed), ctx.Err() != nil:
			return err // says nothing about the ledger
		case !unknown(err):
			d.ledger.reached()
			return err
		case d.ledger.lost(err), time.Now().Add(pause).After(over):
			return err
		}
		wait := time.NewTimer(time.Duration(float64(pause) * (0.5 + d.Chance()))) // apart from each other
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return err
		}
	}
}

// outage notes since when something is out of reach, and logs its beginning and its end.
type outage struct {
	log        *slog.Logger
	gone, back string // what to log

	mu    sync.Mutex
	since time.Time // zero while it answers
}

// lost notes a failure and says whether it has lasted too long to wait for its end.
func (o *outage) lost(err error) (long bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		o.since = time.Now()
		o.log.Warn(o.gone, "error", err)
	}
	return time.Since(o.since) > repeatFor
}

// reached notes an answer.
func (o *outage) reached() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() {
		o.log.Info(o.back, "after", time.Since(o.since).Round(time.Millisecond))
		o.since = time.Time{}
	}
}
