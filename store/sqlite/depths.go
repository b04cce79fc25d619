package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/millrace/millrace/store"
)

// Each step of these walks is one seek in jobs_owed, however many rows lie between two values.
const (
	queuesSQL = `WITH RECURSIVE q (name) AS (
		SELECT min(queue) FROM jobs INDEXED BY jobs_owed WHERE due_at IS NOT NULL
		UNION ALL
		SELECT (SELECT min(queue) FROM jobs INDEXED BY jobs_owed WHERE due_at IS NOT NULL AND queue > q.name) FROM q WHERE q.name IS NOT NULL
	) SELECT name FROM q WHERE name IS NOT NULL`
	generationsSQL = `WITH RECURSIVE g (gen) AS (
		SELECT min(sent_gen) FROM jobs INDEXED BY jobs_owed WHERE due_at IS NOT NULL AND queue = ?1
		UNION ALL
		SELECT (SELECT min(sent_gen) FROM jobs INDEXED BY jobs_owed WHERE due_at IS NOT NULL AND queue = ?1 AND sent_gen > g.gen)
		FROM g WHERE g.gen IS NOT NULL
	) SELECT gen FROM g WHERE gen IS NOT NULL`
	dueSQL = `SELECT count(*), min(due_at) FROM (SELECT due_at FROM jobs INDEXED BY jobs_owed
		WHERE queue = ? AND sent_gen = ? AND due_at <= ? ORDER BY due_at LIMIT ?)`
	// A queued job that is not due is within its submitter's grace: ready all the same, and ahead of all that is delayed.
	laterSQL = `SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state <> 'queued') FROM (SELECT state FROM jobs
		INDEXED BY jobs_owed WHERE queue = ? AND sent_gen = ? AND due_at > ? ORDER BY due_at LIMIT 2 * ?)`
	runningSQL = `SELECT queue, count(*) FROM jobs INDEXED BY jobs_owner WHERE worker_id IS NOT NULL GROUP BY queue ORDER BY queue`

	waitingQueuesSQL = `WITH RECURSIVE q (name) AS (
		SELECT min(queue) FROM jobs INDEXED BY jobs_waiting_queue WHERE waits_for IS NOT NULL
		UNION ALL
		SELECT (SELECT min(queue) FROM jobs INDEXED BY jobs_waiting_queue WHERE waits_for IS NOT NULL AND queue > q.name) FROM q WHERE q.name IS NOT NULL
	) SELECT q.name, (SELECT count(*) FROM (SELECT 1 FROM jobs INDEXED BY jobs_waiting_queue WHERE waits_for IS NOT NULL AND queue = q.name
		AND state = 'waiting' LIMIT ?))
	FROM q WHERE q.name IS NOT NULL`
)

// Depths implements store.Upkeep. Queues with nothing in them are left out.
func (l *Ledger) Depths(ctx context.Context, limit int) ([]store.Depth, error) {
	var depths []store.Depth
	err := each(func(row scanner) error {
		depths = append(depths, store.Depth{})
		return row.Scan(&depths[len(depths)-1].Queue)
	})(l.reads.QueryContext(ctx, queuesSQL))
	for i := 0; i < len(depths) && err == nil; i++ {
		err = l.depth(ctx, &depths[i], limit)
	}
	if err == nil {
		depths, err = l.count(ctx, depths, func(d *store.Depth, n int) { d.Running = min(limit, n) }, runningSQL)
	}
	if err == nil {
		depths, err = l.count(ctx, depths, func(d *store.Depth, n int) { d.Waiting = n }, waitingQueuesSQL, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("measure queues: %w", err)
	}
	return depths, nil
}

// depth counts what waits in one queue, generation by generation: there are few.
func (l *Ledger) depth(ctx context.Context, d *store.Depth, limit int) error {
	var gens []int64
	err := each(func(row scanner) error {
		gens = append(gens, 0)
		return row.Scan(&gens[len(gens)-1])
	})(l.reads.QueryContext(ctx, generationsSQL, d.Queue))
	if err != nil {
		return err
	}
	now := l.now().UnixMilli()
	for _, gen := range gens {
		var due, grace, delayed int
		var oldest sql.NullInt64
		if err := l.reads.QueryRowContext(ctx, dueSQL, d.Queue, gen, now, limit).Scan(&due, &oldest); err != nil {
			return err
		}
		if err := l.reads.QueryRowContext(ctx, laterSQL, d.Queue, gen, now, limit).Scan(&grace, &delayed); err != nil {
			return err
		}
		d.Ready, d.Delayed = min(limit, d.Ready+due+grace), min(limit, d.Delayed+delayed)
		if oldest.Valid {
			d.Oldest = max(d.Oldest, time.Duration(now-oldest.Int64)*time.Millisecond)
		}
	}
	return nil
}

// count adds a figure to each queue that the query answers, also to queues where nothing is to be claimed.
func (l *Ledger) count(ctx context.Context, depths []store.Depth, note func(*store.Depth, int), query string, args ...any) ([]store.Depth, error) {
	err := each(func(row scanner) error {
		var queue string
		var n int
		if err := row.Scan(&queue, &n); err != nil || n == 0 {
			return err
		}
		for i := range depths {
			if depths[i].Queue == queue {
				note(&depths[i], n)
				return nil
			}
		}
		depths = append(depths, store.Depth{Queue: queue})
		note(&depths[len(depths)-1], n)
		return nil
	})(l.reads.QueryContext(ctx, query, args...))
	return depths, err
}
