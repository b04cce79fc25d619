package postgres

import (
	"context"
	"time"

	"github.com/millrace/millrace"
)

// lostSQL are the running jobs without a living owner, with what is known of its death. What another transaction holds at this moment is left to
// the next sweep.
const lostSQL = `
	SELECT j.id, (d.crash AND j.cancel_at IS NULL) IS TRUE AS blamed, d.crash IS TRUE AS crash, CASE WHEN d.detail <> '' THEN ': ' || d.detail ELSE '' END AS detail
	FROM jobs j LEFT JOIN LATERAL (SELECT state, crash, detail FROM workers WHERE workers.id = j.worker_id OFFSET 0) d ON true
	WHERE j.worker_id IS NOT NULL AND j.state = 'running' AND d.state IS DISTINCT FROM 'live'
	ORDER BY j.worker_id FOR UPDATE OF j SKIP LOCKED`

const (
	// alone: too many processes have died under the job. $1 is millrace.QuarantineCrashes.
	alone = `(x.crash AND j.crashes + 1 >= $1)`
	// poisoned: so many that it ends. $2 is millrace.PoisonCrashes.
	poisoned = `(x.blamed AND j.crashes + 1 >= $2)`
	// over: the job is final after its rescue.
	over = `(j.cancel_at IS NOT NULL OR ` + poisoned + `)`

	crashError = `jsonb_build_object('code', 'internal', 'message', 'the worker process ended' || x.detail, 'retryable', false)`
)

const rescueSQL = `
WITH lost AS MATERIALIZED (` + lostSQL + `), w AS (
	UPDATE jobs j SET
		state = CASE WHEN j.cancel_at IS NOT NULL THEN 'canceled' WHEN ` + poisoned + ` THEN 'failed' ELSE 'queued' END,
		fence = j.fence + 1, attempt = j.attempt - 1, crashes = j.crashes + CASE WHEN x.crash THEN 1 ELSE 0 END,
		attempts = ` + appendAttempt + `, 'outcome', CASE WHEN x.crash THEN 'crashed' ELSE 'released' END, 'spent', false,
			'error', CASE WHEN x.crash THEN ` + crashError + ` END),
		error = CASE WHEN ` + poisoned + ` THEN json_build_object('code', 'poisoned', 'message',
				format('the job ended %s worker processes%s', j.crashes + 1, x.detail), 'retryable', false)
			WHEN x.crash THEN ` + crashError + `::json ELSE j.error END,
		queue = CASE WHEN NOT ` + over + ` AND ` + alone + ` THEN 'quarantine' ELSE j.queue END,
		home = CASE WHEN NOT ` + over + ` AND ` + alone + ` THEN coalesce(j.home, j.queue) ELSE j.home END,
		worker_id = NULL, sent_gen = 0,
		due_at = CASE WHEN NOT ` + over + ` THEN now() END,
		finished_at = CASE WHEN ` + over + ` THEN now() END,
		expires_at = CASE WHEN ` + over + ` THEN now() + j.retention END
	FROM lost x
	WHERE j.id = ANY (ARRAY(SELECT id FROM lost)) AND j.id = x.id AND j.state = 'running'
	RETURNING j.id, j.tenant, j.state, j.run, j.inputs, j.expires_at, j.unique_key, j.webhook
)` + ended + `
SELECT count(*) FROM w`

// Rescue takes running jobs from owners that are dead or unknown. It is run again and again: a claim may commit just after its worker's burial.
func (l *Ledger) Rescue(ctx context.Context) (n int, err error) {
	err = again(ctx, "rescue jobs", func(ctx context.Context) error {
		return l.pool.QueryRow(ctx, rescueSQL, millrace.QuarantineCrashes, millrace.PoisonCrashes).Scan(&n)
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
	RETURNING j.id, j.tenant, j.state, j.run, j.inputs, j.expires_at, j.unique_key, j.webhook
)` + ended + `
SELECT count(*) FROM w`

// ForceCancel ends running jobs whose owner did not answer a cancel in time. The late attempt loses by its fence.
func (l *Ledger) ForceCancel(ctx context.Context, grace time.Duration) (n int, err error) {
	err = again(ctx, "cancel jobs by force", func(ctx context.Context) error {
		return l.pool.QueryRow(ctx, forceCancelSQL, grace).Scan(&n)
	})
	return n, err
}
