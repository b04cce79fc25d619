package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// TakeBlob implements store.Files.
func (l *Ledger) TakeBlob(ctx context.Context, tenant, sha256 string) (key string, ok bool, err error) {
	var taken string
	err = l.write(ctx, func(t *tx) error {
		err := t.row(`UPDATE blobs SET touched_at = ?3 WHERE key =
			(SELECT key FROM blobs WHERE tenant = ?1 AND sha256 = ?2 AND state = 'live' LIMIT 1) RETURNING key`, tenant, sha256, t.now).Scan(&taken)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return "", false, fmt.Errorf("take blob: %w", err)
	}
	return taken, taken != "", nil
}

// What the collector does to blobs that a file has let go of. What others still refer to is not loose; it becomes so again when they let go.
const (
	settleSQL = `UPDATE blobs SET loose = 0 WHERE key IN (SELECT key FROM blobs INDEXED BY blobs_loose
		WHERE loose = 1 AND ` + untouched + ` AND NOT ` + unreferred + ` LIMIT ?2)`
	dieSQL = `UPDATE blobs SET state = 'dying', loose = 0 WHERE key IN (SELECT key FROM blobs INDEXED BY blobs_loose
		WHERE loose = 1 AND ` + untouched + ` AND state = 'live' AND ` + unreferred + ` LIMIT ?2)`
	dyingSQL  = `SELECT key FROM blobs INDEXED BY blobs_dying WHERE state = 'dying' ORDER BY key`
	forgetSQL = `DELETE FROM blobs WHERE key = ? AND ` + stillDying

	// The guards of the collector.
	untouched  = `touched_at <= ?1`
	unreferred = `NOT EXISTS (SELECT 1 FROM files WHERE blob = key)`
	stillDying = `state = 'dying'`
)

// DyingBlobs implements store.Upkeep. Only blobs that a file has let go of are looked at.
func (l *Ledger) DyingBlobs(ctx context.Context, grace time.Duration, limit int) ([]string, error) {
	var keys []string
	err := l.write(ctx, func(t *tx) error {
		before := t.now - grace.Milliseconds()
		if _, err := t.exec(settleSQL, before, limit); err != nil {
			return err
		}
		if _, err := t.exec(dieSQL, before, limit); err != nil {
			return err
		}
		return t.rows(func(row scanner) error {
			var key string
			err := row.Scan(&key)
			keys = append(keys, key)
			return err
		}, dyingSQL)
	})
	if err != nil {
		return nil, fmt.Errorf("find dying blobs: %w", err)
	}
	return keys, nil
}

// ForgetBlob implements store.Upkeep.
func (l *Ledger) ForgetBlob(ctx context.Context, key string) error {
	return l.write(ctx, func(t *tx) error {
		_, err := t.exec(forgetSQL, key)
		return err
	})
}

// KnowsBlob implements store.Upkeep.
func (l *Ledger) KnowsBlob(ctx context.Context, key string) (bool, error) {
	var n int
	err := l.reads.QueryRowContext(ctx, `SELECT count(*) FROM blobs WHERE key = ?`, key).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("look for blob: %w", err)
	}
	return n > 0, nil
}
