package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/store"
)

// InsertBatch implements store.Jobs.
func (l *Ledger) InsertBatch(ctx context.Context, tenant string, key *store.Idempotency, jobs []store.NewJob,
	answer func([]error) []byte) ([]error, error) {
	rows, invalid := prepareRows(jobs, l.now())
	ids := make([]string, len(jobs))
	for i, j := range jobs {
		ids[i] = j.ID
	}
	key = copyKey(key)
	var errs []error
	err := l.write(ctx, func(t *tx) error {
		err := t.unreplayed(tenant, key)
		if _, replayed := errors.AsType[*store.ReplayedError](err); replayed {
			if ours, e := t.allKnown(ids); e != nil || ours {
				errs = make([]error, len(jobs))
				return e
			}
		}
		if err != nil {
			return err
		}
		if errs, err = t.insertAll(rows); err != nil {
			return err
		}
		for i, e := range invalid {
			if e != nil {
				errs[i] = e
			}
		}
		if key != nil && answer != nil {
			key.Answer = answer(errs)
		}
		return t.keep(tenant, key)
	})
	if err != nil {
		return nil, fmt.Errorf("insert batch: %w", err)
	}
	noteWaiting(jobs, rows)
	return errs, nil
}

// allKnown says whether all these jobs exist: then an earlier call whose answer was lost wrote them. One that was refused then cannot be told
// from one of another request; who has such hears that the key was used, with the answer of the earlier call.
func (t *tx) allKnown(ids []string) (bool, error) {
	for _, id := range ids {
		if known, err := t.known(id); err != nil || !known {
			return false, err
		}
	}
	return len(ids) > 0, nil
}
