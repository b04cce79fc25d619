package sqlite

import (
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// newRow is a job on its way into the database: what belongs to it is copied, so that the caller may go away.
type newRow struct {
	id, tenant, cacheKey string
	args                 []any
	key                  *store.Idempotency
	unique               *millrace.Unique
	inputs               []string
	tags                 []string
	outputs              []newFile
	expires              sql.NullInt64
	final                *final // of a job that is final from the start
	coalesce, waits      bool   // it waits for an equal job if one lives; it does
	ifWaiting            []byte
}

// newFile is a file row to write with a job's success.
type newFile struct {
	millrace.Output
	from string // the file whose blob it shares, or
	blob string // the key itself
}

// prepareRows translates jobs; a row is nil where there is an error.
func prepareRows(jobs []store.NewJob, now time.Time) ([]*newRow, []error) {
	rows, errs := make([]*newRow, len(jobs)), make([]error, len(jobs))
	for i, j := range jobs {
		rows[i], errs[i] = prepareRow(j, now)
	}
	return rows, errs
}

func prepareRow(n store.NewJob, now time.Time) (*newRow, error) {
	j := *n.Job
	var due sql.NullInt64
	switch {
	case j.State == millrace.Queued, j.State == millrace.Waiting && n.Coalesce: // the latter was told so before
		j.State = millrace.Queued
		due = ms(now.Add(n.DispatchAfter))
	case j.State == millrace.Scheduled:
		if due = ms(j.RunAt); !due.Valid {
			due = ms(now)
		}
	case j.State == millrace.Succeeded && j.Cached && len(n.From) == len(j.Outputs):
		for _, t := range []*time.Time{&j.StartedAt, &j.FinishedAt} {
			if t.IsZero() {
				*t = now
			}
		}
		if j.ExpiresAt.IsZero() {
			j.ExpiresAt = j.FinishedAt.Add(j.Retention)
		}
	default:
		return nil, fmt.Errorf("insert a job that is %s: %w", j.State, store.ErrState)
	}
	row := &newRow{
		id: j.ID, tenant: j.Tenant, tags: j.Tags, expires: ms(j.ExpiresAt), key: copyKey(n.Idempotency), unique: j.Unique,
	}
	row.cacheKey = j.CacheKey
	row.coalesce, row.ifWaiting = n.Coalesce && j.State == millrace.Queued && j.CacheKey != "", slices.Clone(n.AnswerWaiting)
	if j.State.Final() {
		row.final = &final{job: j.ID, tenant: j.Tenant, state: j.State, run: j.Run, expires: row.expires}
		for i, out := range j.Outputs {
			row.outputs = append(row.outputs, newFile{Output: out, from: n.From[i]})
		}
	} else {
		for _, in := range j.Inputs {
			row.inputs = append(row.inputs, in.File)
		}
	}
	var err error
	if row.args, err = jobArgs(&j, now, due); err == nil && row.final != nil {
		row.final.webhook, err = encode(j.Webhook, j.Webhook == nil)
	}
	return row, err
}
