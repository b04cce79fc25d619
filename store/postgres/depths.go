package postgres

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/store"
)

// depthsSQL hops from queue to queue through jobs_owed, and counts in each three ranges that end at the limit: due and never sent, later, sent. A
// job within its submitter's grace is ready although its due_at lies ahead; those come first in their range.
const depthsSQL = `
WITH RECURSIVE q (queue) AS (
	(SELECT queue FROM jobs WHERE due_at IS NOT NULL ORDER BY queue LIMIT 1)
	UNION ALL
	SELECT (SELECT j.queue FROM jobs j WHERE j.due_at IS NOT NULL AND j.queue > q.queue ORDER BY j.queue LIMIT 1) FROM q WHERE q.queue IS NOT NULL
)
SELECT q.queue, least($1, due.ready + later.ready + sent.ready), least($1, later.delayed + sent.delayed),
	coalesce(now() - least(due.oldest, sent.oldest), interval '0')
FROM q, LATERAL (
	SELECT count(*) AS ready, min(due_at) AS oldest FROM (
		SELECT due_at FROM jobs WHERE queue = q.queue AND sent_gen = 0 AND due_at <= now() AND state <> 'running' ORDER BY due_at LIMIT $1) a
) due, LATERAL (
	SELECT count(*) FILTER (WHERE state = 'queued') AS ready, count(*) FILTER (WHERE state <> 'queued') AS delayed FROM (
		SELECT state FROM jobs WHERE queue = q.queue AND sent_gen = 0 AND due_at > now() AND state <> 'running' ORDER BY due_at LIMIT 2 * $1) b
) later, LATERAL (
	SELECT count(*) FILTER (WHERE state = 'queued' OR due_at <= now()) AS ready, count(*) FILTER (WHERE state <> 'queued' AND due_at > now()) AS delayed,
		min(due_at) FILTER (WHERE due_at <= now()) AS oldest FROM (
		SELECT state, due_at FROM jobs WHERE queue = q.queue AND sent_gen > 0 AND due_at IS NOT NULL AND state <> 'running' ORDER BY sent_gen, due_at LIMIT $1) c
) sent
WHERE q.queue IS NOT NULL`

const runningSQL = `
SELECT r.queue, least($1, count(*)) FROM ` + candidates + `, LATERAL (SELECT j.queue` + runningOf + ` OFFSET 0) r GROUP BY r.queue`

// waitingQueuesSQL hops from queue to queue through jobs_waiting_queue, and counts in each up to the limit.
const waitingQueuesSQL = `
WITH RECURSIVE q (queue) AS (
	(SELECT queue FROM jobs WHERE waits_for IS NOT NULL ORDER BY queue LIMIT 1)
	UNION ALL
	SELECT (SELECT j.queue FROM jobs j WHERE j.waits_for IS NOT NULL AND j.queue > q.queue ORDER BY j.queue LIMIT 1) FROM q WHERE q.queue IS NOT NULL
)
SELECT q.queue, w.n FROM q, LATERAL (
	SELECT count(*) AS n FROM (SELECT 1 FROM jobs j WHERE j.waits_for IS NOT NULL AND j.queue = q.queue AND j.state = 'waiting' LIMIT $1) a) w
WHERE q.queue IS NOT NULL AND w.n > 0`

// Depths counts the jobs of each queue that has any, up to the limit.
func (l *Ledger) Depths(ctx context.Context, limit int) ([]store.Depth, error) {
	byQueue := map[string]store.Depth{}
	var batch pgx.Batch
	batch.Queue(depthsSQL, limit).Query(func(rows pgx.Rows) error {
		var d store.Depth
		_, err := pgx.ForEachRow(rows, []any{&d.Queue, &d.Ready, &d.Delayed, &d.Oldest}, func() error {
			byQueue[d.Queue] = d
			return nil
		})
		return err
	})
	count := func(sql string, note func(*store.Depth, int)) {
		batch.Queue(sql, limit).Query(func(rows pgx.Rows) error {
			var (
				queue string
				n     int
			)
			_, err := pgx.ForEachRow(rows, []any{&queue, &n}, func() error {
				d := byQueue[queue]
				d.Queue = queue
				note(&d, n)
				byQueue[queue] = d
				return nil
			})
			return err
		})
	}
	count(runningSQL, func(d *store.Depth, n int) { d.Running = n })
	count(waitingQueuesSQL, func(d *store.Depth, n int) { d.Waiting = n })
	ctx, cancel := reading(ctx)
	defer cancel()
	if err := l.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, wrap("count jobs", err)
	}
	for queue, d := range byQueue {
		d.Oldest = max(0, d.Oldest).Truncate(time.Millisecond)
		byQueue[queue] = d
	}
	return slices.SortedFunc(maps.Values(byQueue), func(a, b store.Depth) int { return cmp.Compare(a.Queue, b.Queue) }), nil
}
