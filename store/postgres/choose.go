package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/store"
)

// choose decides which of the open rows are written. Of rows that share a key the first that can be written has it, so what shares one with an
// undecided row waits for the next round; a group without such neighbours takes one round.
func (t *together) choose(ctx context.Context, tx pgx.Tx) error {
	t.keys, t.held = map[keyName]*insertRow{}, map[keyName]string{}
	for len(t.open) > 0 {
		t.drop(t.taken)
		round := t.round()
		refused, err := t.takeUnique(ctx, tx, round)
		if err != nil {
			return err
		}
		for _, r := range round {
			if holder := refused[r]; holder.Valid {
				t.held[r.unique()] = holder.String()
				r.decide(&store.HeldError{Job: holder.String()})
				continue
			}
			r.decide(nil)
			t.goes = append(t.goes, r)
			if r.idempotency != nil {
				t.keys[r.key()] = r
			}
			if r.job.Unique != nil && !r.job.Cached {
				t.held[r.unique()] = r.job.ID
			}
		}
	}
	return nil
}

// taken says whether an earlier row of the group, or a job that one of them met, has what the row needs.
func (t *together) taken(r *insertRow) (bool, error) {
	if r.idempotency != nil {
		if by := t.keys[r.key()]; by != nil && by.id != r.id {
			e := &store.ReplayedError{Idempotency: *by.idempotency}
			t.told = append(t.told, replay{e, by})
			return true, e
		} else if by != nil {
			return true, nil
		}
	}
	if r.job.Unique == nil {
		return false, nil
	}
	switch holder := t.held[r.unique()]; holder {
	case "":
		return false, nil
	case r.job.ID:
		return true, nil
	default:
		return true, &store.HeldError{Job: holder}
	}
}

// round takes out of the open rows those that do not depend on each other.
func (t *together) round() (round []*insertRow) {
	keys, unique := map[keyName]bool{}, map[keyName]bool{}
	rest := t.open[:0]
	for _, r := range t.open {
		if r.idempotency != nil && keys[r.key()] || r.job.Unique != nil && unique[r.unique()] {
			rest = append(rest, r)
		} else {
			round = append(round, r)
		}
		if r.idempotency != nil {
			keys[r.key()] = true
		}
		if r.job.Unique != nil {
			unique[r.unique()] = true
		}
	}
	t.open = rest
	return round
}

// takeUnique takes the round's unique keys and answers who has those that could not be. A job out of the cache has ended already: it takes none.
func (t *together) takeUnique(ctx context.Context, tx pgx.Tx, round []*insertRow) (map[*insertRow]pgtype.UUID, error) {
	var take, look []uniqueRow
	for _, r := range round {
		switch {
		case r.job.Unique == nil:
		case r.job.Cached:
			look = append(look, uniqueRow{keyName: r.unique()})
		default:
			take = append(take, uniqueRow{r.unique(), r.id, r.uniqueTTL()})
		}
	}
	refused := map[*insertRow]pgtype.UUID{}
	if len(take)+len(look) == 0 {
		return refused, nil
	}
	holders, err := takeUnique(ctx, tx, take)
	if err != nil {
		return nil, err
	}
	if len(look) > 0 {
		held, err := heldUnique(ctx, tx, look)
		if err != nil {
			return nil, err
		}
		for k, job := range held {
			holders[k] = job
		}
	}
	for _, r := range round {
		if r.job.Unique != nil && holders[r.unique()].Valid {
			refused[r] = holders[r.unique()]
		}
	}
	return refused, nil
}

// replay is what a row heard of an earlier one with its idempotency key.
type replay struct {
	err *store.ReplayedError
	by  *insertRow
}

// settleKeys makes the idempotency keys those of the rows that are written: a refused row leaves none.
func (t *together) settleKeys(ctx context.Context, tx pgx.Tx) error {
	var change, drop []idempotencyRow
	for k, first := range t.mine {
		switch by := t.keys[k]; {
		case by == nil:
			drop = append(drop, idempotencyRow{keyName: k})
		case by != first || by.waiting:
			change = append(change, idempotencyRow{k, by.kept(), by.id})
		}
	}
	for _, r := range t.told {
		r.err.Idempotency = r.by.kept()
	}
	if len(drop) > 0 {
		if _, err := tx.Exec(ctx, dropKeysSQL, idempotencyArgs(drop)[:2]...); err != nil {
			return err
		}
	}
	if len(change) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, changeKeysSQL, idempotencyArgs(change)...)
	return err
}
