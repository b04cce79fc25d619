package postgres

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// insertRow is a new job with its ids parsed and its lists encoded.
type insertRow struct {
	job                                   *millrace.Job
	idempotency                           *store.Idempotency
	grace                                 time.Duration
	id                                    pgtype.UUID
	inputs                                []pgtype.UUID
	sources, outputs                      []pgtype.UUID // for a cached job: the files it copies, and its own
	backoff                               string
	inputsJSON, tags, outputJSON, webhook *string
	err                                   *error      // where the caller reads what became of it
	coalesce, waiting                     bool        // it waits for an equal job if one lives; it does
	waits                                 pgtype.UUID // the group that it waits for, as it is written
	answerWaiting                         []byte
	barred                                error // why it can not be written, whatever the ledger holds
}

// full says whether the row needs more than the columns that every job has, and one input.
func (r *insertRow) full() bool {
	return len(r.inputs) > 1 || r.tags != nil || r.job.Cached || r.job.Unique != nil || r.webhook != nil || r.job.Schedule != "" || r.waiting ||
		!r.job.Deadline.IsZero()
}

// keyed says whether other requests may stand in the row's way.
func (r *insertRow) keyed() bool { return r.idempotency != nil || r.job.Unique != nil || r.coalesce }

// newInsertRows prepares jobs. Those that cannot be rows are told so in errs and left out.
func newInsertRows(jobs []store.NewJob, errs []error) []*insertRow {
	rows := make([]*insertRow, 0, len(jobs))
	for i, job := range jobs {
		row, err := newInsertRow(job)
		if err != nil {
			errs[i] = fmt.Errorf("insert job %s: %w", job.ID, err)
			continue
		}
		row.err = &errs[i]
		rows = append(rows, row)
	}
	return rows
}

func newInsertRow(n store.NewJob) (*insertRow, error) {
	r := &insertRow{job: n.Job, idempotency: n.Idempotency, grace: n.DispatchAfter, answerWaiting: n.AnswerWaiting}
	// One that waits was told so by an earlier call.
	r.coalesce = n.Coalesce && n.CacheKey != "" && (n.State == millrace.Queued || n.State == millrace.Waiting)
	var ok bool
	if r.id, ok = parseID(n.ID); !ok {
		return r, fmt.Errorf("%q is not an id", n.ID)
	}
	backoff, err := json.Marshal(n.Backoff)
	if err != nil {
		return r, fmt.Errorf("encode the backoff: %w", err)
	}
	r.backoff = string(backoff)
	if len(n.From) != len(n.Outputs) {
		return r, fmt.Errorf("%d outputs are to come from %d files", len(n.Outputs), len(n.From))
	}
	for _, in := range n.Inputs {
		file, ok := parseID(in.File)
		if !ok {
			r.barred = store.ErrInputMissing
		}
		r.inputs = append(r.inputs, file)
	}
	for i, out := range n.Outputs {
		source, ok := parseID(n.From[i])
		if !ok {
			r.barred = store.ErrStaleResult
		}
		file, ok := parseID(out.File)
		if !ok {
			return r, fmt.Errorf("%q is not an id for output %s", out.File, out.Name)
		}
		r.sources, r.outputs = append(r.sources, source), append(r.outputs, file)
	}
	r.inputsJSON, r.tags, r.outputJSON = listJSON(n.Inputs), listJSON(n.Tags), listJSON(n.Outputs)
	if n.Webhook != nil {
		r.webhook = mustJSON(millrace.Webhook{URL: clean(n.Webhook.URL), Events: n.Webhook.Events})
	}
	return r, nil
}

// uniqueKey is NULL for a job without one.
func (r *insertRow) uniqueKey() *string {
	if r.job.Unique == nil {
		return nil
	}
	key := clean(r.job.Unique.Key)
	return &key
}

// uniqueTTL is NULL for as long as the job lives.
func (r *insertRow) uniqueTTL() *time.Duration {
	if r.job.Unique == nil || r.job.Unique.TTL <= 0 {
		return nil
	}
	return &r.job.Unique.TTL
}

// listJSON is NULL for an empty list.
func listJSON[T any](list []T) *string {
	if len(list) == 0 {
		return nil
	}
	return mustJSON(list)
}

// mustJSON encodes a type of package millrace, all of which can be.
func mustJSON(v any) *string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	s := string(b)
	return &s
}

// rawJSON is NULL for no JSON at all.
func rawJSON(m json.RawMessage) *string { return orNull(string(m)) }

// column gathers one field of each row.
func column[R, T any](rows []R, field func(R) T) []T {
	all := make([]T, len(rows))
	for i, r := range rows {
		all[i] = field(r)
	}
	return all
}

// onlyInput is NULL for a job without inputs, and for one whose inputs are rows of job_files. Those of a job out of the cache are of the past.
func (r *insertRow) onlyInput() *pgtype.UUID {
	if len(r.inputs) != 1 || r.job.Cached {
		return nil
	}
	return &r.inputs[0]
}

// insertArgs are $1 to $18 of all inserts.
func insertArgs(rows []*insertRow) []any {
	return []any{
		column(rows, func(r *insertRow) pgtype.UUID { return r.id }),
		column(rows, func(r *insertRow) string { return r.job.Tenant }),
		column(rows, func(r *insertRow) string { return r.job.Type }),
		column(rows, func(r *insertRow) string { return string(r.state()) }),
		column(rows, func(r *insertRow) string { return string(r.job.Priority) }),
		column(rows, func(r *insertRow) string { return r.job.Queue }),
		column(rows, func(r *insertRow) string { return cmp.Or(string(r.job.Params), "null") }),
		column(rows, func(r *insertRow) *string { return rawJSON(r.job.Metadata) }),
		column(rows, func(r *insertRow) int { return max(1, r.job.Run) }),
		column(rows, func(r *insertRow) int { return r.job.MaxAttempts }),
		column(rows, func(r *insertRow) time.Duration { return r.job.Timeout }),
		column(rows, func(r *insertRow) string { return r.backoff }),
		column(rows, func(r *insertRow) time.Duration { return r.job.Retention }),
		column(rows, func(r *insertRow) *string { return orNull(r.job.CacheKey) }),
		column(rows, func(r *insertRow) int64 { return r.job.Fence }),
		column(rows, func(r *insertRow) *time.Time { return orNever(r.job.CreatedAt) }),
		column(rows, func(r *insertRow) *time.Time { return orNever(r.job.RunAt) }),
		column(rows, func(r *insertRow) time.Duration { return r.grace }),
	}
}

// insertInputArgs are those of insertInputSQL.
func insertInputArgs(rows []*insertRow) []any {
	return append(insertArgs(rows), column(rows, func(r *insertRow) *string { return r.inputsJSON }), column(rows, (*insertRow).onlyInput))
}

// insertFullArgs are those of insertFullSQL.
func insertFullArgs(rows []*insertRow) []any {
	var (
		jobs, files, sources  []pgtype.UUID
		tenants, names, types []string
	)
	for _, r := range rows {
		for i, out := range r.job.Outputs {
			jobs, files, sources = append(jobs, r.id), append(files, r.outputs[i]), append(sources, r.sources[i])
			tenants, names, types = append(tenants, r.job.Tenant), append(names, clean(out.Name)), append(types, clean(out.ContentType))
		}
	}
	return append(insertArgs(rows),
		column(rows, func(r *insertRow) *string { return r.inputsJSON }),
		column(rows, func(r *insertRow) *string { return r.tags }),
		column(rows, func(r *insertRow) bool { return r.job.Cached }),
		column(rows, func(r *insertRow) *string { return rawJSON(r.job.Result) }),
		column(rows, func(r *insertRow) *string { return r.outputJSON }),
		column(rows, func(r *insertRow) *time.Time { return orNever(r.job.Deadline) }),
		column(rows, (*insertRow).uniqueKey),
		column(rows, (*insertRow).uniqueTTL),
		column(rows, func(r *insertRow) *string { return r.webhook }),
		column(rows, func(r *insertRow) *string { return orNull(clean(r.job.Schedule)) }),
		jobs, files, tenants, names, types, sources,
		column(rows, (*insertRow).onlyInput),
		column(rows, func(r *insertRow) pgtype.UUID { return r.waits }),
	)
}
