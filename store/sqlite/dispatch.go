package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/store"
)

// Two ranges of jobs_owed in which every row is owed: never sent and due, and sent before the queue lost its memory. Neither meets a row that
// lies in the future or is in the queue.
const (
	owedNew = `SELECT id, fence, type, due_at FROM jobs INDEXED BY jobs_owed WHERE queue = ? AND sent_gen = 0 AND due_at <= ?
		ORDER BY due_at LIMIT ?`
	owedOld = `SELECT id, fence, type, due_at FROM jobs INDEXED BY jobs_owed WHERE queue = ? AND sent_gen > 0` + olderGeneration + `
		AND due_at IS NOT NULL ORDER BY sent_gen, due_at LIMIT ?`

	olderGeneration = ` AND sent_gen < ?`
)

// Generation implements store.Dispatch.
func (l *Ledger) Generation(ctx context.Context) (gen int64, err error) {
	err = l.reads.QueryRowContext(ctx, `SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'generation'`).Scan(&gen)
	if err != nil {
		return 0, fmt.Errorf("read generation: %w", err)
	}
	return gen, nil
}

// sameGeneration lets several who have noticed the same loss raise the generation once.
const sameGeneration = ` AND CAST(value AS INTEGER) = ?1`

// NewGeneration implements store.Dispatch.
func (l *Ledger) NewGeneration(ctx context.Context, from int64) error {
	return l.write(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE meta SET value = ?1 + 1 WHERE key = 'generation'`+sameGeneration, from)
		return err
	})
}

// Owed implements store.Dispatch. The generation is read first: should it rise meanwhile, what is found is owed again, never forgotten.
func (l *Ledger) Owed(ctx context.Context, limits map[string]int) ([]store.Owed, error) {
	gen, err := l.Generation(ctx)
	if err != nil {
		return nil, err
	}
	paused, err := l.PausedQueues(ctx)
	if err != nil {
		return nil, err
	}
	var all []store.Owed
	now := l.now().UnixMilli()
	for _, queue := range slices.Sorted(maps.Keys(limits)) {
		limit := limits[queue]
		if limit <= 0 || slices.Contains(paused, queue) {
			continue
		}
		type due struct {
			store.Owed
			at int64
		}
		var found []due
		read := each(func(row scanner) error {
			d := due{Owed: store.Owed{Queue: queue, Gen: gen}}
			err := row.Scan(&d.Job, &d.Fence, &d.Type, &d.at)
			found = append(found, d)
			return err
		})
		if err := read(l.reads.QueryContext(ctx, owedNew, queue, now, limit)); err != nil {
			return nil, fmt.Errorf("find owed jobs: %w", err)
		}
		if err := read(l.reads.QueryContext(ctx, owedOld, queue, gen, limit)); err != nil {
			return nil, fmt.Errorf("find owed jobs: %w", err)
		}
		slices.SortStableFunc(found, func(a, b due) int { return cmp.Compare(a.at, b.at) })
		for _, d := range found[:min(limit, len(found))] {
			all = append(all, d.Owed)
		}
	}
	return all, nil
}

const markSQL = `UPDATE jobs SET sent_gen = ?3 WHERE id = ?1 AND fence = ?2 AND due_at IS NOT NULL AND sent_gen < ?3`

// MarkSent implements store.Dispatch. A mark that is lost makes the job owed again.
func (l *Ledger) MarkSent(ctx context.Context, deliveries []store.Delivery, gen int64) error {
	return l.forEach(ctx, l.writeLazily, deliveries, func(t *tx, d store.Delivery) error {
		_, err := t.exec(markSQL, d.Job, d.Fence, gen)
		return err
	})
}

// Refence implements store.Dispatch.
func (l *Ledger) Refence(ctx context.Context, deliveries []store.Delivery) error {
	return l.forEach(ctx, l.write, deliveries, func(t *tx, d store.Delivery) error {
		_, err := t.exec(`UPDATE jobs SET fence = fence + 1, sent_gen = 0, due_at = ?3 WHERE id = ?1 AND fence = ?2 AND due_at IS NOT NULL`,
			d.Job, d.Fence, t.now)
		return err
	})
}

// forEach writes for all deliveries in one transaction.
func (l *Ledger) forEach(ctx context.Context, write func(context.Context, func(*tx) error) error, deliveries []store.Delivery,
	fn func(*tx, store.Delivery) error) error {
	if len(deliveries) == 0 {
		return nil
	}
	deliveries = slices.Clone(deliveries)
	return write(ctx, func(t *tx) error {
		for _, d := range deliveries {
			if err := fn(t, d); err != nil {
				return fmt.Errorf("delivery of job %s: %w", d.Job, err)
			}
		}
		return nil
	})
}

// Unclaimed implements store.Dispatch.
func (l *Ledger) Unclaimed(ctx context.Context, deliveries []store.Delivery) ([]store.Delivery, error) {
	var unclaimed []store.Delivery
	for _, d := range deliveries {
		var n int
		if err := l.reads.QueryRowContext(ctx, `SELECT count(*) FROM jobs WHERE id = ? AND fence = ? AND due_at IS NOT NULL`,
			d.Job, d.Fence).Scan(&n); err != nil {
			return nil, fmt.Errorf("look for delivery of job %s: %w", d.Job, err)
		}
		if n > 0 {
			unclaimed = append(unclaimed, d)
		}
	}
	return unclaimed, nil
}
