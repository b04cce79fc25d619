package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

const (
	// joinSQL finds or makes the group of each cache key, and locks it: whoever ends its leader waits, and then sees who has joined.
	joinSQL = `
INSERT INTO equal_groups (cache_key, tenant, id, leader, followed)
SELECT cache_key, tenant, job, job, followed FROM unnest($1::text[], $2::text[], $3::uuid[], $4::boolean[]) AS u (cache_key, tenant, job, followed)
ON CONFLICT (cache_key, tenant) DO UPDATE SET followed = true
RETURNING cache_key, tenant, id, leader`

	// liveSQL finds which jobs are not final.
	liveSQL = `SELECT id FROM jobs WHERE id = ANY ($1) AND state NOT IN ('succeeded', 'failed', 'canceled')`

	// partStraySQL takes away groups whose leader ended without a word, or is gone: a program did that which knew nothing of groups.
	partStraySQL = `
WITH gone AS (
	DELETE FROM equal_groups g USING unnest($1::text[], $2::text[], $3::uuid[]) AS u (cache_key, tenant, leader)
	WHERE g.cache_key = ANY ($1) AND g.cache_key = u.cache_key AND g.tenant = u.tenant AND g.leader = u.leader
		AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = u.leader AND j.state NOT IN ('succeeded', 'failed', 'canceled') OFFSET 0)
	RETURNING g.id, g.cache_key, g.tenant, g.leader, g.followed
)
INSERT INTO equal_releases (id, cache_key, tenant, leader) SELECT id, cache_key, tenant, leader FROM gone WHERE followed ON CONFLICT (id) DO NOTHING`
)

// parting continues ended: groups that have lost their leader are taken away, in the order in which joinSQL locks them, and those that somebody
// follows are owed. They are what the statement answers as owes.
const parting = `, led AS MATERIALIZED (
	SELECT g.id, g.cache_key, g.tenant, g.leader, g.followed
	FROM w JOIN equal_groups g ON g.cache_key = w.cache_key AND g.tenant = w.tenant AND g.leader = w.id
	WHERE g.cache_key = ANY (ARRAY(SELECT cache_key FROM w WHERE cache_key IS NOT NULL AND expires_at IS NOT NULL)) AND w.expires_at IS NOT NULL
	ORDER BY g.cache_key, g.tenant FOR UPDATE OF g
), parted AS (
	DELETE FROM equal_groups g USING led
	WHERE g.cache_key = ANY (ARRAY(SELECT cache_key FROM led)) AND g.cache_key = led.cache_key AND g.tenant = led.tenant
), owes AS (
	INSERT INTO equal_releases (id, cache_key, tenant, leader) SELECT id, cache_key, tenant, leader FROM led WHERE followed
	ON CONFLICT (id) DO NOTHING RETURNING id
)`

// owed is the column of a statement with parting that names the groups to release.
const owed = `ARRAY(SELECT id FROM owes)`

// equalRow is a group that a transaction joins: all of its rows with one cache key, the first of which leads if nobody does.
type equalRow struct {
	keyName
	rows       []*insertRow
	id, leader pgtype.UUID // of the group as it was found
}

func (e equalRow) first() pgtype.UUID { return e.rows[0].id }
func (e equalRow) ledBy() pgtype.UUID { return e.leader }
func (e equalRow) followed() bool     { return len(e.rows) > 1 }
func (e equalRow) cacheKey() string   { return e.key }
func (e equalRow) owner() string      { return e.tenant }

// join decides which of the rows to write wait for an equal job: one that leads, or an earlier row.
func (t *together) join(ctx context.Context, tx pgx.Tx) error {
	todo := t.equals()
	for try := 1; len(todo) > 0; try++ {
		if try > tries {
			return errMoved
		}
		if err := joinGroups(ctx, tx, todo); err != nil {
			return err
		}
		var leaders []pgtype.UUID
		for _, e := range todo {
			if e.leader != e.first() {
				leaders = append(leaders, e.leader)
			}
		}
		live, err := known(ctx, tx, liveSQL, leaders)
		if err != nil {
			return err
		}
		var stray []equalRow
		for _, e := range todo {
			switch {
			case e.leader == e.first():
				wait(e.rows[1:], e.id)
			case live[e.leader]:
				wait(e.rows, e.id)
			default:
				stray = append(stray, e)
			}
		}
		if todo = stray; len(stray) == 0 {
			return nil
		}
		if err := partStray(ctx, tx, stray); err != nil {
			return err
		}
	}
	return nil
}

func wait(rows []*insertRow, group pgtype.UUID) {
	for _, r := range rows {
		r.waits, r.waiting = group, true
	}
}

func partStray(ctx context.Context, tx pgx.Tx, stray []equalRow) error {
	_, err := tx.Exec(ctx, partStraySQL, column(stray, equalRow.cacheKey), column(stray, equalRow.owner), column(stray, equalRow.ledBy))
	return err
}

// equals gathers the rows that coalesce by cache key, in the order of the keys.
func (t *together) equals() []equalRow {
	goes := make(map[*insertRow]bool, len(t.goes))
	for _, r := range t.goes {
		goes[r] = r.coalesce
	}
	at, seen := map[keyName]int{}, map[pgtype.UUID]bool{}
	var all []equalRow
	for _, r := range t.rows { // the caller's order decides who leads
		if !goes[r] || seen[r.id] {
			continue
		}
		seen[r.id] = true
		name := keyName{clean(r.job.CacheKey), r.job.Tenant}
		i, ok := at[name]
		if !ok {
			i = len(all)
			at[name] = i
			all = append(all, equalRow{keyName: name})
		}
		all[i].rows = append(all[i].rows, r)
	}
	slices.SortFunc(all, func(a, b equalRow) int { return a.compare(b.keyName) })
	return all
}

// joinGroups notes the group and the leader of each of the rows.
func joinGroups(ctx context.Context, tx pgx.Tx, all []equalRow) error {
	result, err := tx.Query(ctx, joinSQL, column(all, equalRow.cacheKey), column(all, equalRow.owner), column(all, equalRow.first),
		column(all, equalRow.followed))
	if err != nil {
		return err
	}
	found := make(map[keyName]equalRow, len(all))
	var e equalRow
	_, err = pgx.ForEachRow(result, []any{&e.key, &e.tenant, &e.id, &e.leader}, func() error {
		found[e.keyName] = e
		return nil
	})
	for i := range all {
		all[i].id, all[i].leader = found[all[i].keyName].id, found[all[i].keyName].leader
	}
	return err
}

// state is the one with which the row is written.
func (r *insertRow) state() millrace.State {
	switch {
	case r.waiting:
		return millrace.Waiting
	case r.coalesce:
		return millrace.Queued
	}
	return r.job.State
}

// kept is what the row's idempotency key keeps.
func (r *insertRow) kept() store.Idempotency {
	k := *r.idempotency
	if r.waiting && r.answerWaiting != nil {
		k.Answer = r.answerWaiting
	}
	return k
}

// noteWaiting tells which of the jobs wait, once all is committed.
func noteWaiting(rows []*insertRow) {
	for _, r := range rows {
		if r.waiting && *r.err == nil {
			r.job.State = millrace.Waiting
		}
	}
}
