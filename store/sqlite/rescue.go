package sqlite

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// rescuable reads the owners' index alone, which holds as many rows as there are slots. An owner that is not known is dead without a crash.
const rescuable = `SELECT j.id, j.fence, j.crashes, j.cancel_at IS NOT NULL, coalesce(w.crash, 0), coalesce(w.detail, '')
	FROM jobs j INDEXED BY jobs_owner LEFT JOIN workers w ON w.id = j.worker_id
	WHERE j.worker_id IS NOT NULL AND j.state = 'running' AND w.state IS NOT 'live'`

// orphan is a running job whose owner is dead.
type orphan struct {
	job     string
	fence   int64
	crashes int  // before this death
	cancel  bool // somebody asked for it
	death   store.Death
}

// Rescue implements store.Upkeep. After a restart of the process that keeps its workers, wait until they have registered again: an owner that is
// not known counts as dead.
func (l *Ledger) Rescue(ctx context.Context) (int, error) {
	n := 0
	err := l.write(ctx, func(t *tx) error {
		var found []orphan
		if err := t.rows(func(row scanner) error {
			var o orphan
			err := row.Scan(&o.job, &o.fence, &o.crashes, &o.cancel, &o.death.Crash, &o.death.Detail)
			found = append(found, o)
			return err
		}, rescuable); err != nil {
			return err
		}
		for _, o := range found {
			if err := t.rescue(o); err != nil {
				return fmt.Errorf("job %s: %w", o.job, err)
			}
		}
		n = len(found)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("rescue: %w", err)
	}
	return n, nil
}

// quarantineJob sends a job to where it runs alone; its own queue is remembered until it is retried by hand.
const quarantineJob = `UPDATE jobs SET home = coalesce(home, queue), queue = 'quarantine' WHERE id = ? AND state = 'queued'`

// rescue ends an orphan's attempt, which is not spent. What the death was counts only if it was a crash.
func (t *tx) rescue(o orphan) (err error) {
	e := ending{job: o.job, fence: o.fence, state: millrace.Queued, refence: true, word: millrace.AttemptReleased, keep: true}
	crashes := o.crashes
	if o.death.Crash {
		crashes++
		e.crash, e.word = true, millrace.AttemptCrashed
		if e.error, err = encode(crashError(millrace.CodeInternal, "the worker process ended", o.death.Detail), false); err != nil {
			return err
		}
		if crashes >= millrace.PoisonCrashes && !o.cancel {
			e.state, e.keep = millrace.Failed, false
			what := "the job ended " + strconv.Itoa(crashes) + " worker processes"
			if e.reason, err = encode(crashError(millrace.CodePoisoned, what, o.death.Detail), false); err != nil {
				return err
			}
		}
	}
	r, err := t.endAlone(e)
	if err == nil && r.state == millrace.Queued && o.death.Crash && crashes >= millrace.QuarantineCrashes {
		_, err = t.exec(quarantineJob, o.job)
	}
	return err
}

func crashError(code millrace.Code, what, detail string) millrace.JobError {
	if detail != "" {
		what += ": " + detail
	}
	return millrace.JobError{Code: code, Message: what}
}

const forceable = `SELECT id, fence FROM jobs INDEXED BY jobs_owner WHERE worker_id IS NOT NULL AND state = 'running' AND cancel_at <= ?`

// ForceCancel implements store.Upkeep.
func (l *Ledger) ForceCancel(ctx context.Context, grace time.Duration) (int, error) {
	n := 0
	err := l.write(ctx, func(t *tx) error {
		var found []ending
		if err := t.rows(func(row scanner) error {
			e := ending{state: millrace.Canceled, refence: true, word: millrace.AttemptCanceled, keep: true}
			err := row.Scan(&e.job, &e.fence)
			found = append(found, e)
			return err
		}, forceable, t.now-grace.Milliseconds()); err != nil {
			return err
		}
		for _, e := range found {
			if _, err := t.endAlone(e); err != nil {
				return fmt.Errorf("job %s: %w", e.job, err)
			}
		}
		n = len(found)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("force cancel: %w", err)
	}
	return n, nil
}
