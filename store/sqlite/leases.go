package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Lead implements store.Upkeep. Leases end with the process, so the terms begin anew with it; nobody of before is left to compare them.
func (l *Ledger) Lead(ctx context.Context, name, holder string, ttl time.Duration) (int64, bool, error) {
	var term int64
	var leads bool
	err := l.write(ctx, func(t *tx) error {
		err := t.row(`INSERT INTO leases (name, holder, term, expires) VALUES (?1, ?2, 1, ?3)
			ON CONFLICT (name) DO UPDATE SET term = term + (holder <> ?2), holder = ?2, expires = ?3 WHERE holder = ?2 OR expires <= ?4
			RETURNING term`, name, holder, t.mono+ttl.Milliseconds(), t.mono).Scan(&term)
		if errors.Is(err, sql.ErrNoRows) {
			return t.row(`SELECT term FROM leases WHERE name = ?`, name).Scan(&term)
		}
		leads = err == nil
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("take the lease %s: %w", name, err)
	}
	return term, leads, nil
}

// Resign implements store.Upkeep.
func (l *Ledger) Resign(ctx context.Context, name, holder string) error {
	return l.write(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE leases SET expires = ? WHERE name = ? AND holder = ?`, t.mono, name, holder)
		return err
	})
}
