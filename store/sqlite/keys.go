package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

const answerSQL = `SELECT hash, answer FROM idempotency_keys WHERE tenant = ? AND key = ?`

func scanIdempotency(row scanner, key string) (store.Idempotency, error) {
	k := store.Idempotency{Key: key}
	err := row.Scan(&k.Hash, &k.Answer)
	return k, err
}

// Answer implements store.Keys.
func (l *Ledger) Answer(ctx context.Context, tenant, key string) (store.Idempotency, error) {
	k, err := scanIdempotency(l.reads.QueryRowContext(ctx, answerSQL, tenant, key), key)
	if errors.Is(err, sql.ErrNoRows) {
		return store.Idempotency{}, fmt.Errorf("idempotency key: %w", store.ErrNotFound)
	}
	if err != nil {
		return store.Idempotency{}, fmt.Errorf("read idempotency key: %w", err)
	}
	return k, nil
}

// copyKey lets the caller go away with his own.
func copyKey(k *store.Idempotency) *store.Idempotency {
	if k == nil {
		return nil
	}
	c := *k
	c.Answer = slices.Clone(k.Answer)
	return &c
}

// unreplayed answers *store.ReplayedError when the idempotency key was used before. nil is no key.
func (t *tx) unreplayed(tenant string, k *store.Idempotency) error {
	if k == nil {
		return nil
	}
	used, err := scanIdempotency(t.row(answerSQL, tenant, k.Key), k.Key)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for idempotency key: %w", err)
	}
	return &store.ReplayedError{Idempotency: used}
}

// keep writes what a repetition of the request is to hear.
func (t *tx) keep(tenant string, k *store.Idempotency) error {
	if k == nil {
		return nil
	}
	_, err := t.exec(`INSERT INTO idempotency_keys (tenant, key, hash, answer, created_at) VALUES (?, ?, ?, ?, ?)`,
		tenant, k.Key, k.Hash, k.Answer, t.now)
	return err
}

// holderSQL names who has the key at this moment: a key whose time is over is nobody's.
const holderSQL = `SELECT job FROM unique_keys WHERE tenant = ? AND key = ? AND (expires_at IS NULL OR expires_at > ?)`

// free answers *store.HeldError when another live job has the unique key. nil is no key.
func (t *tx) free(tenant, job string, u *millrace.Unique) error {
	if u == nil {
		return nil
	}
	var holder string
	err := t.row(holderSQL, tenant, u.Key, t.now).Scan(&holder)
	if errors.Is(err, sql.ErrNoRows) || err == nil && holder == job {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for unique key: %w", err)
	}
	return &store.HeldError{Job: holder}
}

// take gives the unique key to the job whose run begins.
func (t *tx) take(tenant, job string, u *millrace.Unique) error {
	if u == nil {
		return nil
	}
	var expires sql.NullInt64
	if u.TTL > 0 {
		expires = sql.NullInt64{Int64: t.now + u.TTL.Milliseconds(), Valid: true}
	}
	_, err := t.exec(`INSERT INTO unique_keys (tenant, key, job, expires_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (tenant, key) DO UPDATE SET job = excluded.job, expires_at = excluded.expires_at`, tenant, u.Key, job, expires)
	return err
}

// freeSQL frees the key of a job that is final. Its own alone: when its time was over another may have taken it.
const freeSQL = `DELETE FROM unique_keys WHERE tenant = ? AND key = ?` + stillItsOwn

const stillItsOwn = ` AND job = ?`

// letGo frees the unique key of a job that is final.
func (t *tx) letGo(tenant, job, key string) error {
	if _, err := t.exec(freeSQL, tenant, key, job); err != nil {
		return fmt.Errorf("free unique key: %w", err)
	}
	return nil
}

const (
	oldKeys = `SELECT tenant, key FROM idempotency_keys INDEXED BY idempotency_keys_age WHERE created_at <= ?1 LIMIT ?2`
	overSQL = `SELECT tenant, key FROM unique_keys INDEXED BY unique_keys_expire WHERE expires_at <= ?1 LIMIT ?2`

	dropOldKeys = `DELETE FROM idempotency_keys WHERE (tenant, key) IN (` + oldKeys + `)`
	dropOver    = `DELETE FROM unique_keys WHERE (tenant, key) IN (` + overSQL + `)`
)

// ExpireKeys implements store.Upkeep. Each transaction takes few, so that it holds up nobody for long.
func (l *Ledger) ExpireKeys(ctx context.Context, limit int) (int, error) {
	total := 0
	for _, kind := range []struct {
		query string
		age   int64
	}{{dropOldKeys, store.KeyLife.Milliseconds()}, {dropOver, 0}} {
		for total < limit {
			var n int64
			most := min(limit-total, removal)
			err := l.write(ctx, func(t *tx) (err error) {
				n, err = t.exec(kind.query, t.now-kind.age, most)
				return err
			})
			if err != nil {
				return total, fmt.Errorf("expire keys: %w", err)
			}
			total += int(n)
			if n < int64(most) {
				break
			}
		}
	}
	return total, nil
}
