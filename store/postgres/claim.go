package postgres

import (
	"bytes"
	"context"
	"iter"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// claimSQL is guarded by the fence, the state and the worker's life: a buried worker that thaws gets nothing. A job of a paused queue waits, one
// past its deadline fails without another attempt.
//
// The commit does not wait for the disk. A claim that a crash of the server undoes leaves the job to be claimed again; the attempt that has begun
// ends like any whose worker was too late, or, if the next claim comes before its end, as that attempt, which has the same fence: one outcome
// counts, as ever.
const claimSQL = `
WITH held AS (
	INSERT INTO holds (worker, jobs, fences) VALUES ($3, $1, $6)
	ON CONFLICT (worker) DO UPDATE SET (jobs, fences) = (
		SELECT coalesce(array_agg(x.job), '{}') || EXCLUDED.jobs, coalesce(array_agg(x.fence), '{}') || EXCLUDED.fences
		FROM (SELECT unnest(holds.jobs) AS job, unnest(holds.fences) AS fence) x
		WHERE ($5::bigint[])[array_position($4::uuid[], x.job)] IS DISTINCT FROM x.fence)
)
UPDATE jobs SET state = 'running', fence = fence + 1, attempt = attempt + 1, starts = starts + 1, owner = $3, worker_id = NULL,
	started_at = now(), progress = NULL
WHERE id = ANY ($1) AND fence = ($2::bigint[])[array_position($1, id)] AND state IN ('scheduled', 'queued', 'retrying') AND cancel_at IS NULL
	AND (deadline > now()) IS NOT FALSE AND queue <> ALL (ARRAY(SELECT queue FROM paused_queues))
	AND EXISTS (SELECT 1 FROM workers WHERE workers.id = $3 AND workers.state = 'live')
	AND (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL
RETURNING ` + jobColumns

// reclaimSQL finds what this worker claimed with an earlier call whose answer it has not seen.
const reclaimSQL = `
SELECT ` + jobColumns + ` FROM jobs
WHERE id = ANY ($1) AND fence = ($2::bigint[])[array_position($1, id)] + 1 AND state = 'running' AND coalesce(worker_id, owner) = $3
	AND EXISTS (SELECT 1 FROM workers WHERE workers.id = $3 AND workers.state = 'live')`

// busySQL finds which jobs a worker runs, under whatever fence and though it may be buried.
const busySQL = `SELECT id FROM jobs WHERE id = ANY ($1) AND state = 'running' AND coalesce(worker_id, owner) = $2`

// aliveSQL says whether a worker lives.
const aliveSQL = `SELECT EXISTS (SELECT 1 FROM workers WHERE id = $1 AND state = 'live')`

// wanted is a delivery with its place in the caller's list.
type wanted struct {
	id    pgtype.UUID
	fence int64
	n     int
}

func (w wanted) key() pgtype.UUID { return w.id }
func (w wanted) delivered() int64 { return w.fence }
func (w wanted) place() int       { return w.n }

// Claim takes jobs for a worker, all in one statement. Only when one is refused a second asks whether it is the worker's already.
func (l *Ledger) Claim(ctx context.Context, worker string, deliveries []store.Delivery) ([]store.Claimed, error) {
	claimed := make([]store.Claimed, len(deliveries))
	owner, ok := parseID(worker)
	todo := distinct(deliveries)
	if !ok || len(todo) == 0 {
		return claimed, nil
	}
	refused := 0
	for group := range onePerJob(todo) {
		n, err := l.claimGroup(ctx, owner, group, claimed)
		if err != nil {
			return nil, err
		}
		refused += n
	}
	if err := l.inputs(ctx, claimed); err != nil {
		return nil, err
	}
	if refused == 0 {
		return claimed, nil
	}
	return claimed, again(ctx, "claim jobs", func(ctx context.Context) error { return l.alive(ctx, owner) })
}

// onePerJob yields groups in which each job is once, as claimSQL needs it. There is a second group when an old delivery came with the new one.
func onePerJob(todo []wanted) iter.Seq[[]wanted] {
	return func(yield func([]wanted) bool) {
		for len(todo) > 0 {
			var group, rest []wanted
			for i, w := range todo {
				if i > 0 && todo[i-1].id == w.id {
					rest = append(rest, w)
				} else {
					group = append(group, w)
				}
			}
			if !yield(group) {
				return
			}
			todo = rest
		}
	}
}

// claimGroup answers how many were refused.
func (l *Ledger) claimGroup(ctx context.Context, owner pgtype.UUID, todo []wanted, claimed []store.Claimed) (refused int, err error) {
	done := l.claims.begin(owner, todo)
	err = again(ctx, "claim jobs", func(ctx context.Context) error { return l.claim(ctx, claimSQL, owner, todo, claimed, done) })
	if err != nil {
		return 0, err // what has become of it is unknown: the worker may hold these jobs
	}
	l.claims.told(owner, done)
	todo = slices.DeleteFunc(todo, func(w wanted) bool { return claimed[w.n].Job != nil })
	if len(todo) == 0 {
		return 0, nil
	}
	if err = again(ctx, "claim jobs", func(ctx context.Context) error { return l.claim(ctx, reclaimSQL, owner, todo, claimed, nil) }); err != nil {
		return 0, err
	}
	todo = slices.DeleteFunc(todo, func(w wanted) bool { return claimed[w.n].Job != nil })
	if len(todo) == 0 {
		return 0, nil
	}
	var busy map[pgtype.UUID]bool
	err = again(ctx, "claim jobs", func(ctx context.Context) (err error) { busy, err = l.busy(ctx, owner, todo); return err })
	if err != nil {
		return 0, err
	}
	l.claims.refuse(owner, todo, busy)
	return len(todo), nil
}

// busy answers which of the jobs that were refused the worker runs all the same, by another delivery: it must be found there when it dies.
func (l *Ledger) busy(ctx context.Context, owner pgtype.UUID, todo []wanted) (map[pgtype.UUID]bool, error) {
	rows, err := l.pool.Query(ctx, busySQL, column(todo, wanted.key), owner)
	if err != nil {
		return nil, err
	}
	var id pgtype.UUID
	busy := map[pgtype.UUID]bool{}
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error { busy[id] = true; return nil })
	return busy, err
}

// alive is ErrBuried for a worker that is not: its refused deliveries may be claimed by others, so it must not drop them.
func (l *Ledger) alive(ctx context.Context, worker pgtype.UUID) error {
	var lives bool
	err := l.pool.QueryRow(ctx, aliveSQL, worker).Scan(&lives)
	if err == nil && !lives {
		return store.ErrBuried
	}
	return err
}

func (l *Ledger) claim(ctx context.Context, sql string, owner pgtype.UUID, todo []wanted, claimed []store.Claimed, done []attempt) error {
	args := []any{column(todo, wanted.key), column(todo, wanted.delivered), owner}
	if done != nil {
		args = append(args, column(done, attempt.key), column(done, attempt.number), column(todo, func(w wanted) int64 { return w.fence + 1 }))
	}
	places := make(map[string]int, len(todo))
	for _, w := range todo {
		places[w.id.String()] = w.n
	}
	rows, err := l.pool.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	mine := make([]jobRow, 0, len(todo))
	for rows.Next() {
		mine = append(mine, jobRow{})
		r := &mine[len(mine)-1]
		if err := rows.Scan(r.targets()...); err != nil {
			return err
		}
		job, err := r.read()
		if err != nil {
			return err
		}
		claimed[places[job.ID]] = store.Claimed{Job: job, Started: job.StartedAt}
	}
	l.claims.note(owner, mine)
	return rows.Err()
}

const inputFilesSQL = `SELECT ` + fileColumns + ` FROM files WHERE id = ANY ($1)`

// inputs adds the jobs' input files. What a live job needs is not deleted, and a file's bytes never change, so a file that was read once is known.
func (l *Ledger) inputs(ctx context.Context, claimed []store.Claimed) error {
	known, missing := map[string]millrace.File{}, []pgtype.UUID(nil)
	for _, c := range claimed {
		if c.Job == nil {
			continue
		}
		for _, in := range c.Job.Inputs {
			if f, ok := l.files.get(in.File); ok {
				known[in.File] = f
			} else if id, ok := parseID(in.File); ok {
				missing = append(missing, id)
			}
		}
	}
	if len(missing) > 0 {
		if err := again(ctx, "read inputs", func(ctx context.Context) error { return l.readFiles(ctx, missing, known) }); err != nil {
			return err
		}
	}
	for i, c := range claimed {
		if c.Job == nil || len(c.Job.Inputs) == 0 {
			continue
		}
		claimed[i].Inputs = make([]millrace.File, len(c.Job.Inputs))
		for n, in := range c.Job.Inputs {
			if f := known[in.File]; f.Tenant == c.Job.Tenant {
				claimed[i].Inputs[n] = f
			}
		}
	}
	return nil
}

func (l *Ledger) readFiles(ctx context.Context, ids []pgtype.UUID, into map[string]millrace.File) error {
	rows, err := l.pool.Query(ctx, inputFilesSQL, ids)
	if err != nil {
		return err
	}
	files, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (millrace.File, error) { return scanFile(row) })
	for _, f := range files {
		into[f.ID] = f
		l.files.put(f)
	}
	return err
}

// distinct parses deliveries and sorts them by job, so that batches take their locks in one order. The same delivery twice in a batch is one.
func distinct(deliveries []store.Delivery) []wanted {
	all := make([]wanted, 0, len(deliveries))
	for n, d := range deliveries {
		if id, ok := parseID(d.Job); ok {
			all = append(all, wanted{id, d.Fence, n})
		}
	}
	slices.SortStableFunc(all, func(a, b wanted) int { return bytes.Compare(a.id.Bytes[:], b.id.Bytes[:]) })
	return slices.CompactFunc(all, func(a, b wanted) bool { return a.id == b.id && a.fence == b.fence })
}
