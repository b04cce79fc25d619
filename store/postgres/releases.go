package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

const (
	owedReleasesSQL = `SELECT id FROM equal_releases WHERE id > $1 ORDER BY id LIMIT $2`

	// Both walk through the groups, a page at a time; those that somebody follows come round sooner.
	walkGroupsSQL = `
SELECT g.cache_key, g.tenant, g.id, g.leader, j.live IS TRUE
FROM (SELECT cache_key, tenant, id, leader FROM equal_groups WHERE (cache_key, tenant) > ($1, $2) ORDER BY cache_key, tenant LIMIT $3) g
	LEFT JOIN LATERAL (SELECT state NOT IN ('succeeded', 'failed', 'canceled') AS live FROM jobs WHERE jobs.id = g.leader OFFSET 0) j ON true
ORDER BY g.cache_key, g.tenant`
	walkFollowedSQL = `
SELECT g.cache_key, g.tenant, g.id, g.leader, j.live IS TRUE
FROM (SELECT cache_key, tenant, id, leader FROM equal_groups WHERE followed AND id > $1 ORDER BY id LIMIT $2) g
	LEFT JOIN LATERAL (SELECT state NOT IN ('succeeded', 'failed', 'canceled') AS live FROM jobs WHERE jobs.id = g.leader OFFSET 0) j ON true
ORDER BY g.id`
)

// walkPage is how many groups one look goes through.
const walkPage = 1000

// walks remembers how far the looks for leaders that ended without a word have come.
type walks struct {
	mu            sync.Mutex
	any, followed equalRow
}

// ReleaseWaiting goes on with what the ends of leaders have left to do, a transaction for each part.
func (l *Ledger) ReleaseWaiting(ctx context.Context, limit int) (n int, err error) {
	const op = "release waiting jobs"
	if err := l.partStray(ctx); err != nil {
		return 0, err
	}
	for last := (pgtype.UUID{Valid: true}); n < limit; {
		var groups []pgtype.UUID
		err := again(ctx, op, func(ctx context.Context) error {
			result, err := l.pool.Query(ctx, owedReleasesSQL, last, limit)
			if err != nil {
				return err
			}
			groups, err = pgx.CollectRows(result, pgx.RowTo[pgtype.UUID])
			return err
		})
		if err != nil || len(groups) == 0 {
			return n, err
		}
		for _, group := range groups {
			for last = group; n < limit; {
				did := 0
				err := again(ctx, op, func(ctx context.Context) (err error) { did, err = l.releaseOwed(ctx, group); return err })
				if err != nil {
					return n, err
				}
				if n += did; did == 0 {
					break
				}
			}
		}
	}
	return n, nil
}

// releaseOwed does a transaction's worth for a group, if it is still owed and nobody else is at it.
func (l *Ledger) releaseOwed(ctx context.Context, group pgtype.UUID) (n int, err error) {
	r := release{group: group}
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		r.tx = tx
		n, err = r.run(ctx, atOnce)
		return err
	})
	if err == nil && len(r.news) > 0 && l.tell != nil {
		l.tell(r.news)
	}
	return n, err
}

// partStray goes a page further through the groups and parts those whose leader ended without a word.
func (l *Ledger) partStray(ctx context.Context) error {
	l.walks.mu.Lock()
	defer l.walks.mu.Unlock()
	w := &l.walks
	if !w.followed.id.Valid {
		w.followed.id.Valid = true // the least of all ids
	}
	for _, walk := range []struct {
		sql  string
		args []any
		last *equalRow
	}{
		{walkGroupsSQL, []any{w.any.key, w.any.tenant, walkPage}, &w.any},
		{walkFollowedSQL, []any{w.followed.id, walkPage}, &w.followed},
	} {
		err := again(ctx, "look for leaders that have ended", func(ctx context.Context) error {
			return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
				result, err := tx.Query(ctx, walk.sql, walk.args...)
				if err != nil {
					return err
				}
				stray, seen, err := readGroups(result, walk.last)
				if err != nil {
					return err
				}
				if seen < walkPage {
					*walk.last = equalRow{id: pgtype.UUID{Valid: true}} // and from the beginning
				}
				if len(stray) == 0 {
					return nil
				}
				return partStray(ctx, tx, stray)
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readGroups reads a page, notes where it ended, and answers the groups whose leader does not live.
func readGroups(rows pgx.Rows, last *equalRow) (stray []equalRow, seen int, err error) {
	var e equalRow
	var live bool
	_, err = pgx.ForEachRow(rows, []any{&e.key, &e.tenant, &e.id, &e.leader, &live}, func() error {
		if seen++; !live {
			stray = append(stray, e)
		}
		*last = e
		return nil
	})
	return stray, seen, err
}
