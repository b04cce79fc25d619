package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/store"
)

// errNotMoved ends the transaction of a tick that somebody else ran, or that was worked out from a schedule that has changed.
var errNotMoved = errors.New("the schedule has moved on")

// Tick inserts the jobs of due ticks and moves the schedule on.
func (l *Ledger) Tick(ctx context.Context, t store.Tick) (errs []error, moved bool, err error) {
	errs = make([]error, len(t.Jobs))
	rows := newInsertRows(t.Jobs, errs)
	var first *pgtype.UUID
	if len(rows) > 0 {
		first = &rows[0].id
	}
	err = l.insertTogether(ctx, "tick", rows, steps{
		before: func(ctx context.Context, tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, tickSQL, t.Tenant, t.Name, t.Version, orNever(t.From), orNever(t.Next), orNever(t.Last), first)
			if err == nil && tag.RowsAffected() == 0 {
				return errNotMoved
			}
			return err
		},
		after: func(ctx context.Context, tx pgx.Tx) error {
			if len(errs) == 0 && t.Refused == "" {
				return nil
			}
			job, refusal := "", clean(t.Refused)
			if n := len(errs); refusal == "" && errs[n-1] != nil {
				refusal = clean(errs[n-1].Error())
			} else if refusal == "" {
				job = t.Jobs[n-1].ID
			}
			_, err := tx.Exec(ctx, tickedSQL, t.Tenant, t.Name, job, refusal)
			return err
		},
	})
	switch {
	case err == nil:
		return errs, true, nil
	case errors.Is(err, errNotMoved) && first != nil:
		return l.ownTick(ctx, t, rows)
	case errors.Is(err, errNotMoved):
		return nil, false, nil
	}
	return nil, false, err
}

// ownTick recognizes a tick that an earlier call wrote, whose answer was lost, and answers as that call would have.
func (l *Ledger) ownTick(ctx context.Context, t store.Tick, rows []*insertRow) (errs []error, moved bool, err error) {
	err = again(ctx, "tick", func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
			there, err := present(ctx, tx, column(rows, func(r *insertRow) pgtype.UUID { return r.id }))
			if err != nil {
				return err
			}
			refusal := "the job was refused"
			err = tx.QueryRow(ctx, ownTickSQL, t.Tenant, t.Name, rows[0].id).Scan(&refusal)
			if moved = err == nil || len(there) > 0; errors.Is(err, pgx.ErrNoRows) {
				err = nil
			}
			errs = make([]error, len(t.Jobs))
			for i, job := range t.Jobs {
				id, ok := parseID(job.ID)
				if _, known := there[id]; !ok || !known {
					errs[i] = errors.New(refusal)
				}
			}
			return err
		})
	})
	if err != nil || !moved {
		return nil, false, err
	}
	return errs, true, nil
}
