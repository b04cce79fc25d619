package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

const jobSQL = `SELECT ` + jobColumns + ` FROM jobs WHERE id = $2 AND tenant = $1`

// Job reads one job.
func (l *Ledger) Job(ctx context.Context, tenant, id string) (*millrace.Job, error) {
	key, ok := parseID(id)
	if !ok {
		return nil, fmt.Errorf("read job: %w", store.ErrNotFound)
	}
	ctx, cancel := reading(ctx)
	defer cancel()
	job, err := scanJob(l.pool.QueryRow(ctx, jobSQL, tenant, key))
	return job, wrap("read job", err)
}

const cancelSQL = `
WITH w AS (
	UPDATE jobs SET
		state = CASE state WHEN 'running' THEN state ELSE 'canceled' END,
		fence = fence + CASE state WHEN 'running' THEN 0 ELSE 1 END,
		cancel_at = coalesce(cancel_at, now()),
		word = NULL, due_at = NULL, waits_for = NULL,
		finished_at = CASE state WHEN 'running' THEN NULL ELSE now() END,
		expires_at = CASE state WHEN 'running' THEN NULL ELSE now() + retention END
	WHERE id = $2 AND tenant = $1 AND state IN ('scheduled', 'waiting', 'queued', 'running', 'retrying')
	RETURNING ` + jobColumns + `
)` + ended + `
SELECT ` + jobColumns + `, ` + owed + ` FROM w`

// Cancel ends a job that is not running, and asks the owner of a running one to stop.
func (l *Ledger) Cancel(ctx context.Context, tenant, id string) (job *millrace.Job, err error) {
	const op = "cancel job"
	key, ok := parseID(id)
	if !ok {
		return nil, fmt.Errorf("%s: %w", op, store.ErrNotFound)
	}
	err = l.ending(ctx, op, func(ctx context.Context, tx pgx.Tx, groups *[]pgtype.UUID) error {
		job, err = scanJob(tx.QueryRow(ctx, cancelSQL, tenant, key), groups)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return l.refused(ctx, op, tenant, id)
	}
	return job, err
}

const retrySQL = `
WITH w AS (
	UPDATE jobs j SET
		state = 'queued', run = run + 1, word = NULL,
		attempts = CASE WHEN word IS NULL THEN attempts ELSE ` + appendAttempt + `, 'ended_at', finished_at, 'outcome', word, 'spent', true,
			'kind', state, 'error', error::jsonb) END, attempt = 0, crashes = 0, fence = fence + 1, sent_gen = 0, run_at = now(), due_at = now(),
		waits_for = NULL,
		queue = coalesce(home, queue), home = NULL, deadline = CASE WHEN deadline > now() THEN deadline END,
		progress = NULL, result = NULL, outputs = NULL, error = NULL,
		started_at = NULL, finished_at = NULL, expires_at = NULL, cancel_at = NULL
	WHERE id = $2 AND tenant = $1 AND state IN ('failed', 'canceled')
	RETURNING ` + jobColumns + `
), needed AS (
	INSERT INTO job_files (job, tenant, file)
	SELECT w.id, w.tenant, (i.value->>'file')::uuid FROM w, jsonb_array_elements(w.inputs) AS i WHERE w.input IS NULL
	ON CONFLICT DO NOTHING
)
SELECT ` + jobColumns + ` FROM w`

// Retry opens the next run of a failed or canceled job. Such a job has no outputs, so there are no files to take back.
func (l *Ledger) Retry(ctx context.Context, tenant, id string, repeat *store.RetryKey) (job *millrace.Job, err error) {
	const op = "retry job"
	key, ok := parseID(id)
	if !ok {
		return nil, fmt.Errorf("%s: %w", op, store.ErrNotFound)
	}
	err = again(ctx, op, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) (err error) {
			job, err = retry(ctx, tx, tenant, key, repeat)
			return err
		})
	})
	switch {
	case err == nil:
		return job, nil
	case errors.Is(err, store.ErrNotFound):
		return l.refused(ctx, op, tenant, id)
	case code(err) == foreignKeyViolation:
		err = fmt.Errorf("%s: %w", op, store.ErrInputMissing)
	}
	return nil, err
}

// retry opens the run within a transaction. The idempotency key comes first: its repetition finds the job in a state that allows no retry.
func retry(ctx context.Context, tx pgx.Tx, tenant string, id pgtype.UUID, repeat *store.RetryKey) (*millrace.Job, error) {
	if repeat != nil {
		name := keyName{clean(repeat.Key), tenant}
		used, err := takeKeys(ctx, tx, []idempotencyRow{{name, store.Idempotency{Key: repeat.Key, Hash: repeat.Hash}, id}})
		if err != nil {
			return nil, err
		}
		if k, ok := used[name]; ok {
			return nil, &store.ReplayedError{Idempotency: k.Idempotency}
		}
	}
	job, err := scanJob(tx.QueryRow(ctx, retrySQL, tenant, id))
	if err != nil {
		return nil, err
	}
	if err := lockInputs(ctx, tx, job); err != nil {
		return nil, err
	}
	if err := retakeUnique(ctx, tx, job, id); err != nil || repeat == nil {
		return job, err
	}
	kept := store.Idempotency{Key: repeat.Key, Hash: repeat.Hash, Answer: repeat.Answer(job)}
	_, err = tx.Exec(ctx, changeKeysSQL, idempotencyArgs([]idempotencyRow{{keyName{clean(repeat.Key), tenant}, kept, id}})...)
	return job, err
}

// retakeUnique takes the job's unique key for its next run, or says who has it.
func retakeUnique(ctx context.Context, tx pgx.Tx, job *millrace.Job, id pgtype.UUID) error {
	if job.Unique == nil {
		return nil
	}
	want := uniqueRow{keyName{job.Unique.Key, job.Tenant}, id, nil}
	if job.Unique.TTL > 0 {
		want.ttl = &job.Unique.TTL
	}
	holders, err := takeUnique(ctx, tx, []uniqueRow{want})
	if holder := holders[want.keyName]; err == nil && holder.Valid {
		err = &store.HeldError{Job: holder.String()}
	}
	return err
}

// lockInputs keeps a job's inputs where they are until the end of the transaction, or says that one is gone.
func lockInputs(ctx context.Context, tx pgx.Tx, job *millrace.Job) error {
	ids := make([]pgtype.UUID, 0, len(job.Inputs))
	for _, in := range job.Inputs {
		id, _ := parseID(in.File)
		ids = append(ids, id)
	}
	there, err := lockFiles(ctx, tx, ids)
	if err == nil && slices.ContainsFunc(ids, func(id pgtype.UUID) bool { return !there[fileName{id, job.Tenant}] }) {
		err = store.ErrInputMissing
	}
	return err
}

// refused returns the job as it stands with ErrState.
func (l *Ledger) refused(ctx context.Context, op, tenant, id string) (*millrace.Job, error) {
	job, err := l.Job(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	return job, fmt.Errorf("%s: it is %s: %w", op, job.State, store.ErrState)
}
