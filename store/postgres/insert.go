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

// insertSQL writes a group of jobs that bring nothing with them.
const insertSQL = `
INSERT INTO jobs (id, tenant, type, state, priority, queue, params, metadata, run, max_attempts, timeout, backoff, retention, cache_key,
	fence, created_at, run_at, due_at)
SELECT id, tenant, type, state, priority, queue, params::json, metadata::json, run, max_attempts, timeout, backoff::json, retention, cache_key,
	fence, coalesce(created_at, now()), coalesce(run_at, now()), ` + insertDue + `
FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::text[]) AS tenant, unnest($3::text[]) AS type, unnest($4::text[]) AS state,
		unnest($5::text[]) AS priority, unnest($6::text[]) AS queue, unnest($7::text[]) AS params, unnest($8::text[]) AS metadata,
		unnest($9::int[]) AS run, unnest($10::int[]) AS max_attempts, unnest($11::interval[]) AS timeout,
		unnest($12::text[]) AS backoff, unnest($13::interval[]) AS retention, unnest($14::text[]) AS cache_key,
		unnest($15::bigint[]) AS fence, unnest($16::timestamptz[]) AS created_at, unnest($17::timestamptz[]) AS run_at,
		unnest($18::interval[]) AS grace) u
ON CONFLICT (id) DO NOTHING`

// insertInputSQL is the same for a group in which jobs have one input at most. A job whose input is missing is not written. See keep_needed_file in
// the migrations for the lock.
const insertInputSQL = `
WITH there AS MATERIALIZED (SELECT id, tenant FROM files WHERE id = ANY ($20::uuid[]) ORDER BY id FOR KEY SHARE)
INSERT INTO jobs (id, tenant, type, state, priority, queue, params, metadata, run, max_attempts, timeout, backoff, retention, cache_key,
	fence, created_at, run_at, due_at, inputs, input)
SELECT id, tenant, type, state, priority, queue, params::json, metadata::json, run, max_attempts, timeout, backoff::json, retention, cache_key,
	fence, coalesce(created_at, now()), coalesce(run_at, now()), ` + insertDue + `, inputs::jsonb, input
FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::text[]) AS tenant, unnest($3::text[]) AS type, unnest($4::text[]) AS state,
		unnest($5::text[]) AS priority, unnest($6::text[]) AS queue, unnest($7::text[]) AS params, unnest($8::text[]) AS metadata,
		unnest($9::int[]) AS run, unnest($10::int[]) AS max_attempts, unnest($11::interval[]) AS timeout,
		unnest($12::text[]) AS backoff, unnest($13::interval[]) AS retention, unnest($14::text[]) AS cache_key,
		unnest($15::bigint[]) AS fence, unnest($16::timestamptz[]) AS created_at, unnest($17::timestamptz[]) AS run_at,
		unnest($18::interval[]) AS grace, unnest($19::text[]) AS inputs, unnest($20::uuid[]) AS input) u
WHERE input IS NULL OR (input, tenant) IN (SELECT t.id, t.tenant FROM there t)
ON CONFLICT (id) DO NOTHING`

const insertDue = `CASE state WHEN 'scheduled' THEN coalesce(run_at, now()) WHEN 'queued' THEN now() + grace END`

// insertFullSQL is the same for a group in which a job has more to it, such as tags or inputs, or comes out of the cache. What hangs on a job is written only with its
// row: a repeated insert must not take inputs for a job that has ended meanwhile. Where there are several, a missing input is a violation of
// job_files' foreign key. The answer has a row for each job written, with the number of its files that could be if it is out of the cache.
//
// FOR KEY SHARE waits for a collector that holds the blob and then sees that it is dying; a collector passes over blobs held so.
const insertFullSQL = `
WITH u AS (
	SELECT * FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::text[]) AS tenant, unnest($3::text[]) AS type, unnest($4::text[]) AS state,
		unnest($5::text[]) AS priority, unnest($6::text[]) AS queue, unnest($7::text[]) AS params, unnest($8::text[]) AS metadata,
		unnest($9::int[]) AS run, unnest($10::int[]) AS max_attempts, unnest($11::interval[]) AS timeout,
		unnest($12::text[]) AS backoff, unnest($13::interval[]) AS retention, unnest($14::text[]) AS cache_key,
		unnest($15::bigint[]) AS fence, unnest($16::timestamptz[]) AS created_at, unnest($17::timestamptz[]) AS run_at,
		unnest($18::interval[]) AS grace, unnest($19::text[]) AS inputs, unnest($20::text[]) AS tags,
		unnest($21::boolean[]) AS cached, unnest($22::text[]) AS result, unnest($23::text[]) AS outputs,
		unnest($24::timestamptz[]) AS deadline, unnest($25::text[]) AS unique_key, unnest($26::interval[]) AS unique_ttl,
		unnest($27::text[]) AS webhook, unnest($28::text[]) AS schedule, unnest($35::uuid[]) AS input,
		unnest($36::uuid[]) AS waits_for) u
), there AS MATERIALIZED (
	SELECT id, tenant FROM files WHERE id = ANY ($35::uuid[]) ORDER BY id FOR KEY SHARE
), source AS MATERIALIZED (
	SELECT o.job, o.id, o.tenant, o.name, o.content_type, s.blob, s.size, s.sha256
	FROM unnest($29::uuid[], $30::uuid[], $31::text[], $32::text[], $33::text[], $34::uuid[]) AS o (job, id, tenant, name, content_type, source),
		LATERAL (SELECT blob, size, sha256 FROM files f WHERE f.id = o.source AND f.tenant = o.tenant OFFSET 0) s
), live AS MATERIALIZED (
	SELECT key FROM blobs WHERE key = ANY (ARRAY(SELECT blob FROM source)) AND dying_at IS NULL FOR KEY SHARE
), written AS (
	INSERT INTO jobs (id, tenant, type, state, priority, queue, params, metadata, run, max_attempts, timeout, backoff, retention, cache_key,
		fence, created_at, run_at, due_at, inputs, tags, cached, result, outputs, started_at, finished_at, expires_at,
		deadline, unique_key, unique_ttl, webhook, schedule, input, waits_for)
	SELECT id, tenant, type, state, priority, queue, params::json, metadata::json, run, max_attempts, timeout, backoff::json, retention, cache_key,
		fence, coalesce(created_at, now()), coalesce(run_at, now()), ` + insertDue + `, inputs::jsonb, tags::jsonb, cached, result::json,
		outputs::json, CASE WHEN cached THEN now() END, CASE WHEN cached THEN now() END, CASE WHEN cached THEN now() + retention END,
		deadline, unique_key, unique_ttl, webhook::jsonb, schedule, input, waits_for
	FROM u WHERE input IS NULL OR (input, tenant) IN (SELECT t.id, t.tenant FROM there t) ON CONFLICT (id) DO NOTHING
	RETURNING id, tenant, state, run, inputs, input, tags, cached, expires_at, webhook
), tagged AS (
	INSERT INTO job_tags (job, tenant, tag)
	SELECT w.id, w.tenant, t.tag FROM written w, jsonb_array_elements_text(w.tags) AS t (tag) ON CONFLICT DO NOTHING
), needed AS (
	INSERT INTO job_files (job, tenant, file)
	SELECT w.id, w.tenant, (i.value->>'file')::uuid FROM written w, jsonb_array_elements(w.inputs) AS i
	WHERE NOT w.cached AND w.input IS NULL
	ON CONFLICT DO NOTHING
), told AS (` + tellSQL + ` FROM written w WHERE w.cached AND w.webhook->'events' ? w.state
), shared AS (
	INSERT INTO files (id, tenant, name, size, sha256, content_type, blob, job, created_at, expires_at)
	SELECT s.id, s.tenant, s.name, s.size, s.sha256, s.content_type, s.blob, s.job, now(), w.expires_at
	FROM source s JOIN live l ON l.key = s.blob JOIN written w ON w.id = s.job
	RETURNING job
)
SELECT w.id, CASE WHEN w.cached THEN (SELECT count(*) FROM shared s WHERE s.job = w.id) ELSE 0 END FROM written w`

// Insert writes a group of jobs in one transaction.
func (l *Ledger) Insert(ctx context.Context, jobs []store.NewJob) []error {
	errs := make([]error, len(jobs))
	rows := newInsertRows(jobs, errs)
	if slices.ContainsFunc(rows, (*insertRow).keyed) {
		if err := l.insertTogether(ctx, "insert jobs", rows, steps{}); err != nil {
			for _, r := range rows {
				*r.err = err
			}
		}
		noteWaiting(rows)
		return errs
	}
	rows = slices.DeleteFunc(rows, func(r *insertRow) bool {
		if r.barred != nil {
			*r.err = fmt.Errorf("insert job %s: %w", r.job.ID, r.barred)
		}
		return r.barred != nil
	})
	sortRows(rows)
	l.insertGroup(ctx, rows)
	return errs
}

// sortRows puts rows in the order in which batches take their locks.
func sortRows(rows []*insertRow) {
	slices.SortStableFunc(rows, func(a, b *insertRow) int { return bytes.Compare(a.id.Bytes[:], b.id.Bytes[:]) })
}

// insertGroup writes rows together. When the database refuses one of them it is found and told, and the others are written without it.
func (l *Ledger) insertGroup(ctx context.Context, rows []*insertRow) {
	if len(rows) == 0 {
		return
	}
	err := l.tryInsert(ctx, rows)
	if code(err) == foreignKeyViolation {
		rest, lookErr := l.dropMissing(ctx, rows)
		if lookErr == nil && len(rest) < len(rows) {
			l.insertGroup(ctx, rest)
			return
		}
	}
	switch stale, isStale := errors.AsType[staleError](err); {
	case err == nil:
	case isStale:
		rest := slices.DeleteFunc(rows, func(r *insertRow) bool {
			if stale[r.id] {
				*r.err = fmt.Errorf("insert job %s: %w", r.job.ID, store.ErrStaleResult)
			}
			return stale[r.id]
		})
		l.insertGroup(ctx, rest)
	case len(rows) > 1 && badData(err):
		l.insertGroup(ctx, rows[:len(rows)/2])
		l.insertGroup(ctx, rows[len(rows)/2:])
	default:
		for _, r := range rows {
			*r.err = insertError(r.job.ID, err)
		}
	}
}

func insertError(id string, err error) error {
	if code(err) == foreignKeyViolation {
		return fmt.Errorf("insert job %s: %w", id, store.ErrInputMissing)
	}
	return wrap("insert job "+id, err)
}

// staleError names cached jobs whose result could not be taken. The transaction has been rolled back.
type staleError map[pgtype.UUID]bool

func (staleError) Error() string { return store.ErrStaleResult.Error() }

// insertStatement is the least that writes all of the rows.
func insertStatement(rows []*insertRow) (sql string, args []any) {
	switch {
	case slices.ContainsFunc(rows, (*insertRow).full):
		return insertFullSQL, insertFullArgs(rows)
	case alike(rows):
		return insertAlikeSQL, insertAlikeArgs(rows)
	case slices.ContainsFunc(rows, func(r *insertRow) bool { return len(r.inputs) > 0 }):
		return insertInputSQL, insertInputArgs(rows)
	}
	return insertSQL, insertArgs(rows)
}

// tryInsert writes a group in one round trip, unless jobs come out of the cache, whose files are counted before the commit.
func (l *Ledger) tryInsert(ctx context.Context, rows []*insertRow) error {
	if slices.ContainsFunc(rows, func(r *insertRow) bool { return r.job.Cached }) {
		return l.tryCached(ctx, rows)
	}
	sql, args := insertStatement(rows)
	written := 0
	err := again(ctx, "insert jobs", func(ctx context.Context) error {
		tag, err := l.pool.Exec(ctx, sql, args...)
		written = int(tag.RowsAffected())
		return err
	})
	if err != nil || written == len(rows) || sql == insertSQL { // nothing can be missing
		return err
	}
	_, err = l.dropMissing(ctx, rows) // or an earlier call wrote them
	return err
}

func (l *Ledger) tryCached(ctx context.Context, rows []*insertRow) error {
	return again(ctx, "insert jobs", func(ctx context.Context) error {
		written := 0
		err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
			var stale staleError
			var err error
			if written, stale, err = insertFull(ctx, tx, rows); err == nil && stale != nil {
				err = stale // rolls back
			}
			return err
		})
		if err == nil && written < len(rows) {
			_, err = l.dropMissing(ctx, rows)
		}
		return err
	})
}

// insertFull says how many rows it wrote, and which of the cached jobs got fewer files than they have outputs.
func insertFull(ctx context.Context, tx pgx.Tx, rows []*insertRow) (written int, stale staleError, err error) {
	want := make(map[pgtype.UUID]int, len(rows))
	for _, r := range rows {
		if r.job.Cached {
			want[r.id] = len(r.job.Outputs)
		}
	}
	result, err := tx.Query(ctx, insertFullSQL, insertFullArgs(rows)...)
	if err != nil {
		return 0, nil, err
	}
	var (
		id  pgtype.UUID
		got int
	)
	_, err = pgx.ForEachRow(result, []any{&id, &got}, func() error {
		written++
		if got == want[id] {
			return nil
		}
		if stale == nil {
			stale = staleError{}
		}
		stale[id] = true
		return nil
	})
	return written, stale, err
}

const missingInputsSQL = `
SELECT DISTINCT u.job FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS u (job, tenant, file)
WHERE NOT EXISTS (SELECT 1 FROM files f WHERE f.id = u.file AND f.tenant = u.tenant OFFSET 0)
	AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = u.job OFFSET 0)`

// dropMissing tells the jobs whose input does not exist, and returns the others. Finding them all at once keeps a client that asks for missing
// files from turning every group into single commits.
func (l *Ledger) dropMissing(ctx context.Context, rows []*insertRow) ([]*insertRow, error) {
	var (
		jobs, files []pgtype.UUID
		tenants     []string
	)
	for _, r := range rows {
		for _, file := range r.inputs {
			jobs, files, tenants = append(jobs, r.id), append(files, file), append(tenants, r.job.Tenant)
		}
	}
	if len(files) == 0 {
		return rows, nil
	}
	result, err := l.pool.Query(ctx, missingInputsSQL, jobs, tenants, files)
	if err != nil {
		return nil, err
	}
	missing, err := pgx.CollectRows(result, pgx.RowTo[pgtype.UUID])
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r *insertRow) bool {
		gone := slices.Contains(missing, r.id)
		if gone {
			*r.err = fmt.Errorf("insert job %s: %w", r.job.ID, store.ErrInputMissing)
		}
		return gone
	}), nil
}
