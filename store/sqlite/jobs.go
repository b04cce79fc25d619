package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

const jobSQL = `SELECT ` + jobColumns + ` FROM jobs WHERE id = ? AND tenant = ?`

// Job implements store.Jobs.
func (l *Ledger) Job(ctx context.Context, tenant, id string) (*millrace.Job, error) {
	return found(scanJob(l.reads.QueryRowContext(ctx, jobSQL, id, tenant)))
}

func found(j *millrace.Job, err error) (*millrace.Job, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("job: %w", store.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	return j, nil
}

// Cancel implements store.Jobs.
func (l *Ledger) Cancel(ctx context.Context, tenant, id string) (*millrace.Job, error) {
	return l.change(ctx, tenant, id, func(t *tx, j *millrace.Job) error {
		switch {
		case j.State.Final():
			return fmt.Errorf("cancel a job that is %s: %w", j.State, store.ErrState)
		case j.State == millrace.Running:
			_, err := t.exec(`UPDATE jobs SET cancel_at = ? WHERE id = ? AND state = 'running' AND cancel_at IS NULL`, t.now, id)
			return err
		}
		return t.cancelIdle(id)
	})
}

const cancelIdleSQL = `UPDATE jobs SET state = 'canceled', fence = fence + 1, due_at = NULL, sent_gen = 0, waits_for = NULL,
	cancel_at = ?2, finished_at = ?2, expires_at = ?2 + retention / 1000000
	WHERE id = ?1 AND state IN ('scheduled', 'waiting', 'queued', 'retrying') RETURNING ` + finalColumns

func (t *tx) cancelIdle(id string) error {
	f, err := scanFinal(t.row(cancelIdleSQL, id, t.now))
	if err != nil {
		return err
	}
	return t.conclude(f)
}

const retrySQL = `UPDATE jobs SET state = 'queued', run = run + 1, attempt = 0, crashes = 0, fence = fence + 1,
	due_at = ?2, run_at = ?2, sent_gen = 0, waits_for = NULL, queue = coalesce(home, queue), home = NULL, deadline = iif(deadline <= ?2, NULL, deadline),
	error = NULL, result = NULL, outputs = NULL, progress = NULL,
	started_at = NULL, finished_at = NULL, expires_at = NULL, cancel_at = NULL
	WHERE id = ?1 AND state IN ('failed', 'canceled')`

// Retry implements store.Jobs.
func (l *Ledger) Retry(ctx context.Context, tenant, id string, key *store.RetryKey) (*millrace.Job, error) {
	return l.change(ctx, tenant, id, func(t *tx, j *millrace.Job) error {
		if key != nil {
			if err := t.unreplayed(tenant, &store.Idempotency{Key: key.Key}); err != nil {
				return err
			}
		}
		if j.State != millrace.Failed && j.State != millrace.Canceled {
			return fmt.Errorf("retry a job that is %s: %w", j.State, store.ErrState)
		}
		if err := t.free(tenant, id, j.Unique); err != nil {
			return err
		}
		var files []string
		for _, in := range j.Inputs {
			if err := t.input(tenant, in.File); err != nil {
				return err
			}
			files = append(files, in.File)
		}
		if err := t.dropOutputs(id, j.Outputs); err != nil {
			return err
		}
		if _, err := t.exec(retrySQL, id, t.now); err != nil {
			return err
		}
		if err := t.take(tenant, id, j.Unique); err != nil {
			return err
		}
		if err := t.hold(id, files); err != nil || key == nil {
			return err
		}
		return t.keepRetry(tenant, id, key)
	})
}

// keepRetry writes what a repetition of the retry is to hear of the job as it stands now.
func (t *tx) keepRetry(tenant, id string, key *store.RetryKey) error {
	next, err := found(scanJob(t.row(jobSQL, id, tenant)))
	if err != nil {
		return err
	}
	return t.keep(tenant, &store.Idempotency{Key: key.Key, Hash: key.Hash, Answer: key.Answer(next)})
}

// change reads the job, lets fn write, and answers the job as it is afterwards: also with fn's own error.
func (l *Ledger) change(ctx context.Context, tenant, id string, fn func(*tx, *millrace.Job) error) (*millrace.Job, error) {
	var after *millrace.Job
	var refused error
	err := l.write(ctx, func(t *tx) error {
		j, err := found(scanJob(t.row(jobSQL, id, tenant)))
		if err != nil {
			return err
		}
		if err = fn(t, j); errors.Is(err, store.ErrState) {
			after, refused = j, err
			return nil
		}
		if err != nil {
			return err
		}
		after, err = found(scanJob(t.row(jobSQL, id, tenant)))
		return err
	})
	if err != nil {
		return nil, err
	}
	return after, refused
}

// Delete implements store.Jobs.
func (l *Ledger) Delete(ctx context.Context, tenant, id string) error {
	return l.write(ctx, func(t *tx) error {
		j, err := found(scanJob(t.row(jobSQL, id, tenant)))
		if err != nil {
			return err
		}
		if !j.State.Final() {
			return fmt.Errorf("delete a job that is %s: %w", j.State, store.ErrState)
		}
		return t.remove(j)
	})
}

// remove deletes a final job and what belongs to it, unless a live job reads one of its outputs.
func (t *tx) remove(j *millrace.Job) error {
	for _, out := range j.Outputs {
		if err := t.unused(out.File); err != nil {
			return err
		}
	}
	if err := t.dropOutputs(j.ID, j.Outputs); err != nil {
		return err
	}
	for _, tag := range j.Tags {
		if _, err := t.exec(`DELETE FROM job_tags WHERE tenant = ? AND tag = ? AND job = ?`, j.Tenant, tag, j.ID); err != nil {
			return err
		}
	}
	if _, err := t.exec(`DELETE FROM results WHERE tenant = ? AND cache_key = ? AND job = ?`, j.Tenant, j.CacheKey, j.ID); err != nil {
		return err
	}
	if _, err := t.exec(dropDeliveries, j.ID); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM jobs WHERE id = ?`, j.ID)
	return err
}

// unused answers store.ErrInUse while a live job needs the file.
func (t *tx) unused(file string) error {
	used, err := t.used(file)
	if err == nil && used {
		err = fmt.Errorf("file %s: %w", file, store.ErrInUse)
	}
	return err
}

// used says whether a live job needs the file.
func (t *tx) used(file string) (used bool, err error) {
	err = t.row(`SELECT EXISTS (SELECT 1 FROM job_files WHERE file = ?)`, file).Scan(&used)
	return used, err
}
