package sqlite

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/millrace/millrace"
)

// jobColumns are those of millrace.Job, in the order that scanJob and jobArgs use.
const jobColumns = `id, tenant, type, state, priority, queue, fence, worker_id, run, attempt, max_attempts, starts, crashes, cached, cache_key,
	timeout, retention, created_at, run_at, started_at, finished_at, expires_at, cancel_at,
	backoff, inputs, tags, progress, error, outputs, attempts, metadata, params, result,
	deadline, unique_key, unique_ttl, webhook, schedule`

// attempt is an entry of the history as it is stored: short, and with the fence, by which a repeated outcome is recognised.
type attempt struct {
	N       int                `json:"n"`
	Run     int                `json:"run"`
	Worker  string             `json:"worker"`
	Fence   int64              `json:"fence"`
	Started int64              `json:"started"`
	Ended   int64              `json:"ended"` // absent while running
	Outcome string             `json:"outcome"`
	Spent   bool               `json:"spent"`
	Error   *millrace.JobError `json:"error"`
}

// ms is a time as it is stored: milliseconds, NULL when zero.
func ms(t time.Time) sql.NullInt64 {
	if t.IsZero() {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: true}
}

func at(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return instant(n.Int64)
}

// instant is a stored time that is never NULL.
func instant(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// text is NULL for the empty string.
func text[T ~string | ~[]byte](s T) sql.NullString {
	return sql.NullString{String: string(s), Valid: len(s) > 0}
}

// encode is v as JSON text, NULL when empty says so.
func encode[T any](v T, empty bool) (sql.NullString, error) {
	if empty {
		return sql.NullString{}, nil
	}
	b, err := json.Marshal(v)
	return text(b), err
}

// jobArgs are the values of jobColumns, then due_at and waits_for. It runs in the caller's goroutine: the writer's is for SQLite alone.
func jobArgs(j *millrace.Job, now time.Time, due sql.NullInt64) (args []any, err error) {
	var backoff, inputs, tags, progress, jobError, outputs, attempts, webhook sql.NullString
	for _, e := range []struct {
		to  *sql.NullString
		enc func() (sql.NullString, error)
	}{
		{&backoff, func() (sql.NullString, error) { return encode(j.Backoff, false) }},
		{&inputs, func() (sql.NullString, error) { return encode(j.Inputs, len(j.Inputs) == 0) }},
		{&tags, func() (sql.NullString, error) { return encode(j.Tags, len(j.Tags) == 0) }},
		{&progress, func() (sql.NullString, error) { return encode(j.Progress, j.Progress == millrace.Progress{}) }},
		{&jobError, func() (sql.NullString, error) { return encode(j.Error, j.Error == nil) }},
		{&outputs, func() (sql.NullString, error) { return encode(j.Outputs, len(j.Outputs) == 0) }},
		{&attempts, func() (sql.NullString, error) { return text("[]"), nil }},
		{&webhook, func() (sql.NullString, error) { return encode(j.Webhook, j.Webhook == nil) }},
	} {
		if *e.to, err = e.enc(); err != nil {
			return nil, fmt.Errorf("encode job %s: %w", j.ID, err)
		}
	}
	created, runAt := j.CreatedAt, j.RunAt
	if created.IsZero() {
		created = now
	}
	if runAt.IsZero() {
		runAt = now
	}
	uniqueKey, uniqueTTL := uniqueColumns(j.Unique)
	return []any{
		j.ID, j.Tenant, j.Type, string(j.State), string(j.Priority), j.Queue, j.Fence, text(j.WorkerID), int64(j.Run), int64(j.Attempt),
		int64(j.MaxAttempts), int64(j.Starts), int64(j.Crashes), j.Cached, j.CacheKey, int64(j.Timeout), int64(j.Retention),
		ms(created), ms(runAt), ms(j.StartedAt), ms(j.FinishedAt), ms(j.ExpiresAt), ms(j.CancelAt),
		backoff, inputs, tags, progress, jobError, outputs, attempts, text(j.Metadata), text(j.Params), text(j.Result),
		ms(j.Deadline), uniqueKey, uniqueTTL, webhook, text(j.Schedule),
		due, sql.NullString{},
	}, nil
}

func uniqueColumns(u *millrace.Unique) (key sql.NullString, ttl sql.NullInt64) {
	if u != nil {
		key, ttl = sql.NullString{String: u.Key, Valid: true}, sql.NullInt64{Int64: int64(u.TTL), Valid: true}
	}
	return key, ttl
}

// jobRow is a job as it was read: its JSON is text still. Decoding is for the caller's goroutine, the writer's has others waiting.
type jobRow struct {
	millrace.Job // what needs no decoding

	backoff, attempts                                  string
	inputs, tags, progress, jobError, outputs, webhook sql.NullString
}

// scanRow reads jobColumns.
func scanRow(row scanner) (*jobRow, error) {
	var j jobRow
	var worker, metadata, params, result, uniqueKey, schedule sql.NullString
	var timeout, retention int64
	var created, runAt, started, finished, expires, cancel, deadline, uniqueTTL sql.NullInt64
	if err := row.Scan(&j.ID, &j.Tenant, &j.Type, &j.State, &j.Priority, &j.Queue, &j.Fence, &worker, &j.Run, &j.Attempt,
		&j.MaxAttempts, &j.Starts, &j.Crashes, &j.Cached, &j.CacheKey, &timeout, &retention,
		&created, &runAt, &started, &finished, &expires, &cancel,
		&j.backoff, &j.inputs, &j.tags, &j.progress, &j.jobError, &j.outputs, &j.attempts, &metadata, &params, &result,
		&deadline, &uniqueKey, &uniqueTTL, &j.webhook, &schedule); err != nil {
		return nil, err
	}
	j.WorkerID, j.Schedule, j.Deadline = worker.String, schedule.String, at(deadline)
	j.Timeout, j.Retention = time.Duration(timeout), time.Duration(retention)
	j.CreatedAt, j.RunAt, j.StartedAt = at(created), at(runAt), at(started)
	j.FinishedAt, j.ExpiresAt, j.CancelAt = at(finished), at(expires), at(cancel)
	j.Metadata, j.Params, j.Result = raw(metadata), raw(params), raw(result)
	if uniqueKey.Valid {
		j.Unique = &millrace.Unique{Key: uniqueKey.String, TTL: time.Duration(uniqueTTL.Int64)}
	}
	return &j, nil
}

// scanJob reads jobColumns and decodes them.
func scanJob(row scanner) (*millrace.Job, error) {
	j, err := scanRow(row)
	if err != nil {
		return nil, err
	}
	return j.decode()
}

// decode makes a job of the row, which is of no use afterwards.
func (r *jobRow) decode() (*millrace.Job, error) {
	j := &r.Job
	var history []attempt
	for _, d := range []struct {
		column, text string
		to           func(string) error
	}{
		{"backoff", r.backoff, into(&j.Backoff)},
		{"inputs", r.inputs.String, into(&j.Inputs)},
		{"tags", r.tags.String, into(&j.Tags)},
		{"progress", r.progress.String, into(&j.Progress)},
		{"error", r.jobError.String, into(&j.Error)},
		{"outputs", r.outputs.String, into(&j.Outputs)},
		{"attempts", r.attempts, into(&history)},
		{"webhook", r.webhook.String, into(&j.Webhook)},
	} {
		if d.text == "" || d.text == "[]" {
			continue
		}
		if err := d.to(d.text); err != nil {
			return nil, fmt.Errorf("job %s: decode %s: %w", j.ID, d.column, err)
		}
	}
	for _, a := range history {
		j.Attempts = append(j.Attempts, a.public())
	}
	return j, nil
}

func (a attempt) public() millrace.Attempt {
	p := millrace.Attempt{
		N: a.N, Run: a.Run, Worker: a.Worker, StartedAt: time.UnixMilli(a.Started).UTC(), Outcome: a.Outcome, Spent: a.Spent, Error: a.Error,
	}
	if a.Ended != 0 {
		p.EndedAt = time.UnixMilli(a.Ended).UTC()
	}
	return p
}

func into[T any](v *T) func(string) error {
	return func(s string) error { return json.Unmarshal([]byte(s), v) }
}

func raw(s sql.NullString) json.RawMessage {
	if !s.Valid {
		return nil
	}
	return json.RawMessage(s.String)
}

// fileColumns are those of millrace.File, in the order of scanFile.
const fileColumns = `id, tenant, name, size, sha256, content_type, blob, job, created_at, expires_at`

func scanFile(row scanner) (millrace.File, error) {
	var f millrace.File
	var job sql.NullString
	var created, expires sql.NullInt64
	if err := row.Scan(&f.ID, &f.Tenant, &f.Name, &f.Size, &f.SHA256, &f.ContentType, &f.Blob, &job, &created, &expires); err != nil {
		return millrace.File{}, err
	}
	f.Job, f.CreatedAt, f.ExpiresAt = job.String, at(created), at(expires)
	return f, nil
}
