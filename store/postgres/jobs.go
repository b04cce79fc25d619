package postgres

import (
	"context"
	"errors"
	"fmt"

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
	job, err := scanJob(l.pool.QueryRow(ctx, jobSQL, tenant, key))
	return job, wrap("read job", err)
}

// releaseInputs continues a statement whose CTE w holds changed jobs with id, inputs and expires_at, the last NULL unless the job is final now. What
// final jobs needed is free again, but kept for as long as the job is. The margin spares a popular file an update for each of its jobs.
const releaseInputs = `, freed AS (
	DELETE FROM job_files d USING w
	WHERE d.job = ANY (ARRAY(SELECT id FROM w WHERE inputs IS NOT NULL AND expires_at IS NOT NULL)) AND w.id = d.job
	RETURNING d.file, w.expires_at
), kept AS (
	UPDATE files f SET expires_at = m.until + interval '5 minutes'
	FROM (SELECT file, max(expires_at) AS until FROM freed GROUP BY file) m
	WHERE f.id = ANY (ARRAY(SELECT file FROM freed)) AND f.id = m.file AND f.expires_at < m.until
)`

const cancelSQL = `
WITH w AS (
	UPDATE jobs SET
		state = CASE state WHEN 'running' THEN state ELSE 'canceled' END,
		fence = fence + CASE state WHEN 'running' THEN 0 ELSE 1 END,
		cancel_at = coalesce(cancel_at, now()),
		due_at = NULL,
		finished_at = CASE state WHEN 'running' THEN NULL ELSE now() END,
		expires_at = CASE state WHEN 'running' THEN NULL ELSE now() + retention END
	WHERE id = $2 AND tenant = $1 AND state IN ('scheduled', 'waiting', 'queued', 'running', 'retrying')
	RETURNING ` + jobColumns + `
)` + releaseInputs + `
SELECT ` + jobColumns + ` FROM w`

// Cancel ends a job that is not running, and asks the owner of a running one to stop.
func (l *Ledger) Cancel(ctx context.Context, tenant, id string) (*millrace.Job, error) {
	return l.change(ctx, "cancel job", cancelSQL, tenant, id)
}

const retrySQL = `
WITH w AS (
	UPDATE jobs SET
		state = 'queued', run = run + 1, attempt = 0, fence = fence + 1, sent_gen = 0, run_at = now(), due_at = now(),
		progress = NULL, result = NULL, outputs = NULL, error = NULL,
		started_at = NULL, finished_at = NULL, expires_at = NULL, cancel_at = NULL
	WHERE id = $2 AND tenant = $1 AND state IN ('failed', 'canceled')
	RETURNING ` + jobColumns + `
), needed AS (
	INSERT INTO job_files (job, tenant, file)
	SELECT w.id, w.tenant, (i.value->>'file')::uuid FROM w, jsonb_array_elements(w.inputs) AS i
	ON CONFLICT DO NOTHING
)
SELECT ` + jobColumns + ` FROM w`

// Retry opens the next run of a failed or canceled job. Such a job has no outputs, so there are no files to take back.
func (l *Ledger) Retry(ctx context.Context, tenant, id string) (*millrace.Job, error) {
	job, err := l.change(ctx, "retry job", retrySQL, tenant, id)
	if code(err) == foreignKeyViolation {
		return nil, fmt.Errorf("retry job: %w", store.ErrInputMissing)
	}
	return job, err
}

// change runs a guarded update that returns the job. When the guard refuses, the job is returned as it stands with ErrState.
func (l *Ledger) change(ctx context.Context, op, sql, tenant, id string) (job *millrace.Job, err error) {
	key, ok := parseID(id)
	if !ok {
		return nil, fmt.Errorf("%s: %w", op, store.ErrNotFound)
	}
	err = again(ctx, op, func() error {
		job, err = scanJob(l.pool.QueryRow(ctx, sql, tenant, key))
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		return job, err
	}
	if job, err = l.Job(ctx, tenant, id); err != nil {
		return nil, err
	}
	return job, fmt.Errorf("%s: it is %s: %w", op, job.State, store.ErrState)
}
