package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/store"
)

// appendAttempt begins the new value of attempts for a job j whose attempt ends; the statement adds ended_at, outcome, spent, kind and error, and
// closes the parenthesis. fence and kind are not for users: by them a repeated outcome is known for the job's own. 50 is millrace.MaxAttemptHistory.
const appendAttempt = `CASE WHEN jsonb_array_length(j.attempts) < 50 THEN j.attempts ELSE j.attempts - 0 END || jsonb_build_object(
	'n', j.starts, 'run', j.run, 'worker', coalesce(j.worker_id, j.owner), 'started_at', j.started_at, 'fence', j.fence`

const (
	// endsCanceled: somebody asked for it, and the attempt would otherwise be followed by another.
	endsCanceled = `(u.kind IN ('retry', 'released') AND j.cancel_at IS NOT NULL)`
	// goesOn: the job is not final after this outcome.
	goesOn = `(u.kind IN ('retry', 'released') AND j.cancel_at IS NULL)`
	// endsByWord: the attempt needs no entry in attempts, since the columns of the final job say everything but the word.
	endsByWord = `(u.kind IN ('succeeded', 'failed'))`
)

// finishCTE is guarded by the fence and the state. What hangs on an outcome is written by the same statement, from the rows it changed.
const finishCTE = `
WITH u AS (
	SELECT * FROM (SELECT unnest($1::uuid[]) AS job, unnest($2::bigint[]) AS held, unnest($3::int[]) AS n, unnest($4::text[]) AS kind,
		unnest($5::text[]) AS word, unnest($6::text[]) AS failure, unnest($7::text[]) AS result, unnest($8::text[]) AS outputs,
		unnest($9::text[]) AS progress, unnest($10::interval[]) AS delay) u
), w AS (
	UPDATE jobs j SET
		state = CASE WHEN ` + endsCanceled + ` THEN 'canceled' WHEN u.kind = 'retry' THEN 'retrying' WHEN u.kind = 'released' THEN 'queued' ELSE u.kind END,
		fence = j.fence + CASE u.kind WHEN 'released' THEN 1 ELSE 0 END,
		attempt = j.attempt - CASE WHEN u.kind IN ('released', 'canceled') THEN 1 ELSE 0 END,
		attempts = CASE WHEN ` + endsByWord + ` THEN j.attempts ELSE ` + appendAttempt + `, 'ended_at', now(), 'outcome', u.word,
			'spent', u.kind NOT IN ('released', 'canceled'), 'kind', u.kind, 'error', u.failure::jsonb) END,
		word = CASE WHEN ` + endsByWord + ` THEN u.word END,
		error = CASE u.kind WHEN 'succeeded' THEN NULL ELSE coalesce(u.failure::json, j.error) END,
		result = u.result::json, outputs = u.outputs::json, progress = u.progress::json,
		worker_id = NULL, sent_gen = 0,
		due_at = CASE WHEN ` + goesOn + ` THEN now() + u.delay END,
		run_at = CASE WHEN u.kind = 'retry' AND j.cancel_at IS NULL THEN now() + u.delay ELSE j.run_at END,
		finished_at = CASE WHEN ` + goesOn + ` THEN NULL ELSE now() END,
		expires_at = CASE WHEN ` + goesOn + ` THEN NULL ELSE now() + j.retention END
	FROM u
	WHERE j.id = ANY ($1) AND j.id = u.job AND j.fence = u.held AND j.state = 'running'
	RETURNING j.id, j.tenant, j.state, j.run, j.inputs, j.input, j.cache_key, j.expires_at, j.unique_key, j.webhook, u.n
)` + ended + `, remembered AS (
	INSERT INTO results (cache_key, tenant, job)
	SELECT DISTINCT ON (cache_key, tenant) cache_key, tenant, id FROM w WHERE state = 'succeeded' AND cache_key IS NOT NULL
	ORDER BY cache_key, tenant, n
	ON CONFLICT (cache_key, tenant) DO UPDATE SET job = EXCLUDED.job
)`

// finishPlainSQL is for jobs that end for good and on whose end nothing hangs: see plain.
const finishPlainSQL = `
UPDATE jobs j SET state = u.kind, word = u.word, error = u.failure::json, result = u.result::json, progress = u.progress::json, worker_id = NULL,
	due_at = NULL, finished_at = now(), expires_at = now() + j.retention
FROM (SELECT unnest($1::uuid[]) AS job, unnest($2::bigint[]) AS held, unnest($3::int[]) AS n, unnest($4::text[]) AS kind,
		unnest($5::text[]) AS word, unnest($6::text[]) AS failure, unnest($7::text[]) AS result, unnest($8::text[]) AS progress) u
WHERE j.id = ANY ($1) AND j.id = u.job AND j.fence = u.held AND j.state = 'running'
RETURNING u.n`

const finishSQL = finishCTE + `
SELECT w.n, 0, ` + owed + ` FROM w`

// finishOutputsSQL is the same for a group with outputs. Each winner comes with the number of files that it has got: fewer than its outputs means
// that a blob is dying.
const finishOutputsSQL = finishCTE + `, o AS (
	SELECT o.*, w.tenant, w.expires_at, w.n FROM unnest($11::uuid[], $12::uuid[], $13::text[], $14::bigint[], $15::text[], $16::text[], $17::text[])
		AS o (job, id, name, size, sha256, content_type, blob) JOIN w ON w.id = o.job AND w.state = 'succeeded'
), b AS (
	INSERT INTO blobs (key, tenant, sha256, size) SELECT DISTINCT ON (blob) blob, tenant, sha256, size FROM o ORDER BY blob
	` + onKnownBlob + ` RETURNING key
), f AS (
	INSERT INTO files (id, tenant, name, size, sha256, content_type, blob, job, created_at, expires_at)
	SELECT o.id, o.tenant, o.name, o.size, o.sha256, o.content_type, o.blob, o.job, now(), o.expires_at FROM o JOIN b ON b.key = o.blob
	RETURNING job
)
SELECT w.n, (SELECT count(*) FROM f WHERE f.job = w.id), ` + owed + ` FROM w`

// wonBeforeSQL finds outcomes that an earlier call wrote.
const wonBeforeSQL = `
SELECT u.n FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::text[]) AS u (job, held, n, kind), LATERAL (
	SELECT 1 FROM jobs j WHERE j.id = u.job AND (j.fence = u.held AND j.state = u.kind AND j.word IS NOT NULL
		OR j.attempts @> jsonb_build_array(jsonb_build_object('fence', u.held, 'kind', u.kind))) OFFSET 0) won`

// Finish writes outcomes together. When one of them cannot be written as it is, the others are; its error is returned.
func (l *Ledger) Finish(ctx context.Context, outcomes []store.Outcome) ([]bool, error) {
	won := make([]bool, len(outcomes))
	rows := make([]finishRow, 0, len(outcomes))
	for n, o := range outcomes {
		if row, ok := newFinishRow(n, o); ok {
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, func(a, b finishRow) int { return bytes.Compare(a.id.Bytes[:], b.id.Bytes[:]) })
	rows = slices.CompactFunc(rows, func(a, b finishRow) bool { return a.id == b.id && a.outcome.Fence == b.outcome.Fence })
	plain, rest := l.claims.split(rows, &l.files)
	err := errors.Join(l.finishGroup(ctx, plain, won), l.finishGroup(ctx, rest, won))
	if err != nil {
		return won, err
	}
	l.claims.end(rest, won, &l.files)
	l.claims.end(plain, won, &l.files)
	lost := slices.DeleteFunc(rows, func(r finishRow) bool { return won[r.n] })
	if len(lost) == 0 {
		return won, nil
	}
	if err = again(ctx, "finish jobs", func(ctx context.Context) error { return l.wonBefore(ctx, lost, won) }); err != nil {
		return won, err
	}
	lost = slices.DeleteFunc(lost, func(r finishRow) bool { return won[r.n] })
	return won, again(ctx, "finish jobs", func(ctx context.Context) error { return l.undone(ctx, lost) })
}

// undoneSQL: a crash of the server undid a claim, which no commit had waited for. The delivery is spent, so the job gets another at once; the fence
// passes over the one that the lost attempt has.
const undoneSQL = `UPDATE jobs j SET fence = j.fence + 2, sent_gen = 0, due_at = least(j.due_at, now())
	FROM unnest($1::uuid[], $2::bigint[]) AS u (job, held)
	WHERE j.id = ANY ($1) AND j.id = u.job AND j.fence = u.held - 1 AND j.state IN ('scheduled', 'queued', 'retrying')`

// undone looks among outcomes that have lost for such jobs.
func (l *Ledger) undone(ctx context.Context, lost []finishRow) error {
	if len(lost) == 0 {
		return nil
	}
	_, err := l.pool.Exec(ctx, undoneSQL, column(lost, func(r finishRow) pgtype.UUID { return r.id }),
		column(lost, func(r finishRow) int64 { return r.outcome.Fence }))
	return err
}

// finishGroup splits a group that the database refuses until the culprit is alone.
func (l *Ledger) finishGroup(ctx context.Context, rows []finishRow, won []bool) error {
	if len(rows) == 0 {
		return nil
	}
	err := again(ctx, "finish jobs", func(ctx context.Context) error { return l.tryFinish(ctx, rows, won) })
	switch {
	case err == nil:
		return nil
	case len(rows) > 1 && (badData(err) || errors.Is(err, store.ErrStaleResult)):
		return errors.Join(
			l.finishGroup(ctx, rows[:len(rows)/2], won),
			l.finishGroup(ctx, rows[len(rows)/2:], won))
	case badData(err) && !rows[0].unstorable:
		// The job fails, and the caller hears that its outcome has lost.
		l.log.Warn("outcome cannot be stored", "job", rows[0].outcome.Job, "error", err)
		return l.finishGroup(ctx, []finishRow{rows[0].asFailure()}, make([]bool, len(won)))
	}
	return err
}

// tryFinish writes a group in one transaction: in one round trip unless there are outputs, whose files are counted before the commit, or somebody may
// wait for one of the jobs.
func (l *Ledger) tryFinish(ctx context.Context, rows []finishRow, won []bool) error {
	if !slices.ContainsFunc(rows, func(r finishRow) bool { return !r.plain }) {
		return l.finishPlain(ctx, rows, won)
	}
	sql, args := finishSQL, finishArgs(rows)
	outputs := slices.ContainsFunc(rows, func(r finishRow) bool { return len(r.files) > 0 })
	if outputs {
		sql, args = finishOutputsSQL, append(args, finishOutputArgs(rows)...)
	}
	var winners map[int]int
	var err error
	if outputs || slices.ContainsFunc(rows, func(r finishRow) bool { return !r.alone }) {
		err = l.endOnce(ctx, func(ctx context.Context, tx pgx.Tx, groups *[]pgtype.UUID) error {
			result, err := tx.Query(ctx, sql, args...)
			if err != nil {
				return err
			}
			if winners, err = readWinners(result, groups); err != nil {
				return err
			}
			return missesFiles(rows, winners)
		})
	} else if result, queryErr := l.pool.Query(ctx, sql, args...); queryErr != nil {
		err = queryErr
	} else {
		winners, err = readWinners(result, new([]pgtype.UUID))
	}
	if err != nil {
		return err
	}
	for n := range winners {
		won[n] = true
	}
	return nil
}

// missesFiles is store.ErrStaleResult when a winner has not got all of its files.
func missesFiles(rows []finishRow, winners map[int]int) error {
	for _, r := range rows {
		if files, ok := winners[r.n]; ok && files != len(r.files) {
			return fmt.Errorf("a blob of job %s is being collected: %w", r.outcome.Job, store.ErrStaleResult)
		}
	}
	return nil
}

func (l *Ledger) finishPlain(ctx context.Context, rows []finishRow, won []bool) error {
	result, err := l.pool.Query(ctx, finishPlainSQL, finishPlainArgs(rows)...)
	if err != nil {
		return err
	}
	var n int
	_, err = pgx.ForEachRow(result, []any{&n}, func() error {
		won[n] = true
		return nil
	})
	return err
}

// readWinners reads the places of the winners, each with its number of files written, and the groups to release.
func readWinners(rows pgx.Rows, groups *[]pgtype.UUID) (map[int]int, error) {
	winners := map[int]int{}
	var n, files int
	_, err := pgx.ForEachRow(rows, []any{&n, &files, groups}, func() error {
		winners[n] = files
		return nil
	})
	return winners, err
}

func (l *Ledger) wonBefore(ctx context.Context, rows []finishRow, won []bool) error {
	result, err := l.pool.Query(ctx, wonBeforeSQL, finishArgs(rows)[:4]...)
	if err != nil {
		return err
	}
	var n int
	_, err = pgx.ForEachRow(result, []any{&n}, func() error {
		won[n] = true
		return nil
	})
	return err
}
