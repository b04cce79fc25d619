package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/store"
)

// keyName is a key and the tenant that it belongs to, in the order in which batches take keys.
type keyName struct{ key, tenant string }

func (k keyName) compare(o keyName) int {
	return cmp.Or(cmp.Compare(k.key, o.key), cmp.Compare(k.tenant, o.tenant))
}

// idempotencyRow is what a creating request writes. owner is what it creates.
type idempotencyRow struct {
	keyName
	store.Idempotency
	owner pgtype.UUID
}

// takeKeysSQL waits for whoever is writing one of the keys. What it returns is new.
const takeKeysSQL = `
INSERT INTO idempotency_keys (key, tenant, hash, answer, owner)
SELECT key, tenant, hash, answer, owner FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::uuid[]) AS u (key, tenant, hash, answer, owner)
ON CONFLICT (key, tenant) DO NOTHING
RETURNING key, tenant`

// knownKeysSQL is a statement of its own: one that began before the wait would not see the row.
const knownKeysSQL = `
SELECT k.key, k.tenant, k.hash, k.answer, k.owner FROM unnest($1::text[], $2::text[]) AS u (key, tenant), LATERAL (
	SELECT * FROM idempotency_keys i WHERE i.key = u.key AND i.tenant = u.tenant OFFSET 0) k`

const (
	dropKeysSQL = `DELETE FROM idempotency_keys i USING unnest($1::text[], $2::text[]) AS u (key, tenant)
		WHERE i.key = ANY ($1) AND i.key = u.key AND i.tenant = u.tenant`

	changeKeysSQL = `UPDATE idempotency_keys i SET hash = u.hash, answer = u.answer, owner = u.owner
		FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::uuid[]) AS u (key, tenant, hash, answer, owner)
		WHERE i.key = ANY ($1) AND i.key = u.key AND i.tenant = u.tenant`
)

func idempotencyArgs(rows []idempotencyRow) []any {
	return []any{
		column(rows, func(r idempotencyRow) string { return r.key }),
		column(rows, func(r idempotencyRow) string { return r.tenant }),
		column(rows, func(r idempotencyRow) string { return clean(r.Hash) }),
		column(rows, func(r idempotencyRow) []byte { return r.Answer }),
		column(rows, func(r idempotencyRow) pgtype.UUID { return r.owner }),
	}
}

// takeKeys writes the idempotency keys, one row for each, and answers what was there already.
func takeKeys(ctx context.Context, tx pgx.Tx, rows []idempotencyRow) (used map[keyName]idempotencyRow, err error) {
	if len(rows) == 0 {
		return nil, nil
	}
	slices.SortFunc(rows, func(a, b idempotencyRow) int { return a.compare(b.keyName) })
	result, err := tx.Query(ctx, takeKeysSQL, idempotencyArgs(rows)...)
	if err != nil {
		return nil, err
	}
	taken, err := pgx.CollectRows(result, func(row pgx.CollectableRow) (k keyName, err error) {
		err = row.Scan(&k.key, &k.tenant)
		return k, err
	})
	if err != nil || len(taken) == len(rows) {
		return nil, err
	}
	lost := slices.DeleteFunc(slices.Clone(rows), func(r idempotencyRow) bool { return slices.Contains(taken, r.keyName) })
	result, err = tx.Query(ctx, knownKeysSQL, idempotencyArgs(lost)[:2]...)
	if err != nil {
		return nil, err
	}
	used = make(map[keyName]idempotencyRow, len(lost))
	var k idempotencyRow
	_, err = pgx.ForEachRow(result, []any{&k.key, &k.tenant, &k.Hash, &k.Answer, &k.owner}, func() error {
		k.Key = k.key
		used[k.keyName] = k
		k.Answer = nil // the next row's answer gets memory of its own
		return nil
	})
	if err == nil && len(used) < len(lost) {
		err = errMoved // it has expired between the two statements
	}
	return used, err
}

const answerSQL = `SELECT hash, answer FROM idempotency_keys WHERE key = $2 AND tenant = $1`

// Answer reads what an earlier request left under its key.
func (l *Ledger) Answer(ctx context.Context, tenant, key string) (store.Idempotency, error) {
	ctx, cancel := reading(ctx)
	defer cancel()
	k := store.Idempotency{Key: key}
	err := l.pool.QueryRow(ctx, answerSQL, tenant, clean(key)).Scan(&k.Hash, &k.Answer)
	if err != nil {
		return store.Idempotency{}, wrap("read idempotency key", err)
	}
	return k, nil
}

// Both deletes take what is oldest through an index, and pass over what somebody is writing at this moment.
const (
	expireIdempotencySQL = `DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM idempotency_keys WHERE created_at <= now() - $1::interval ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))`

	expireUniqueSQL = `DELETE FROM unique_keys WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM unique_keys WHERE expires_at <= now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))`
)

// ExpireKeys deletes idempotency keys that are old enough, and unique keys whose time is over although their job lives.
func (l *Ledger) ExpireKeys(ctx context.Context, limit int) (n int, err error) {
	if limit <= 0 {
		return 0, nil
	}
	err = again(ctx, "expire keys", func(ctx context.Context) error {
		tag, err := l.pool.Exec(ctx, expireIdempotencySQL, store.KeyLife, limit)
		n = int(tag.RowsAffected())
		return err
	})
	if err != nil || n == limit {
		return n, err
	}
	done := n
	err = again(ctx, "expire keys", func(ctx context.Context) error {
		tag, err := l.pool.Exec(ctx, expireUniqueSQL, limit-done)
		n = done + int(tag.RowsAffected())
		return err
	})
	return n, err
}
