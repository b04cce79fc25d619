package postgres

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// uniqueRow is a unique key that a job wants.
type uniqueRow struct {
	keyName
	job pgtype.UUID
	ttl *time.Duration // nil: as long as the job lives
}

// takeUniqueSQL takes keys that are free or whose time is over, and those that the job has already. It waits for whoever is writing one.
const takeUniqueSQL = `
INSERT INTO unique_keys (key, tenant, job, expires_at)
SELECT key, tenant, job, now() + ttl FROM unnest($1::text[], $2::text[], $3::uuid[], $4::interval[]) AS u (key, tenant, job, ttl)
ON CONFLICT (key, tenant) DO UPDATE SET job = EXCLUDED.job, expires_at = EXCLUDED.expires_at
	WHERE unique_keys.expires_at <= now() OR unique_keys.job = EXCLUDED.job
RETURNING key, tenant`

// holdersSQL says who has keys, and whether that job has ended or is gone: then a program that knew nothing of unique keys ended it. A key and its
// job are written by one transaction, so what is to be seen of one is of the other.
const holdersSQL = `
SELECT k.key, k.tenant, k.job, k.ended FROM unnest($1::text[], $2::text[]) AS u (key, tenant), LATERAL (
	SELECT q.key, q.tenant, q.job,
		NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = q.job AND j.state NOT IN ('succeeded', 'failed', 'canceled') OFFSET 0) AS ended
	FROM unique_keys q WHERE q.key = u.key AND q.tenant = u.tenant AND (q.expires_at > now()) IS NOT FALSE OFFSET 0) k`

// dropStrayUniqueSQL frees keys of jobs that have ended or are gone.
const dropStrayUniqueSQL = `
DELETE FROM unique_keys k WHERE k.key = ANY ($1) AND k.job = ANY ($2)
	AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = k.job AND j.state NOT IN ('succeeded', 'failed', 'canceled') OFFSET 0)`

func uniqueNames(rows []uniqueRow) []any {
	return []any{
		column(rows, func(r uniqueRow) string { return r.key }),
		column(rows, func(r uniqueRow) string { return r.tenant }),
	}
}

// takeUnique takes unique keys, each wanted by one job, and answers who has the others.
func takeUnique(ctx context.Context, tx pgx.Tx, rows []uniqueRow) (holders map[keyName]pgtype.UUID, err error) {
	slices.SortFunc(rows, func(a, b uniqueRow) int { return a.compare(b.keyName) })
	holders = map[keyName]pgtype.UUID{}
	for try := 1; len(rows) > 0; try++ {
		if try > tries {
			return nil, errMoved
		}
		result, err := tx.Query(ctx, takeUniqueSQL, append(uniqueNames(rows),
			column(rows, func(r uniqueRow) pgtype.UUID { return r.job }), column(rows, func(r uniqueRow) *time.Duration { return r.ttl }))...)
		if err != nil {
			return nil, err
		}
		taken := map[keyName]bool{}
		var k keyName
		if _, err = pgx.ForEachRow(result, []any{&k.key, &k.tenant}, func() error { taken[k] = true; return nil }); err != nil {
			return nil, err
		}
		rows = slices.DeleteFunc(rows, func(r uniqueRow) bool { return taken[r.keyName] })
		if len(rows) == 0 {
			break
		}
		held, err := heldUnique(ctx, tx, rows)
		if err != nil {
			return nil, err
		}
		maps.Copy(holders, held) // what is neither taken nor held was freed while we looked
		rows = slices.DeleteFunc(rows, func(r uniqueRow) bool { return held[r.keyName].Valid })
	}
	return holders, nil
}

// heldUnique answers which live job has which key, and frees the others.
func heldUnique(ctx context.Context, tx pgx.Tx, rows []uniqueRow) (map[keyName]pgtype.UUID, error) {
	result, err := tx.Query(ctx, holdersSQL, uniqueNames(rows)...)
	if err != nil {
		return nil, err
	}
	var (
		held  = map[keyName]pgtype.UUID{}
		stray []uniqueRow
		row   uniqueRow
		ended bool
	)
	_, err = pgx.ForEachRow(result, []any{&row.key, &row.tenant, &row.job, &ended}, func() error {
		if ended {
			stray = append(stray, row)
		} else {
			held[row.keyName] = row.job
		}
		return nil
	})
	if err != nil || len(stray) == 0 {
		return held, err
	}
	return held, dropStray(ctx, tx, stray)
}

func dropStray(ctx context.Context, tx pgx.Tx, rows []uniqueRow) error {
	_, err := tx.Exec(ctx, dropStrayUniqueSQL, uniqueNames(rows)[0], column(rows, func(r uniqueRow) pgtype.UUID { return r.job }))
	return err
}
