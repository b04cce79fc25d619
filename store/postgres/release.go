package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// atOnce is how many waiting jobs, counted with their outputs, the transaction of a leader's end writes. The others are owed.
const atOnce = 256

const (
	// leaderEndSQL reads what the end of a leader was. What another transaction works on is left to that.
	leaderEndSQL = `
SELECT r.cache_key, r.tenant, r.leader, coalesce(j.state, ''), j.result, j.outputs, j.error
FROM equal_releases r LEFT JOIN LATERAL (SELECT state, result, outputs, error FROM jobs WHERE id = r.leader OFFSET 0) j ON true
WHERE r.id = $1 FOR UPDATE OF r SKIP LOCKED`

	// sharedSQL finds the blobs of files and keeps the collector away from them.
	sharedSQL = `
SELECT f.id, f.blob FROM (SELECT id, blob FROM files WHERE id = ANY ($1) AND tenant = $2 OFFSET 0) f,
	LATERAL (SELECT 1 FROM blobs b WHERE b.key = f.blob AND b.dying_at IS NULL FOR KEY SHARE OFFSET 0) live`

	// waitingSQL passes over those that somebody is ending at this moment: waiting for him, who may want what this transaction has, could last for ever.
	waitingSQL = `SELECT id FROM jobs WHERE waits_for = $1 AND state = 'waiting' ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED`

	// endWaitingSQL ends jobs as their leader ended: $2 is the state, $3 whether they come out of the cache.
	endWaitingSQL = `
WITH w AS (
	UPDATE jobs j SET state = $2, waits_for = NULL, fence = j.fence + 1, cached = $3, result = (SELECT $4::text::json), outputs = u.outputs::json,
		error = (SELECT $5::text::json), started_at = CASE WHEN $3 THEN now() END, finished_at = now(), expires_at = now() + j.retention
	FROM unnest($1::uuid[], $6::text[]) AS u (job, outputs)
	WHERE j.id = ANY ($1) AND j.id = u.job AND j.state = 'waiting'
	RETURNING j.id, j.tenant, j.state, j.run, j.inputs, j.input, j.expires_at, j.unique_key, j.webhook
)` + letGo + `, shared AS (
	INSERT INTO files (id, tenant, name, size, sha256, content_type, blob, job, created_at, expires_at)
	SELECT o.id, w.tenant, o.name, o.size, o.sha256, o.content_type, o.blob, o.job, now(), w.expires_at
	FROM unnest($7::uuid[], $8::uuid[], $9::text[], $10::bigint[], $11::text[], $12::text[], $13::text[])
		AS o (job, id, name, size, sha256, content_type, blob) JOIN w ON w.id = o.job
)
SELECT id FROM w`

	// inheritSQL keeps the group under its id for the next leader, or finds who leads by now.
	inheritSQL = `
INSERT INTO equal_groups (cache_key, tenant, id, leader, followed)
VALUES ($1, $2, $3, $4, EXISTS (SELECT 1 FROM jobs WHERE waits_for = $3 AND state = 'waiting' AND id <> $4
	ORDER BY id LIMIT 1 OFFSET 0))
ON CONFLICT (cache_key, tenant) DO UPDATE SET followed = true
RETURNING leader, id`

	promoteSQL = `UPDATE jobs SET state = 'queued', waits_for = NULL, fence = fence + 1, sent_gen = 0, run_at = now(), due_at = now()
		WHERE id = $1 AND state = 'waiting'`
	rejoinSQL      = `UPDATE jobs SET waits_for = $2 WHERE id = ANY ($1) AND state = 'waiting'`
	dropReleaseSQL = `DELETE FROM equal_releases WHERE id = $1
		AND NOT EXISTS (SELECT 1 FROM jobs WHERE waits_for = $2 AND state = 'waiting' ORDER BY id LIMIT 1 OFFSET 0)`
)

// release is a group whose leader has ended, within a transaction.
type release struct {
	tx     pgx.Tx
	group  pgtype.UUID
	leader pgtype.UUID
	keyName

	// What the end means for those who wait. No state: one of them is to lead.
	state         millrace.State
	result, error []byte
	outputs       []store.NewOutput // the leader's

	news []store.Release
}

// endOnce runs a transaction in which jobs end, and releases in it those who wait for them: end answers the groups.
func (l *Ledger) endOnce(ctx context.Context, end func(context.Context, pgx.Tx, *[]pgtype.UUID) error) error {
	var news []store.Release
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		var groups []pgtype.UUID
		if err := end(ctx, tx, &groups); err != nil {
			return err
		}
		left := atOnce
		for _, group := range groups {
			r := release{tx: tx, group: group}
			n, err := r.run(ctx, left)
			if err != nil {
				return err
			}
			news = append(news, r.news...)
			if left -= n * max(1, len(r.outputs)); left <= 0 {
				break
			}
		}
		return nil
	})
	if err == nil && len(news) > 0 && l.tell != nil {
		l.tell(news)
	}
	return err
}

// ending is endOnce until it meets no deadlock.
func (l *Ledger) ending(ctx context.Context, op string, end func(context.Context, pgx.Tx, *[]pgtype.UUID) error) error {
	return again(ctx, op, func(ctx context.Context) error { return l.endOnce(ctx, end) })
}

// endMany runs a statement that answers how many jobs it wrote, and the groups to release.
func (l *Ledger) endMany(ctx context.Context, op, sql string, args ...any) (n int, err error) {
	err = l.ending(ctx, op, func(ctx context.Context, tx pgx.Tx, groups *[]pgtype.UUID) error {
		return tx.QueryRow(ctx, sql, args...).Scan(&n, groups)
	})
	return n, err
}

// run releases some of the jobs and says how many. What is left is owed.
func (r *release) run(ctx context.Context, most int) (n int, err error) {
	if found, err := r.judge(ctx); err != nil || !found {
		return 0, err
	}
	if r.state == "" {
		n, err = r.promote(ctx, most)
	} else {
		n, err = r.end(ctx, max(1, most/max(1, len(r.outputs))))
	}
	if err == nil {
		_, err = r.tx.Exec(ctx, dropReleaseSQL, r.group, r.group)
	}
	return n, err
}

// judge reads how the leader ended.
func (r *release) judge(ctx context.Context) (found bool, err error) {
	var outputs []byte
	var state millrace.State
	err = r.tx.QueryRow(ctx, leaderEndSQL, r.group).Scan(&r.key, &r.tenant, &r.leader, &state, &r.result, &outputs, &r.error)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	switch state {
	case millrace.Failed:
		var e *millrace.JobError
		if err = json.Unmarshal(r.error, &e); err == nil && store.ForAll(e) {
			r.state = state
		}
	case millrace.Succeeded:
		var all bool
		if all, err = r.share(ctx, outputs); err == nil && all {
			r.state, r.error = state, nil
		}
	}
	if err != nil {
		err = fmt.Errorf("read how job %s ended: %w", r.leader, err)
	}
	return true, err
}

// share finds the leader's outputs and says whether all are there.
func (r *release) share(ctx context.Context, text []byte) (all bool, err error) {
	files, err := outputFiles(text)
	if err != nil || len(files) == 0 {
		return err == nil, err
	}
	var outputs []millrace.Output
	if err := json.Unmarshal(text, &outputs); err != nil {
		return false, err
	}
	result, err := r.tx.Query(ctx, sharedSQL, files, r.tenant)
	if err != nil {
		return false, err
	}
	blobs := map[string]string{}
	var (
		id   pgtype.UUID
		blob string
	)
	if _, err := pgx.ForEachRow(result, []any{&id, &blob}, func() error { blobs[id.String()] = blob; return nil }); err != nil {
		return false, err
	}
	for _, out := range outputs {
		r.outputs = append(r.outputs, store.NewOutput{Output: out, Blob: blobs[out.File]})
	}
	return len(blobs) == len(outputs), nil
}

// waiting locks the oldest who wait.
func (r *release) waiting(ctx context.Context, most int) ([]pgtype.UUID, error) {
	result, err := r.tx.Query(ctx, waitingSQL, r.group, most)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(result, pgx.RowTo[pgtype.UUID])
}

// end ends jobs as their leader ended, each with files of its own.
func (r *release) end(ctx context.Context, most int) (int, error) {
	ids, err := r.waiting(ctx, most)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	outcomes := make([]finishRow, len(ids))
	for i, id := range ids {
		o := finishRow{id: id, outcome: store.Outcome{Outputs: make([]store.NewOutput, len(r.outputs))}}
		copy(o.outcome.Outputs, r.outputs)
		for n := range o.outcome.Outputs {
			made, err := uuid.NewV7()
			if err != nil {
				return 0, err
			}
			o.outcome.Outputs[n].File = made.String()
			o.files = append(o.files, pgtype.UUID{Bytes: made, Valid: true})
		}
		outcomes[i] = o
		r.news = append(r.news, store.Release{Tenant: r.tenant, Job: id.String(), State: r.state})
	}
	args := []any{ids, string(r.state), r.state == millrace.Succeeded, orNull(string(r.result)), orNull(string(r.error)), column(outcomes, finishRow.outputs)}
	tag, err := r.tx.Exec(ctx, endWaitingSQL, append(args, finishOutputArgs(outcomes)...)...)
	return int(tag.RowsAffected()), err
}

// promote makes the oldest who waits the leader, for whom the others wait then without being written. Where another job leads by now, because the
// leader's end was noticed late, they wait for that.
func (r *release) promote(ctx context.Context, most int) (int, error) {
	next, err := r.waiting(ctx, 1)
	if err != nil || len(next) == 0 {
		return 0, err
	}
	for range tries {
		e := equalRow{keyName: r.keyName}
		if err := r.tx.QueryRow(ctx, inheritSQL, r.key, r.tenant, r.group, next[0]).Scan(&e.leader, &e.id); err != nil {
			return 0, err
		}
		if e.leader == next[0] {
			r.news = append(r.news, store.Release{Tenant: r.tenant, Job: next[0].String(), State: millrace.Queued})
			_, err := r.tx.Exec(ctx, promoteSQL, next[0])
			if err == nil {
				_, err = r.tx.Exec(ctx, settledSQL, r.group)
			}
			return 1, err
		}
		live, err := known(ctx, r.tx, liveSQL, []pgtype.UUID{e.leader})
		if err != nil {
			return 0, err
		}
		if live[e.leader] {
			return r.rejoin(ctx, e.id, most)
		}
		if err := partStray(ctx, r.tx, []equalRow{e}); err != nil {
			return 0, err
		}
	}
	return 0, errMoved
}

// settledSQL: the group has a leader again.
const settledSQL = `DELETE FROM equal_releases WHERE id = $1`

func (r *release) rejoin(ctx context.Context, group pgtype.UUID, most int) (int, error) {
	ids, err := r.waiting(ctx, most)
	if err != nil {
		return 0, err
	}
	_, err = r.tx.Exec(ctx, rejoinSQL, ids, group)
	return len(ids), err
}
