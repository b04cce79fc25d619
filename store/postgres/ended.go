package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace"
)

// ended continues a statement whose CTE w holds changed jobs with id, tenant, state, run, inputs, input, unique_key, webhook, cache_key and expires_at,
// the last NULL unless the job is final now. It writes what hangs on the end of a run, so that each way to a final state does.
const ended = letGo + parting

// letGo is ended for jobs that lead nobody.
const letGo = releaseInputs + `, unlocked AS (
	DELETE FROM unique_keys k USING w
	WHERE k.key = ANY (ARRAY(SELECT unique_key FROM w WHERE unique_key IS NOT NULL AND expires_at IS NOT NULL))
		AND k.key = w.unique_key AND k.tenant = w.tenant AND k.job = w.id AND w.expires_at IS NOT NULL
), told AS (` + tellSQL + ` FROM w WHERE w.webhook IS NOT NULL AND w.expires_at IS NOT NULL AND w.webhook->'events' ? w.state)`

// tellSQL begins an insert from a CTE w.
const tellSQL = `INSERT INTO webhook_deliveries (job, run, tenant, event, url)
	SELECT w.id, w.run, w.tenant, w.state, w.webhook->>'url'`

// releaseInputs: what final jobs needed is free again, but kept for as long as the job is. The margin spares a popular file an update for each of
// its jobs.
const releaseInputs = `, freed AS (
	DELETE FROM job_files d USING w
	WHERE d.job = ANY (ARRAY(SELECT id FROM w WHERE inputs IS NOT NULL AND input IS NULL AND expires_at IS NOT NULL)) AND w.id = d.job
	RETURNING d.file, w.expires_at
), used AS (
	SELECT file, expires_at FROM freed UNION ALL SELECT input, expires_at FROM w WHERE input IS NOT NULL AND expires_at IS NOT NULL
), kept AS (
	UPDATE files f SET expires_at = m.until + interval '5 minutes'
	FROM (SELECT file, max(expires_at) AS until FROM used GROUP BY file) m
	WHERE f.id = ANY (ARRAY(SELECT file FROM used)) AND f.id = m.file AND f.expires_at < m.until + interval '3 minutes'
)`

// sureMargin is how much longer than its last job a file lives at least, short of the three minutes by what a commit may take.
const sureMargin = 2 * time.Minute

const failOverdueSQL = `
WITH late AS MATERIALIZED (
	SELECT id FROM jobs WHERE deadline <= now() AND finished_at IS NULL AND state IN ('scheduled', 'waiting', 'queued', 'retrying')
	ORDER BY deadline LIMIT $1 FOR UPDATE SKIP LOCKED
), w AS (
	UPDATE jobs j SET state = 'failed', fence = j.fence + 1, error = $2::json, due_at = NULL, waits_for = NULL, finished_at = now(), expires_at = now() + j.retention
	WHERE j.id = ANY (ARRAY(SELECT id FROM late)) AND j.state IN ('scheduled', 'waiting', 'queued', 'retrying')
	RETURNING j.id, j.tenant, j.state, j.run, j.inputs, j.input, j.expires_at, j.unique_key, j.webhook, j.cache_key
)` + ended + `
SELECT (SELECT count(*) FROM w), ` + owed

// FailOverdue fails jobs that wait for a worker and whose deadline has passed.
func (l *Ledger) FailOverdue(ctx context.Context, limit int) (int, error) {
	late, err := json.Marshal(millrace.JobError{Code: millrace.CodeTimeout, Message: "the deadline passed before the job was done"})
	if err != nil {
		return 0, err
	}
	return l.endMany(ctx, "fail overdue jobs", failOverdueSQL, limit, string(late))
}

const deliveriesSQL = `SELECT run, event, url, created_at FROM webhook_deliveries WHERE job = $2 AND tenant = $1 ORDER BY run`

// WebhookDeliveries lists what a job owes to its webhook.
func (l *Ledger) WebhookDeliveries(ctx context.Context, tenant, job string) ([]millrace.WebhookDelivery, error) {
	key, ok := parseID(job)
	if !ok {
		return nil, nil
	}
	ctx, cancel := reading(ctx)
	defer cancel()
	rows, err := l.pool.Query(ctx, deliveriesSQL, tenant, key)
	if err != nil {
		return nil, wrap("list webhook deliveries", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d millrace.WebhookDelivery, err error) {
		err = row.Scan(&d.Run, &d.Event, &d.URL, &d.CreatedAt)
		d.ID, d.Tenant, d.Job, d.CreatedAt = millrace.WebhookID(job, d.Run), tenant, job, d.CreatedAt.UTC()
		return d, err
	})
	return all, wrap("list webhook deliveries", err)
}
