package postgres

import (
	"bytes"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/store"
)

// asyncCommitSQL lets the transaction commit without waiting for the disk: what it writes is written again a second later, or is a hint.
const asyncCommitSQL = `SELECT set_config('synchronous_commit', 'off', true)`

const (
	beatSQL = `UPDATE workers SET beat_at = now(), memory_used = $2, memory_budget = $3 WHERE id = $1 AND state = 'live'`

	progressSQL = `UPDATE jobs j SET progress = u.progress::json FROM unnest($2::uuid[], $3::bigint[], $4::text[]) AS u (job, held, progress)
		WHERE j.id = ANY ($2) AND j.id = u.job AND j.fence = u.held AND j.state = 'running' AND coalesce(j.worker_id, j.owner) = $1`

	// One row for each attempt about which there is something to say: it is lost, or else it is to be canceled.
	holdingsSQL = `SELECT u.n, j.id IS NULL
		FROM unnest($2::uuid[], $3::bigint[], $4::int[]) AS u (job, held, n) LEFT JOIN LATERAL (
			SELECT id, cancel_at FROM jobs WHERE id = u.job AND fence = u.held AND state = 'running' AND coalesce(worker_id, owner) = $1 OFFSET 0) j ON true
		WHERE j.id IS NULL OR j.cancel_at IS NOT NULL
		ORDER BY u.n`

	quarantineSQL = `SELECT EXISTS (SELECT 1 FROM jobs WHERE queue = 'quarantine' AND due_at <= now() AND state IN ('scheduled', 'queued', 'retrying')
			ORDER BY sent_gen, due_at LIMIT 1)
		AND NOT EXISTS (SELECT 1 FROM paused_queues WHERE queue = 'quarantine')`
)

// holding is a store.Holding with its id parsed and its place in the list.
type holding struct {
	store.Holding
	id pgtype.UUID
	n  int
}

// Beat notes that the worker lives, writes progress and compares what it holds with the ledger, in one round trip and one transaction.
func (l *Ledger) Beat(ctx context.Context, b store.Beat) (reply store.BeatReply, err error) {
	worker, ok := parseID(b.Worker)
	if !ok {
		return reply, store.ErrBuried
	}
	held, moved := holdings(b.Running)
	err = again(ctx, "beat", func(ctx context.Context) error {
		reply = store.BeatReply{}
		for _, h := range b.Running {
			if _, ok := parseID(h.Job); !ok {
				reply.Lost = append(reply.Lost, store.Delivery{Job: h.Job, Fence: h.Fence})
			}
		}
		lives := false
		var batch pgx.Batch
		batch.Queue(asyncCommitSQL)
		batch.Queue(beatSQL, worker, b.MemoryUsed, b.MemoryBudget).Exec(func(tag pgconn.CommandTag) error {
			lives = tag.RowsAffected() > 0
			return nil
		})
		batch.Queue(quarantineSQL).QueryRow(func(row pgx.Row) error { return row.Scan(&reply.Quarantine) })
		if len(moved) > 0 {
			batch.Queue(progressSQL, worker, column(moved, holding.key), column(moved, holding.fence), column(moved, holding.progress))
		}
		if len(held) > 0 {
			batch.Queue(holdingsSQL, worker, column(held, holding.key), column(held, holding.fence), column(held, holding.place)).
				Query(func(rows pgx.Rows) error { return readHoldings(rows, b.Running, &reply) })
		}
		if err := l.pool.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
		if !lives {
			return store.ErrBuried
		}
		return nil
	})
	if err != nil || len(reply.Lost) == 0 {
		return reply, err
	}
	return reply, again(ctx, "beat", func(ctx context.Context) error {
		_, err := l.pool.Exec(ctx, undoneSQL, column(held, holding.key), column(held, holding.fence))
		return err
	})
}

func (h holding) key() pgtype.UUID  { return h.id }
func (h holding) fence() int64      { return h.Fence }
func (h holding) place() int        { return h.n }
func (h holding) progress() *string { return progressJSON(*h.Progress) }

// holdings sorts the attempts by job, and picks those that have moved.
func holdings(running []store.Holding) (held, moved []holding) {
	for n, h := range running {
		if id, ok := parseID(h.Job); ok {
			held = append(held, holding{h, id, n})
		}
	}
	slices.SortFunc(held, func(a, b holding) int { return bytes.Compare(a.id.Bytes[:], b.id.Bytes[:]) })
	moved = slices.DeleteFunc(slices.Clone(held), func(h holding) bool { return h.Progress == nil })
	return held, moved
}

func readHoldings(rows pgx.Rows, running []store.Holding, reply *store.BeatReply) error {
	var (
		n    int
		lost bool
	)
	_, err := pgx.ForEachRow(rows, []any{&n, &lost}, func() error {
		d := store.Delivery{Job: running[n].Job, Fence: running[n].Fence}
		if lost {
			reply.Lost = append(reply.Lost, d)
		} else {
			reply.Cancel = append(reply.Cancel, d)
		}
		return nil
	})
	return err
}
