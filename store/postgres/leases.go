package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/store"
)

const leadSQL = `
WITH mine AS (
	INSERT INTO leases (name, holder, term, expires_at) VALUES ($1, $2, 1, now() + $3::interval)
	ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder, expires_at = EXCLUDED.expires_at,
		term = leases.term + CASE WHEN leases.holder = EXCLUDED.holder THEN 0 ELSE 1 END
	WHERE leases.holder = EXCLUDED.holder OR leases.expires_at <= now()
	RETURNING term
)
SELECT term, true FROM mine
UNION ALL
SELECT term, false FROM leases WHERE name = $1 AND NOT EXISTS (SELECT 1 FROM mine)`

// Lead takes or renews a lease. Who does not lead hears the term that it sees.
func (l *Ledger) Lead(ctx context.Context, name, holder string, ttl time.Duration) (term int64, leads bool, err error) {
	err = again(ctx, "lead", func(ctx context.Context) error {
		return l.pool.QueryRow(ctx, leadSQL, name, holder, ttl).Scan(&term, &leads)
	})
	if errors.Is(err, store.ErrNotFound) { // somebody's first row was committed after this statement had begun
		return 0, false, nil
	}
	return term, leads, err
}

const resignSQL = `UPDATE leases SET holder = '', expires_at = now() WHERE name = $1 AND holder = $2`

// Resign gives a lease back; the term stays, so that it goes on growing.
func (l *Ledger) Resign(ctx context.Context, name, holder string) error {
	_, err := l.pool.Exec(ctx, resignSQL, name, holder)
	return wrap("resign", err)
}
