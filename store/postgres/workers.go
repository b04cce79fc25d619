package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

const registerSQL = `
INSERT INTO workers (id, host, boot_id, pid, pid_start, role, cpu_slots, io_slots, memory_used, memory_budget, started_at, beat_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce($11, now()), now())
ON CONFLICT (id) DO UPDATE SET beat_at = now() WHERE workers.state = 'live'`

// Register announces a worker process.
func (l *Ledger) Register(ctx context.Context, w millrace.Worker) error {
	id, ok := parseID(w.ID)
	if !ok {
		return fmt.Errorf("register worker: %q is not an id", w.ID)
	}
	return again(ctx, "register worker", func(ctx context.Context) error {
		tag, err := l.pool.Exec(ctx, registerSQL, id, clean(w.Host), clean(w.BootID), w.PID, w.PIDStart, w.Role, w.CPUSlots, w.IOSlots,
			w.MemoryUsed, w.MemoryBudget, orNever(w.StartedAt))
		if err == nil && tag.RowsAffected() == 0 {
			return store.ErrBuried
		}
		return err
	})
}

const leaveSQL = `DELETE FROM workers WHERE id = $1 AND state = 'live'`

// Leave ends a worker. Jobs that it still had, against its word, belong to an unknown worker and are rescued.
func (l *Ledger) Leave(ctx context.Context, worker string) error {
	id, ok := parseID(worker)
	if !ok {
		return nil
	}
	_, err := l.pool.Exec(ctx, leaveSQL, id)
	return wrap("leave", err)
}

const workersSQL = `
SELECT id, host, boot_id, pid, pid_start, role, cpu_slots, io_slots, memory_used, memory_budget, started_at, beat_at,
	ARRAY(SELECT r.id FROM ` + candidates + `, LATERAL (SELECT j.id` + runningOf + ` OFFSET 0) r WHERE c.worker = w.id)
FROM workers w WHERE state = 'live' ORDER BY started_at, id`

// Workers lists the live processes.
func (l *Ledger) Workers(ctx context.Context) ([]millrace.Worker, error) {
	ctx, cancel := reading(ctx)
	defer cancel()
	rows, err := l.pool.Query(ctx, workersSQL)
	if err != nil {
		return nil, wrap("list workers", err)
	}
	workers, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w millrace.Worker, err error) {
		var (
			id      pgtype.UUID
			running []pgtype.UUID
		)
		err = row.Scan(&id, &w.Host, &w.BootID, &w.PID, &w.PIDStart, &w.Role, &w.CPUSlots, &w.IOSlots, &w.MemoryUsed, &w.MemoryBudget,
			&w.StartedAt, &w.BeatAt, &running)
		w.ID, w.StartedAt, w.BeatAt = id.String(), w.StartedAt.UTC(), w.BeatAt.UTC()
		w.Running = column(running, pgtype.UUID.String)
		slices.Sort(w.Running)
		return w, err
	})
	return workers, wrap("list workers", err)
}

const burySQL = `UPDATE workers w SET state = 'dead', buried_at = now(), crash = u.crash, detail = u.detail
	FROM unnest($1::uuid[], $2::boolean[], $3::text[]) AS u (id, crash, detail) WHERE w.id = ANY ($1) AND w.id = u.id AND w.state = 'live'`

// dead is a worker to bury.
type dead struct {
	id pgtype.UUID
	store.Death
}

// Bury declares a worker dead.
func (l *Ledger) Bury(ctx context.Context, worker string, d store.Death) error {
	id, ok := parseID(worker)
	if !ok {
		return nil
	}
	_, err := l.bury(ctx, dead{id, d})
	return err
}

func (l *Ledger) bury(ctx context.Context, all ...dead) (n int, err error) {
	if len(all) == 0 {
		return 0, nil
	}
	err = again(ctx, "bury worker", func(ctx context.Context) error {
		tag, err := l.pool.Exec(ctx, burySQL, column(all, func(d dead) pgtype.UUID { return d.id }),
			column(all, func(d dead) bool { return d.Crash }), column(all, func(d dead) string { return clean(d.Detail) }))
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}

// BuryHost declares dead the workers of a host that cannot live any more.
func (l *Ledger) BuryHost(ctx context.Context, host string, alive func(millrace.Worker) bool,
	death func(millrace.Worker) store.Death) (int, error) {
	workers, err := l.Workers(ctx)
	if err != nil {
		return 0, err
	}
	var all []dead
	for _, w := range workers {
		if w.Host != host || alive(w) {
			continue
		}
		if id, ok := parseID(w.ID); ok {
			all = append(all, dead{id, death(w)})
		}
	}
	return l.bury(ctx, all...)
}

const (
	burySilentSQL = `UPDATE workers SET state = 'dead', buried_at = now() WHERE state = 'live' AND beat_at < now() - $1::interval`
	// Rows of the dead are kept for a while so that a thawed worker hears ErrBuried; without a row it hears the same at its next beat.
	forgetDeadSQL = `DELETE FROM workers WHERE state = 'dead' AND buried_at < now() - interval '1 hour'`
)

// BurySilent declares dead whoever has not beaten for a while, and forgets those buried long ago.
func (l *Ledger) BurySilent(ctx context.Context, silence time.Duration) (n int, err error) {
	err = again(ctx, "bury silent workers", func(ctx context.Context) error {
		var batch pgx.Batch
		batch.Queue(burySilentSQL, silence).Exec(func(tag pgconn.CommandTag) error {
			n = int(tag.RowsAffected())
			return nil
		})
		batch.Queue(forgetDeadSQL)
		return l.pool.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return n, err
	}
	return n, l.tidyHolds(ctx)
}
