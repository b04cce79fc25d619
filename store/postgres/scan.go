package postgres

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace"
)

// jobColumns are what scanJob reads, in its order. They are also names in RETURNING.
const jobColumns = `id, tenant, type, state, priority, queue, params, inputs, tags, metadata, progress, result, outputs, error, attempts,
	run, attempt, max_attempts, starts, crashes, timeout, backoff, retention, cache_key, cached, fence, worker_id,
	created_at, run_at, started_at, finished_at, expires_at, cancel_at, deadline, unique_key, unique_ttl, webhook, schedule,
	input, owner, word`

// jobRow is a row before its JSON is read.
type jobRow struct {
	job                                         millrace.Job
	id, worker, input, owner                    pgtype.UUID
	word                                        *string
	params, inputs, tags, metadata, progress    []byte
	result, outputs, failure, attempts, backoff []byte
	webhook                                     []byte
	cacheKey, uniqueKey, schedule               *string
	uniqueTTL                                   *time.Duration
	started, finished, expires, cancel          *time.Time
	deadline                                    *time.Time
}

func (r *jobRow) targets() []any {
	j := &r.job
	return []any{
		&r.id, &j.Tenant, &j.Type, &j.State, &j.Priority, &j.Queue, &r.params, &r.inputs, &r.tags, &r.metadata, &r.progress, &r.result,
		&r.outputs, &r.failure, &r.attempts, &j.Run, &j.Attempt, &j.MaxAttempts, &j.Starts, &j.Crashes, &j.Timeout, &r.backoff, &j.Retention,
		&r.cacheKey, &j.Cached, &j.Fence, &r.worker, &j.CreatedAt, &j.RunAt, &r.started, &r.finished, &r.expires, &r.cancel,
		&r.deadline, &r.uniqueKey, &r.uniqueTTL, &r.webhook, &r.schedule,
		&r.input, &r.owner, &r.word,
	}
}

// scanJob reads jobColumns, and what the query selects after them into more.
func scanJob(row pgx.Row, more ...any) (*millrace.Job, error) {
	var r jobRow
	if err := row.Scan(append(r.targets(), more...)...); err != nil {
		return nil, err
	}
	return r.read()
}

func (r *jobRow) read() (*millrace.Job, error) {
	j := &r.job
	j.ID = r.id.String()
	if !r.worker.Valid {
		r.worker = r.owner
	}
	if j.State == millrace.Running && r.worker.Valid {
		j.WorkerID = r.worker.String()
	}
	if r.cacheKey != nil {
		j.CacheKey = *r.cacheKey
	}
	if r.schedule != nil {
		j.Schedule = *r.schedule
	}
	if r.uniqueKey != nil {
		j.Unique = &millrace.Unique{Key: *r.uniqueKey}
		if r.uniqueTTL != nil {
			j.Unique.TTL = *r.uniqueTTL
		}
	}
	j.Params, j.Metadata, j.Result = r.params, r.metadata, r.result
	for _, field := range []struct {
		name string
		text []byte
		into any
	}{
		{"inputs", r.inputs, &j.Inputs}, {"tags", r.tags, &j.Tags}, {"progress", r.progress, &j.Progress}, {"outputs", r.outputs, &j.Outputs},
		{"error", r.failure, &j.Error}, {"attempts", r.attempts, &j.Attempts}, {"backoff", r.backoff, &j.Backoff},
		{"webhook", r.webhook, &j.Webhook},
	} {
		if len(field.text) <= len("{}") { // NULL or an empty list
			continue
		}
		if err := json.Unmarshal(field.text, field.into); err != nil {
			return nil, fmt.Errorf("job %s: read %s: %w", j.ID, field.name, err)
		}
	}
	j.CreatedAt, j.RunAt = j.CreatedAt.UTC(), j.RunAt.UTC()
	j.StartedAt, j.FinishedAt, j.ExpiresAt, j.CancelAt = orZero(r.started), orZero(r.finished), orZero(r.expires), orZero(r.cancel)
	j.Deadline = orZero(r.deadline)
	r.history()
	return j, nil
}

// history adds the newest attempt where it is not stored but made of the row: the running one, and the one with which a run ended. It keeps the list
// within its bound.
func (r *jobRow) history() {
	j := &r.job
	for i := range j.Attempts {
		j.Attempts[i].StartedAt, j.Attempts[i].EndedAt = j.Attempts[i].StartedAt.UTC(), j.Attempts[i].EndedAt.UTC()
	}
	newest := millrace.Attempt{N: j.Starts, Run: j.Run, Worker: r.worker.String(), StartedAt: j.StartedAt}
	switch {
	case j.State == millrace.Running:
		j.Attempts = append(j.Attempts, newest)
	case j.State.Final() && r.word != nil:
		newest.Outcome, newest.Spent, newest.EndedAt, newest.Error = *r.word, true, j.FinishedAt, j.Error
		j.Attempts = append(j.Attempts, newest)
	}
	if over := len(j.Attempts) - millrace.MaxAttemptHistory; over > 0 {
		j.Attempts = j.Attempts[over:]
	}
}

const fileColumns = `id, tenant, name, size, sha256, content_type, blob, job, created_at, expires_at`

// scanFile reads fileColumns.
func scanFile(row pgx.Row) (millrace.File, error) {
	var (
		f       millrace.File
		id, job pgtype.UUID
		expires *time.Time
	)
	err := row.Scan(&id, &f.Tenant, &f.Name, &f.Size, &f.SHA256, &f.ContentType, &f.Blob, &job, &f.CreatedAt, &expires)
	if err != nil {
		return millrace.File{}, err
	}
	f.ID = id.String()
	if job.Valid {
		f.Job = job.String()
	}
	f.CreatedAt, f.ExpiresAt = f.CreatedAt.UTC(), orZero(expires)
	return f, nil
}
