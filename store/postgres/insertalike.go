package postgres

import (
	"bytes"
	"cmp"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// insertAlikeSQL is insertInputSQL for jobs that differ in nothing but their ids, inputs and times, as those of a batch mostly do: what they share is
// sent and read once. That halves what the client spends on a row.
const insertAlikeSQL = `
WITH there AS MATERIALIZED (SELECT id FROM files WHERE id = ANY ($5::uuid[]) AND tenant = $6 ORDER BY id FOR KEY SHARE)
INSERT INTO jobs (id, tenant, type, state, priority, queue, params, metadata, run, max_attempts, timeout, backoff, retention, cache_key,
	fence, created_at, run_at, due_at, inputs, input)
SELECT id, $6, $7, $8, $9, $10, (SELECT $11::text::json), (SELECT $12::text::json), $13::int, $14::int, $15::interval, (SELECT $16::text::json),
	$17::interval, $18::text, $19::bigint, coalesce(created_at, now()), coalesce($20::timestamptz, now()),
	CASE $8 WHEN 'scheduled' THEN coalesce($20::timestamptz, now()) WHEN 'queued' THEN now() + grace END, inputs::jsonb, input
FROM unnest($1::uuid[], $2::timestamptz[], $3::interval[], $4::text[], $5::uuid[]) AS u (id, created_at, grace, inputs, input)
WHERE input IS NULL OR input IN (SELECT t.id FROM there t)
ON CONFLICT (id) DO NOTHING`

// alike says whether the rows differ only in what insertAlikeSQL takes for each of them. None of them is full.
func alike(rows []*insertRow) bool {
	first := rows[0]
	a := first.job
	for _, r := range rows[1:] {
		b := r.job
		if a.Tenant != b.Tenant || a.Type != b.Type || first.state() != r.state() || a.Priority != b.Priority || a.Queue != b.Queue || a.Run != b.Run ||
			a.MaxAttempts != b.MaxAttempts || a.Timeout != b.Timeout || first.backoff != r.backoff || a.Retention != b.Retention ||
			a.CacheKey != b.CacheKey || a.Fence != b.Fence || !a.RunAt.Equal(b.RunAt) ||
			!bytes.Equal(a.Params, b.Params) || !bytes.Equal(a.Metadata, b.Metadata) {
			return false
		}
	}
	return true
}

func insertAlikeArgs(rows []*insertRow) []any {
	a := rows[0].job
	return []any{
		column(rows, func(r *insertRow) pgtype.UUID { return r.id }),
		column(rows, func(r *insertRow) *time.Time { return orNever(r.job.CreatedAt) }),
		column(rows, func(r *insertRow) time.Duration { return r.grace }),
		column(rows, func(r *insertRow) *string { return r.inputsJSON }),
		column(rows, (*insertRow).onlyInput),
		a.Tenant, a.Type, string(rows[0].state()), string(a.Priority), a.Queue, cmp.Or(string(a.Params), "null"), rawJSON(a.Metadata), max(1, a.Run),
		a.MaxAttempts, a.Timeout, rows[0].backoff, a.Retention, orNull(a.CacheKey), a.Fence, orNever(a.RunAt),
	}
}
