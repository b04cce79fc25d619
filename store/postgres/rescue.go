package postgres

import (
	"context"
	"time"

	"github.com/millrace/millrace"
)

// candidates are the attempts among which all running ones are: those in holds, and those of programs that know schema 1 alone. A row of jobs
// decides: see runningOf.
const candidates = `(
	SELECT h.worker, x.job, x.fence FROM holds h, unnest(h.jobs, h.fences) AS x (job, fence)
	UNION ALL (SELECT worker_id, id, fence FROM jobs WHERE worker_id IS NOT NULL ORDER BY worker_id OFFSET 0)) AS c (worker, job, fence)`

// runningOf ends the search for the job of a candidate c.
const runningOf = ` FROM jobs j WHERE j.id = c.job AND j.fence = c.fence AND j.state = 'running' AND coalesce(j.worker_id, j.owner) = c.worker`

// lostSQL are the running jobs without a living owner, with what is known of its death. What another transaction holds at this moment is left to
// the next sweep.
const lostSQL = `
	SELECT j.id, (d.crash AND NOT j.stops) IS TRUE AS blamed, d.crash IS TRUE AS crash, CASE WHEN d.detail <> '' THEN ': ' || d.detail ELSE '' END AS detail
	FROM ` + candidates + ` LEFT JOIN LATERAL (SELECT state, crash, detail FROM workers WHERE workers.id = c.worker OFFSET 0) d ON true,
		LATERAL (SELECT j.id, j.cancel_at IS NOT NULL AS stops` + runningOf + ` FOR UPDATE OF j SKIP LOCKED OFFSET 0) j
	WHERE d.state IS DISTINCT FROM 'live'`

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
		attempts = ` + appendAttempt + `, 'ended_at', now(), 'outcome', CASE WHEN x.crash THEN 'crashed' ELSE 'released' END, 'spent', false,
			'error', CASE WHEN x.crash THEN ` + crashError + ` END),
		error = CASE WHEN ` + poisoned + ` THEN json_build_object('code', 'poisoned', 'message',
				format('the job ended %s worker processes%s', j.crashes + 1, x.detail), 'retryable', false) ELSE j.error END,
		queue = CASE WHEN NOT ` + over + ` AND ` + alone + ` THEN 'quarantine' ELSE j.queue END,
		home = CASE WHEN NOT ` + over + ` AND ` + alone + ` THEN coalesce(j.home, j.queue) ELSE j.home END,
		worker_id = NULL, sent_gen = 0,
		due_at = CASE WHEN NOT ` + over + ` THEN now() END,
		finished_at = CASE WHEN ` + over + ` THEN now() END,
		expires_at = CASE WHEN ` + over + ` THEN now() + j.retention END
	FROM lost x
	WHERE j.id = ANY (ARRAY(SELECT id FROM lost)) AND j.id = x.id AND j.state = 'running'
	RETURNING j.id, j.tenant, j.state, j.run, j.inputs, j.input, j.expires_at, j.unique_key, j.webhook, j.cache_key
)` + ended + `
SELECT (SELECT count(*) FROM w), ` + owed

// Rescue takes running jobs from owners that are dead or unknown. It is run again and again: a claim may commit just after its worker's burial.
func (l *Ledger) Rescue(ctx context.Context) (int, error) {
	return l.endMany(ctx, "rescue jobs", rescueSQL, millrace.QuarantineCrashes, millrace.PoisonCrashes)
}

const forceCancelSQL = `
WITH stubborn AS MATERIALIZED (
	SELECT j.id FROM ` + candidates + `,
		LATERAL (SELECT j.id` + runningOf + ` AND j.cancel_at <= now() - $1::interval FOR UPDATE OF j SKIP LOCKED OFFSET 0) j
), w AS (
	UPDATE jobs j SET
		state = 'canceled', fence = j.fence + 1, attempt = j.attempt - 1,
		attempts = ` + appendAttempt + `, 'ended_at', now(), 'outcome', 'canceled', 'spent', false),
		worker_id = NULL, due_at = NULL, finished_at = now(), expires_at = now() + j.retention
	WHERE j.id = ANY (ARRAY(SELECT id FROM stubborn)) AND j.state = 'running'
	RETURNING j.id, j.tenant, j.state, j.run, j.inputs, j.input, j.expires_at, j.unique_key, j.webhook, j.cache_key
)` + ended + `
SELECT (SELECT count(*) FROM w), ` + owed

// ForceCancel ends running jobs whose owner did not answer a cancel in time. The late attempt loses by its fence.
func (l *Ledger) ForceCancel(ctx context.Context, grace time.Duration) (int, error) {
	return l.endMany(ctx, "cancel jobs by force", forceCancelSQL, grace)
}
