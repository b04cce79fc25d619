package postgres

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/store"
)

const (
	generationSQL    = `SELECT gen FROM generation`
	newGenerationSQL = `UPDATE generation SET gen = gen + 1 WHERE gen = $1`
)

// Generation is the current one.
func (l *Ledger) Generation(ctx context.Context) (gen int64, err error) {
	ctx, cancel := reading(ctx)
	defer cancel()
	err = l.pool.QueryRow(ctx, generationSQL).Scan(&gen)
	return gen, wrap("read generation", err)
}

// NewGeneration makes everything unclaimed owed again: it writes one row.
func (l *Ledger) NewGeneration(ctx context.Context, from int64) error {
	_, err := l.pool.Exec(ctx, newGenerationSQL, from)
	return wrap("raise generation", err)
}

// owedSQL reads two ranges of jobs_owed for each queue: never sent, and sent in an older generation. A job scheduled for later is in neither, since
// whatever is put back is put back as never sent. Running jobs keep their places in the index; there are never more of them than slots.
const owedSQL = `
SELECT o.id, o.fence, o.type, q.queue, g.gen
FROM generation g, unnest($1::text[], $2::int[]) WITH ORDINALITY AS q (queue, most, n), LATERAL (
	SELECT * FROM (
		(SELECT id, fence, type, due_at FROM jobs WHERE queue = q.queue AND sent_gen = 0 AND due_at <= now()
			AND state IN ('scheduled', 'queued', 'retrying') ORDER BY due_at LIMIT q.most)
		UNION ALL
		(SELECT id, fence, type, due_at FROM jobs WHERE queue = q.queue AND sent_gen > 0 AND sent_gen < g.gen AND due_at <= now()
			AND state IN ('scheduled', 'queued', 'retrying') ORDER BY sent_gen, due_at LIMIT q.most)
	) both_ranges ORDER BY due_at LIMIT q.most) o
WHERE q.queue <> ALL (ARRAY(SELECT queue FROM paused_queues))
ORDER BY q.n, o.due_at`

// Owed lists what should be in the queues.
func (l *Ledger) Owed(ctx context.Context, limits map[string]int) ([]store.Owed, error) {
	queues := slices.Sorted(maps.Keys(limits))
	most := column(queues, func(q string) int { return max(0, limits[q]) })
	ctx, cancel := reading(ctx)
	defer cancel()
	rows, err := l.pool.Query(ctx, owedSQL, queues, most)
	if err != nil {
		return nil, wrap("list owed jobs", err)
	}
	owed, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o store.Owed, err error) {
		var id pgtype.UUID
		err = row.Scan(&id, &o.Fence, &o.Type, &o.Queue, &o.Gen)
		o.Job = id.String()
		return o, err
	})
	return owed, wrap("list owed jobs", err)
}

// The guard is the state and not "due_at IS NOT NULL", which is the predicate of jobs_owed: see the migration.
const (
	markSentSQL = `UPDATE jobs j SET sent_gen = $3 FROM unnest($1::uuid[], $2::bigint[]) AS u (job, delivered)
		WHERE j.id = ANY ($1) AND j.id = u.job AND j.fence = u.delivered AND j.state IN ('scheduled', 'queued', 'retrying') AND j.sent_gen < $3`

	refenceSQL = `UPDATE jobs j SET fence = fence + 1, sent_gen = 0, due_at = least(due_at, now())
		FROM unnest($1::uuid[], $2::bigint[]) AS u (job, delivered)
		WHERE j.id = ANY ($1) AND j.id = u.job AND j.fence = u.delivered AND j.state IN ('scheduled', 'queued', 'retrying')`

	unclaimedSQL = `SELECT u.n FROM unnest($1::uuid[], $2::bigint[], $3::int[]) AS u (job, delivered, n), LATERAL (
		SELECT 1 FROM jobs WHERE id = u.job AND fence = u.delivered AND state IN ('scheduled', 'queued', 'retrying') OFFSET 0) j
		ORDER BY u.n`
)

// MarkSent notes that deliveries are in the queue. A mark lost in a crash of the database makes a job owed once more, which is harmless.
func (l *Ledger) MarkSent(ctx context.Context, deliveries []store.Delivery, gen int64) error {
	todo := distinct(deliveries)
	if len(todo) == 0 {
		return nil
	}
	return again(ctx, "mark jobs as sent", func(ctx context.Context) error {
		var batch pgx.Batch
		batch.Queue(asyncCommitSQL)
		batch.Queue(markSentSQL, column(todo, wanted.key), column(todo, wanted.delivered), gen)
		return l.pool.SendBatch(ctx, &batch).Close()
	})
}

// Unclaimed returns those of the deliveries that could still be claimed.
func (l *Ledger) Unclaimed(ctx context.Context, deliveries []store.Delivery) ([]store.Delivery, error) {
	todo := distinct(deliveries)
	if len(todo) == 0 {
		return nil, nil
	}
	ctx, cancel := reading(ctx)
	defer cancel()
	rows, err := l.pool.Query(ctx, unclaimedSQL, column(todo, wanted.key), column(todo, wanted.delivered), column(todo, wanted.place))
	if err != nil {
		return nil, wrap("look for unclaimed jobs", err)
	}
	unclaimed, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.Delivery, error) {
		var n int
		err := row.Scan(&n)
		return deliveries[n], err
	})
	return unclaimed, wrap("look for unclaimed jobs", err)
}

// Refence gives unclaimed deliveries a new fence.
func (l *Ledger) Refence(ctx context.Context, deliveries []store.Delivery) error {
	todo := distinct(deliveries)
	if len(todo) == 0 {
		return nil
	}
	return again(ctx, "refence jobs", func(ctx context.Context) error {
		_, err := l.pool.Exec(ctx, refenceSQL, column(todo, wanted.key), column(todo, wanted.delivered))
		return err
	})
}
