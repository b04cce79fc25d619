package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/store"
)

// steps are what else belongs to the transaction of a group of jobs. Either function may be nil; an error of theirs rolls everything back.
type steps struct {
	before, after func(context.Context, pgx.Tx) error
	limit         time.Duration // of each try; 0: writeLimit
}

// together is a group of jobs on its way into the ledger in one transaction, in which other requests may stand in a row's way.
//
// Locks are taken in one order: idempotency keys, input files, unique keys, groups of equal jobs, jobs; the keys and ids of each sorted.
type together struct {
	rows []*insertRow // in the caller's order, which decides between them
	open []*insertRow // not yet decided
	goes []*insertRow // to be written
	keys map[keyName]*insertRow
	held map[keyName]string
	mine map[keyName]*insertRow // idempotency keys that this transaction has written, with the row in whose name
	told []replay
}

// insertTogether writes rows in one transaction, whatever their number, and leaves in each its own error. A row that the database refuses is found,
// and everything is done again without it: what stood behind it may take its place.
func (l *Ledger) insertTogether(ctx context.Context, op string, rows []*insertRow, s steps) error {
	for {
		err := againWithin(ctx, cmp.Or(s.limit, writeLimit), op, func(ctx context.Context) error {
			return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
				if s.before != nil {
					if err := s.before(ctx, tx); err != nil {
						return err
					}
				}
				t := together{rows: rows}
				if err := t.insert(ctx, tx); err != nil || s.after == nil {
					return err
				}
				return s.after(ctx, tx)
			})
		})
		refused, isRefused := errors.AsType[refusal](err)
		if !isRefused {
			return err
		}
		if len(refused) == 0 {
			if refused, err = l.findRefused(ctx, cmp.Or(s.limit, writeLimit), rows); err != nil {
				return err
			}
		}
		for r, why := range refused {
			r.barred = why
		}
	}
}

// refusal names rows that the database does not take. The transaction has been rolled back. An empty one means that some row is at fault.
type refusal map[*insertRow]error

func (refusal) Error() string { return "a row was refused" }

func (r *insertRow) key() keyName { return keyName{clean(r.idempotency.Key), r.job.Tenant} }

func (r *insertRow) unique() keyName { return keyName{*r.uniqueKey(), r.job.Tenant} }

// decide notes what becomes of a row that is not written.
func (r *insertRow) decide(err error) {
	if err != nil {
		err = fmt.Errorf("insert job %s: %w", r.job.ID, err)
	}
	*r.err = err
}

func (t *together) insert(ctx context.Context, tx pgx.Tx) error {
	t.open = slices.Clone(t.rows)
	for _, r := range t.rows {
		r.waits, r.waiting = pgtype.UUID{}, false
	}
	for _, step := range []func(context.Context, pgx.Tx) error{t.takeKeys, t.lockInputs, t.choose, t.join, t.settleKeys} {
		if err := step(ctx, tx); err != nil {
			return err
		}
	}
	sortRows(t.goes)
	for part := range slices.Chunk(t.goes, maxStatement) {
		if err := writeRows(ctx, tx, part); err != nil {
			return err
		}
	}
	return nil
}

// drop takes out of the open rows those that decide has a word about.
func (t *together) drop(decide func(*insertRow) (done bool, err error)) {
	t.open = slices.DeleteFunc(t.open, func(r *insertRow) bool {
		done, err := decide(r)
		if done {
			r.decide(err)
		}
		return done
	})
}

// takeKeys looks at idempotency keys before anything else. The first row of the group with a key takes it for them all. A row that an earlier call
// wrote is passed over, whatever has become of its key since; settleKeys gives back what it took.
func (t *together) takeKeys(ctx context.Context, tx pgx.Tx) error {
	t.mine = map[keyName]*insertRow{}
	var want []idempotencyRow
	for _, r := range t.open {
		if r.idempotency == nil || t.mine[r.key()] != nil {
			continue
		}
		t.mine[r.key()] = r
		want = append(want, idempotencyRow{r.key(), *r.idempotency, r.id})
	}
	used, err := takeKeys(ctx, tx, want)
	if err != nil {
		return err
	}
	for k := range used {
		delete(t.mine, k)
	}
	if err := t.skipPresent(ctx, tx); err != nil {
		return err
	}
	t.drop(func(r *insertRow) (bool, error) {
		if r.idempotency == nil {
			return false, nil
		}
		k, ok := used[r.key()]
		if !ok || k.owner == r.id { // its job has been deleted since
			return ok, nil
		}
		return true, &store.ReplayedError{Idempotency: k.Idempotency}
	})
	t.drop(func(r *insertRow) (bool, error) { return r.barred != nil, r.barred })
	return nil
}

// presentSQL finds jobs that exist, and whether they wait. The fence keeps the planner from reading another index than the primary key, alone and whole.
const presentSQL = `SELECT id, state = 'waiting' FROM jobs WHERE id = ANY ($1) AND fence >= 0`

// skipPresent passes over rows that an earlier call wrote, where something that has changed since could stand in their way.
func (t *together) skipPresent(ctx context.Context, tx pgx.Tx) error {
	var ids []pgtype.UUID
	for _, r := range t.open {
		if r.keyed() || len(r.inputs) > 0 {
			ids = append(ids, r.id)
		}
	}
	there, err := present(ctx, tx, ids)
	t.drop(func(r *insertRow) (bool, error) {
		waits, ok := there[r.id]
		r.waiting = r.coalesce && waits
		return ok, nil
	})
	return err
}

// present reads which of the jobs exist, and whether they wait.
func present(ctx context.Context, tx pgx.Tx, ids []pgtype.UUID) (map[pgtype.UUID]bool, error) {
	found := map[pgtype.UUID]bool{}
	if len(ids) == 0 {
		return found, nil
	}
	result, err := tx.Query(ctx, presentSQL, ids)
	if err != nil {
		return found, err
	}
	var (
		id    pgtype.UUID
		waits bool
	)
	_, err = pgx.ForEachRow(result, []any{&id, &waits}, func() error { found[id] = waits; return nil })
	return found, err
}

// lockInputsSQL waits for whoever is deleting one of the files.
const lockInputsSQL = `SELECT id, tenant FROM files WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE`

// fileName is a file and the tenant that it belongs to.
type fileName struct {
	id     pgtype.UUID
	tenant string
}

// lockFiles keeps files where they are until the end of the transaction, and answers which there are.
func lockFiles(ctx context.Context, tx pgx.Tx, ids []pgtype.UUID) (map[fileName]bool, error) {
	there := map[fileName]bool{}
	if len(ids) == 0 {
		return there, nil
	}
	result, err := tx.Query(ctx, lockInputsSQL, ids)
	if err != nil {
		return nil, err
	}
	var f fileName
	_, err = pgx.ForEachRow(result, []any{&f.id, &f.tenant}, func() error { there[f] = true; return nil })
	return there, err
}

// lockInputs refuses rows whose input does not exist. Those of a job out of the cache are of the past.
func (t *together) lockInputs(ctx context.Context, tx pgx.Tx) error {
	var ids []pgtype.UUID
	for _, r := range t.open {
		if !r.job.Cached {
			ids = append(ids, r.inputs...)
		}
	}
	there, err := lockFiles(ctx, tx, ids)
	t.drop(func(r *insertRow) (bool, error) {
		missing := !r.job.Cached && slices.ContainsFunc(r.inputs, func(id pgtype.UUID) bool { return !there[fileName{id, r.job.Tenant}] })
		return missing, store.ErrInputMissing
	})
	return err
}

// known reads which of the ids a statement finds.
func known(ctx context.Context, tx pgx.Tx, sql string, ids []pgtype.UUID) (map[pgtype.UUID]bool, error) {
	found := map[pgtype.UUID]bool{}
	if len(ids) == 0 {
		return found, nil
	}
	result, err := tx.Query(ctx, sql, ids)
	if err != nil {
		return found, err
	}
	var id pgtype.UUID
	_, err = pgx.ForEachRow(result, []any{&id}, func() error { found[id] = true; return nil })
	return found, err
}
