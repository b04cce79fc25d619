package sqlite

import (
	"context"
	"fmt"
	"sync"
)

const (
	owedReleases = `SELECT id, tenant, cache_key, leader FROM equal_releases WHERE id > ? ORDER BY id LIMIT ?`

	// Both walk through the groups, a page at a time; those that somebody follows come round sooner.
	walkGroups = `SELECT g.tenant, g.cache_key, g.id, g.leader, coalesce(j.state NOT IN ('succeeded', 'failed', 'canceled'), 0)
		FROM equal_groups g LEFT JOIN jobs j ON j.id = g.leader
		WHERE (g.tenant, g.cache_key) > (?1, ?2) ORDER BY g.tenant, g.cache_key LIMIT ?3`
	walkFollowed = `SELECT g.tenant, g.cache_key, g.id, g.leader, coalesce(j.state NOT IN ('succeeded', 'failed', 'canceled'), 0)
		FROM equal_groups g INDEXED BY equal_groups_followed LEFT JOIN jobs j ON j.id = g.leader
		WHERE g.followed = 1 AND g.id > ?1 ORDER BY g.id LIMIT ?2`
)

// walkPage is how many groups one look goes through.
const walkPage = 1000

// walks remembers how far the looks for leaders that ended without a word have come.
type walks struct {
	mu               sync.Mutex
	tenant, cacheKey string
	followed         string
}

// ReleaseWaiting implements store.Upkeep. What is to do is found by the read pool and judged again by the writer.
func (l *Ledger) ReleaseWaiting(ctx context.Context, limit int) (n int, err error) {
	if err := l.partStray(ctx); err != nil {
		return 0, fmt.Errorf("look for leaders that have ended: %w", err)
	}
	for last := ""; n < limit; {
		var owed []parted
		err := each(func(row scanner) error {
			var p parted
			err := row.Scan(&p.id, &p.tenant, &p.cacheKey, &p.leader)
			owed = append(owed, p)
			return err
		})(l.reads.QueryContext(ctx, owedReleases, last, limit))
		if err != nil {
			return n, fmt.Errorf("find owed releases: %w", err)
		}
		if len(owed) == 0 {
			return n, nil
		}
		for _, p := range owed {
			for last = p.id; n < limit; {
				did, err := l.releaseOwed(ctx, p)
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

// releaseOwed does a transaction's worth for a group, if it is still owed.
func (l *Ledger) releaseOwed(ctx context.Context, p parted) (n int, err error) {
	err = l.write(ctx, func(t *tx) error {
		var owed bool
		if err := t.row(`SELECT count(*) FROM equal_releases WHERE id = ?`, p.id).Scan(&owed); err != nil || !owed {
			return err
		}
		n, err = t.releaseSome(p, removal)
		return err
	})
	return n, err
}

// partStray parts groups whose leader ended without a word, or is gone: a program did that which knew nothing of groups.
func (l *Ledger) partStray(ctx context.Context) error {
	l.walks.mu.Lock()
	defer l.walks.mu.Unlock()
	w := &l.walks
	for _, walk := range []struct {
		query string
		args  []any
		next  func(parted)
	}{
		{walkGroups, []any{w.tenant, w.cacheKey, walkPage}, func(p parted) { w.tenant, w.cacheKey = p.tenant, p.cacheKey }},
		{walkFollowed, []any{w.followed, walkPage}, func(p parted) { w.followed = p.id }},
	} {
		var last parted
		var stray []parted
		seen := 0
		err := each(func(row scanner) error {
			var live bool
			err := row.Scan(&last.tenant, &last.cacheKey, &last.id, &last.leader, &live)
			if seen++; !live {
				stray = append(stray, last)
			}
			return err
		})(l.reads.QueryContext(ctx, walk.query, walk.args...))
		if err != nil {
			return err
		}
		if _, err := l.inSteps(ctx, len(stray), func(t *tx, i int) (bool, error) {
			_, _, err := t.group(stray[i].tenant, stray[i].cacheKey)
			return true, err
		}); err != nil {
			return err
		}
		if seen < walkPage {
			last = parted{} // and from the beginning
		}
		walk.next(last)
	}
	return nil
}
