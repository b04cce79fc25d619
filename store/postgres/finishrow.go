package postgres

import (
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// finishRow is an outcome with its ids parsed, its place in the caller's list, and text that the database takes.
type finishRow struct {
	n          int
	outcome    store.Outcome
	id         pgtype.UUID
	files      []pgtype.UUID // of its outputs
	unstorable bool          // it is the replacement of an outcome that could not be stored
	plain      bool          // the job ends with it and nothing else is to be written
	alone      bool          // it is known that nobody waits for the job
}

// newFinishRow is not ok for an outcome of a job that cannot exist: it loses.
func newFinishRow(n int, o store.Outcome) (finishRow, bool) {
	r := finishRow{n: n, outcome: o}
	var ok bool
	if r.id, ok = parseID(o.Job); !ok {
		return r, false
	}
	if o.Kind == store.OutcomeFailed && o.Error == nil {
		r.outcome.Error = &millrace.JobError{Code: millrace.CodeInternal, Message: "failed without saying why"}
	}
	if o.Kind != store.OutcomeSucceeded {
		r.outcome.Result, r.outcome.Outputs = nil, nil
		return r, true
	}
	r.outcome.Outputs = make([]store.NewOutput, len(o.Outputs))
	for i, out := range o.Outputs {
		out.Name, out.ContentType = clean(out.Name), clean(out.ContentType)
		r.outcome.Outputs[i] = out
		file, ok := parseID(out.File)
		if !ok {
			return r, false
		}
		r.files = append(r.files, file)
	}
	return r, true
}

// asFailure is what is written for an outcome that the database refuses, such as a result that is no JSON: without it the attempt would be
// repeated for ever.
func (r finishRow) asFailure() finishRow {
	r.outcome = store.Outcome{
		Job: r.outcome.Job, Tenant: r.outcome.Tenant, Fence: r.outcome.Fence, Kind: store.OutcomeFailed, Attempt: millrace.AttemptError,
		Error: &millrace.JobError{Code: millrace.CodeInternal, Message: "the job's result could not be stored"},
	}
	r.files, r.unstorable = nil, true
	return r
}

func (r finishRow) failure() *string {
	if r.outcome.Error == nil {
		return nil
	}
	e := *r.outcome.Error
	e.Code, e.Message = millrace.Code(clean(string(e.Code))), clean(e.Message)
	return mustJSON(e)
}

func (r finishRow) outputs() *string {
	outputs := make([]millrace.Output, len(r.outcome.Outputs))
	for i, out := range r.outcome.Outputs {
		outputs[i] = out.Output
	}
	return listJSON(outputs)
}

func (r finishRow) progress() *string { return progressJSON(r.outcome.Progress) }

// progressJSON is NULL for no progress.
func progressJSON(p millrace.Progress) *string {
	if p == (millrace.Progress{}) {
		return nil
	}
	return mustJSON(p)
}

// delay is how long the job waits for its next attempt.
func (r finishRow) delay() time.Duration {
	if r.outcome.Kind != store.OutcomeRetry && r.outcome.Kind != store.OutcomeReleased {
		return 0
	}
	return max(0, r.outcome.Delay)
}

// finishArgs are $1 to $10; wonBeforeSQL takes the first four of them.
func finishArgs(rows []finishRow) []any {
	return []any{
		column(rows, func(r finishRow) pgtype.UUID { return r.id }),
		column(rows, func(r finishRow) int64 { return r.outcome.Fence }),
		column(rows, func(r finishRow) int { return r.n }),
		column(rows, func(r finishRow) string { return string(r.outcome.Kind) }),
		column(rows, func(r finishRow) string { return r.outcome.Attempt }),
		column(rows, finishRow.failure),
		column(rows, func(r finishRow) *string { return rawJSON(r.outcome.Result) }),
		column(rows, finishRow.outputs),
		column(rows, finishRow.progress),
		column(rows, finishRow.delay),
	}
}

// finishPlainArgs are those of finishPlainSQL.
func finishPlainArgs(rows []finishRow) []any {
	return []any{
		column(rows, func(r finishRow) pgtype.UUID { return r.id }),
		column(rows, func(r finishRow) int64 { return r.outcome.Fence }),
		column(rows, func(r finishRow) int { return r.n }),
		column(rows, func(r finishRow) string { return string(r.outcome.Kind) }),
		column(rows, func(r finishRow) string { return r.outcome.Attempt }),
		column(rows, finishRow.failure),
		column(rows, func(r finishRow) *string { return rawJSON(r.outcome.Result) }),
		column(rows, finishRow.progress),
	}
}

// finishOutputArgs are $11 to $17 of finishOutputsSQL.
func finishOutputArgs(rows []finishRow) []any {
	var (
		jobs, files               []pgtype.UUID
		sizes                     []int64
		names, sums, types, blobs []string
	)
	for _, r := range rows {
		for i, out := range r.outcome.Outputs {
			jobs, files, sizes = append(jobs, r.id), append(files, r.files[i]), append(sizes, out.Size)
			names, sums = append(names, out.Name), append(sums, out.SHA256)
			types, blobs = append(types, out.ContentType), append(blobs, out.Blob)
		}
	}
	return []any{jobs, files, names, sizes, sums, types, blobs}
}
