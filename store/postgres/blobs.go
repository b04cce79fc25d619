package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const takeBlobSQL = `
UPDATE blobs SET touched_at = now()
WHERE key = (SELECT key FROM blobs WHERE tenant = $1 AND sha256 = $2 AND dying_at IS NULL LIMIT 1) AND dying_at IS NULL
RETURNING key`

// TakeBlob finds a live blob with these bytes and keeps it for an hour. When the collector is quicker there is none.
func (l *Ledger) TakeBlob(ctx context.Context, tenant, sha256 string) (key string, ok bool, err error) {
	err = again(ctx, "take blob", func(ctx context.Context) error {
		rows, err := l.pool.Query(ctx, takeBlobSQL, tenant, sha256)
		if err != nil {
			return err
		}
		keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if ok = len(keys) > 0; ok {
			key = keys[0]
		}
		return err
	})
	return key, ok && err == nil, err
}

// A blob is looked at when a reference to it went: candidates are few, however many blobs there are.
const (
	looseBlobsSQL = `SELECT key FROM blobs WHERE loose AND dying_at IS NULL AND touched_at <= now() - $1::interval
		ORDER BY touched_at LIMIT $2 FOR UPDATE SKIP LOCKED`
	judgeBlobsSQL = `UPDATE blobs b SET loose = false,
		dying_at = CASE WHEN EXISTS (SELECT 1 FROM files f WHERE f.blob = b.key OFFSET 0) THEN NULL ELSE now() END
		WHERE b.key = ANY ($1)`
	dyingBlobsSQL = `SELECT key FROM blobs WHERE dying_at IS NOT NULL ORDER BY dying_at`
)

// DyingBlobs marks blobs that nobody refers to. The candidates are locked first, against everybody who is about to refer to one; then a second
// statement, which sees all that was committed until the lock was had, looks for references.
func (l *Ledger) DyingBlobs(ctx context.Context, grace time.Duration, limit int) (dying []string, err error) {
	err = again(ctx, "collect blobs", func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, looseBlobsSQL, grace, limit)
			if err != nil {
				return err
			}
			loose, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			if len(loose) > 0 {
				if _, err := tx.Exec(ctx, judgeBlobsSQL, loose); err != nil {
					return err
				}
			}
			if rows, err = tx.Query(ctx, dyingBlobsSQL); err != nil {
				return err
			}
			dying, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
	})
	return dying, err
}

const forgetBlobSQL = `DELETE FROM blobs WHERE key = $1 AND dying_at IS NOT NULL`

// ForgetBlob deletes the row of a dying blob.
func (l *Ledger) ForgetBlob(ctx context.Context, key string) error {
	_, err := l.pool.Exec(ctx, forgetBlobSQL, key)
	return wrap("forget blob", err)
}

const knowsBlobSQL = `SELECT EXISTS (SELECT 1 FROM blobs WHERE key = $1)`

// KnowsBlob says whether there is a row for the key.
func (l *Ledger) KnowsBlob(ctx context.Context, key string) (known bool, err error) {
	ctx, cancel := reading(ctx)
	defer cancel()
	err = l.pool.QueryRow(ctx, knowsBlobSQL, clean(key)).Scan(&known)
	return known, wrap("look for blob", err)
}
