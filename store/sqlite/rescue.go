package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace"
)

// rescuable reads the owners' index alone, which holds as many rows as there are slots.
const rescuable = `SELECT id, fence FROM jobs INDEXED BY jobs_owner WHERE worker_id IS NOT NULL AND state = 'running'
	AND worker_id NOT IN (SELECT id FROM workers WHERE state = 'live')`

// Rescue implements store.Upkeep. After a restart of the process that keeps its workers, wait until they have registered again: an owner that is
// not known counts as dead.
func (l *Ledger) Rescue(ctx context.Context) (int, error) {
	const crash = false
	e := ending{state: millrace.Queued, refence: true, crash: crash, word: millrace.AttemptReleased, keep: true}
	if crash {
		e.word = millrace.AttemptCrashed
	}
	n := 0
	err := l.write(ctx, func(t *tx) (err error) {
		n, err = t.endAll(e, rescuable)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("rescue: %w", err)
	}
	return n, nil
}

// ForceCancel implements store.Upkeep.
func (l *Ledger) ForceCancel(ctx context.Context, grace time.Duration) (int, error) {
	e := ending{state: millrace.Canceled, refence: true, word: millrace.AttemptCanceled, keep: true}
	n := 0
	err := l.write(ctx, func(t *tx) (err error) {
		n, err = t.endAll(e, `SELECT id, fence FROM jobs INDEXED BY jobs_owner WHERE worker_id IS NOT NULL AND state = 'running'
			AND cancel_at <= ?`, t.now-grace.Milliseconds())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("force cancel: %w", err)
	}
	return n, nil
}

// endAll ends the attempts that the query finds, all in the same way.
func (t *tx) endAll(e ending, query string, args ...any) (int, error) {
	var found []ending
	if err := t.rows(func(row scanner) error {
		one := e
		err := row.Scan(&one.job, &one.fence)
		found = append(found, one)
		return err
	}, query, args...); err != nil {
		return 0, err
	}
	for _, one := range found {
		if _, err := t.end(one); err != nil {
			return 0, err
		}
	}
	return len(found), nil
}
