package postgres

import (
	"context"
	"time"
)

// lostSQL are the running jobs without a living owner. What another transaction holds at this moment is left to the next sweep.
const lostSQL = `
	SELECT j.id FROM jobs j WHERE j.worker_id IS NOT NULL AND j.state = 'running'
		AND NOT EXISTS (SELECT 1 FROM workers WHERE workers.id = j.worker_id AND workers.state = 'live' OFFSET 0)
	ORDER BY j.worker_id FOR UPDATE OF j SKIP LOCKED`

const rescueSQL = `
WITH lost AS MATERIALIZED (` + lostSQL + `), w AS (
	UPDATE jobs j SET
		state = CASE WHEN j.cancel_at IS NULL THEN 'queued' ELSE 'canceled' END,
		fence = j.fence + 1, attempt = j.attempt - 1, crashes = j.crashes + CASE WHEN $1 THEN 1 ELSE 0 END,
		attempts = ` + appendAttempt + `, 'outcome', CASE WHEN $1 THEN 'crashed' ELSE 'released' END, 'spent', false),
		worker_id = NULL, sent_gen = 0,
		due_at = CASE WHEN j.cancel_at IS NULL THEN now() END,
		finished_at = CASE WHEN j.cancel_at IS NULL THEN NULL ELSE now() END,
		expires_at = CASE WHEN j.cancel_at IS NULL THEN NULL ELSE now() + j.retention END
	WHERE j.id = ANY (ARRAY(SELECT id FROM lost)) AND j.state = 'running'
	RETURNING j.id, j.inputs, j.expires_at
)` + releaseInputs + `
SELECT count(*) FROM w`

// Rescue takes running jobs from owners that are dead or unknown. It is run again and again: a claim may commit just after its worker's burial.
func (l *Ledger) Rescue(ctx context.Context) (n int, err error) {
	const crash = false
	err = again(ctx, "rescue jobs", func() error {
		return l.pool.QueryRow(ctx, rescueSQL, crash).Scan(&n)
	})
	return n, err
}

const forceCancelSQL = `
WITH stubborn AS MATERIALIZED (
	SELECT j.id FROM jobs j WHERE j.worker_id IS NOT NULL AND j.state = 'running' AND j.cancel_at <= now() - $1::interval
	ORDER BY j.worker_id FOR UPDATE OF j SKIP LOCKED
), w AS (
	UPDATE jobs j SET
		state = 'canceled', fence = j.fence + 1, attempt = j.attempt - 1,
		attempts = ` + appendAttempt + `, 'outcome', 'canceled', 'spent', false),
		worker_id = NULL, due_at = NULL, finished_at = now(), expires_at = now() + j.retention
	WHERE j.id = ANY (ARRAY(SELECT id FROM stubborn)) AND j.state = 'running'
	RETURNING j.id, j.inputs, j.expires_at
)` + releaseInputs + `
SELECT count(*) FROM w`

// ForceCancel ends running jobs whose owner did not answer a cancel in time. The late attempt loses by its fence.
func (l *Ledger) ForceCancel(ctx context.Context, grace time.Duration) (n int, err error) {
	err = again(ctx, "cancel jobs by force", func() error {
		return l.pool.QueryRow(ctx, forceCancelSQL, grace).Scan(&n)
	})
	return n, err
}
