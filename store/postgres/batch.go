package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/store"
)

// maxStatement bounds the rows of one statement: more gain nothing.
const maxStatement = 1000

// writeRows writes rows sorted by id. It answers a refusal when the database does not take one of them.
func writeRows(ctx context.Context, tx pgx.Tx, rows []*insertRow) error {
	if !slices.ContainsFunc(rows, (*insertRow).full) {
		sql, args := insertStatement(rows)
		_, err := tx.Exec(ctx, sql, args...)
		return asRefusal(err)
	}
	_, stale, err := insertFull(ctx, tx, rows)
	if err != nil {
		return asRefusal(err)
	}
	if len(stale) > 0 {
		refused := refusal{}
		for _, r := range rows {
			if stale[r.id] {
				refused[r] = store.ErrStaleResult
			}
		}
		return refused
	}
	var unique []uniqueRow
	for _, r := range rows {
		if r.job.Unique != nil && !r.job.Cached {
			unique = append(unique, uniqueRow{keyName: r.unique(), job: r.id})
		}
	}
	if len(unique) == 0 {
		return nil
	}
	// A repetition that waited for the first call may find that the job has ended meanwhile.
	return dropStray(ctx, tx, unique)
}

func asRefusal(err error) error {
	if badData(err) {
		return refusal{}
	}
	return err
}

// findRefused writes ever smaller parts of the rows until it has each one that the database does not take, and leaves nothing behind.
func (l *Ledger) findRefused(ctx context.Context, limit time.Duration, rows []*insertRow) (refused refusal, err error) {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r *insertRow) bool { return r.barred != nil })
	sortRows(rows)
	err = againWithin(ctx, limit, "insert jobs", func(ctx context.Context) error {
		refused = refusal{}
		tx, err := l.pool.Begin(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback(context.WithoutCancel(ctx))
		return probe(ctx, tx, rows, refused)
	})
	if err == nil && len(refused) == 0 {
		err = fmt.Errorf("insert jobs: %w", errMoved)
	}
	return refused, err
}

func probe(ctx context.Context, tx pgx.Tx, rows []*insertRow, refused refusal) error {
	if len(rows) > maxStatement {
		return errors.Join(probe(ctx, tx, rows[:len(rows)/2], refused), probe(ctx, tx, rows[len(rows)/2:], refused))
	}
	point, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	_, _, err = insertFull(ctx, point, rows)
	if back := point.Rollback(ctx); back != nil {
		return errors.Join(err, back)
	}
	switch {
	case err == nil || !badData(err):
		return err
	case len(rows) == 1 && code(err) == foreignKeyViolation:
		refused[rows[0]] = store.ErrInputMissing
		return nil
	case len(rows) == 1:
		refused[rows[0]] = err
		return nil
	}
	return errors.Join(probe(ctx, tx, rows[:len(rows)/2], refused), probe(ctx, tx, rows[len(rows)/2:], refused))
}

// InsertBatch writes the jobs of one request in one transaction, and under its key what answer makes of the errors.
func (l *Ledger) InsertBatch(ctx context.Context, tenant string, key *store.Idempotency, jobs []store.NewJob, answer func([]error) []byte) ([]error, error) {
	errs, before := make([]error, len(jobs)), make([]error, len(jobs))
	rows := newInsertRows(jobs, before)
	if key == nil {
		err := l.insertTogether(ctx, "insert batch", rows, steps{limit: batchLimit})
		copy(errs, before)
		if err == nil {
			noteWaiting(rows)
		}
		return errs, err
	}
	mine := idempotencyRow{keyName{clean(key.Key), tenant}, *key, pgtype.UUID{Valid: true}}
	if len(rows) > 0 {
		mine.owner = rows[0].id
	}
	err := l.insertTogether(ctx, "insert batch", rows, steps{
		limit: batchLimit,
		before: func(ctx context.Context, tx pgx.Tx) error {
			used, err := takeKeys(ctx, tx, []idempotencyRow{mine})
			if err != nil {
				return err
			}
			k, replayed := used[mine.keyName]
			if !replayed {
				return nil
			}
			ids := column(rows, func(r *insertRow) pgtype.UUID { return r.id })
			there, err := present(ctx, tx, ids)
			switch {
			case err != nil:
				return err
			case len(jobs) > 0 && k.owner == mine.owner && len(there) == len(jobs):
				return errWritten
			}
			return &store.ReplayedError{Idempotency: k.Idempotency}
		},
		after: func(ctx context.Context, tx pgx.Tx) error {
			copy(errs, before)
			mine.Answer = answer(errs)
			_, err := tx.Exec(ctx, changeKeysSQL, idempotencyArgs([]idempotencyRow{mine})...)
			return err
		},
	})
	if errors.Is(err, errWritten) {
		return make([]error, len(jobs)), nil
	}
	if err != nil {
		return nil, err
	}
	noteWaiting(rows)
	return errs, nil
}

// errWritten says that an earlier call whose answer was lost wrote everything. One that wrote a part of its jobs cannot say any more why it refused
// the others: its repetition hears that the key was used, with the answer that the first call would have brought.
var errWritten = errors.New("written before")
