package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

var insertSQL = `INSERT INTO jobs (` + jobColumns + `, due_at) VALUES (?` + strings.Repeat(", ?", strings.Count(jobColumns, ",")+1) + `)
	ON CONFLICT (id) DO NOTHING`

// newRow is a job on its way into the database: what belongs to it is copied, so that the caller may go away.
type newRow struct {
	id, tenant, cacheKey string
	args                 []any
	inputs               []string
	tags                 []string
	outputs              []newFile
	expires              time.Time
}

// newFile is a file row to write with a job's success.
type newFile struct {
	millrace.Output
	from string // the file whose blob it shares, or
	blob string // the key itself
}

// Insert implements store.Jobs. All jobs that can be inserted are in one transaction; one that cannot does not reach the database.
func (l *Ledger) Insert(ctx context.Context, jobs []store.NewJob) []error {
	errs := make([]error, len(jobs))
	rows := make([]*newRow, len(jobs))
	now := l.now()
	for i, j := range jobs {
		rows[i], errs[i] = prepareRow(j, now)
	}
	refused := make([]error, len(jobs))
	err := l.write(ctx, func(t *tx) error {
		for i, row := range rows {
			if row == nil {
				continue
			}
			err := t.insert(row)
			if errors.Is(err, store.ErrInputMissing) || errors.Is(err, store.ErrStaleResult) {
				refused[i], err = err, nil
			}
			if err != nil {
				return fmt.Errorf("insert job: %w", err)
			}
		}
		return nil
	})
	for i := range errs {
		switch {
		case errs[i] != nil:
		case err != nil:
			errs[i] = err
		default:
			errs[i] = refused[i]
		}
	}
	return errs
}

func prepareRow(n store.NewJob, now time.Time) (*newRow, error) {
	j := *n.Job
	var due sql.NullInt64
	switch {
	case j.State == millrace.Queued:
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
	row := &newRow{id: j.ID, tenant: j.Tenant, tags: j.Tags, expires: j.ExpiresAt}
	if j.State.Final() {
		row.cacheKey = j.CacheKey
		for i, out := range j.Outputs {
			row.outputs = append(row.outputs, newFile{Output: out, from: n.From[i]})
		}
	} else {
		for _, in := range j.Inputs {
			row.inputs = append(row.inputs, in.File)
		}
	}
	var err error
	row.args, err = jobArgs(&j, now, due)
	return row, err
}

// insert looks before it writes: nobody else writes between the two, and so a refused job leaves nothing to undo.
func (t *tx) insert(row *newRow) error {
	if err := t.check(row); err != nil {
		known := 0
		if e := t.row(`SELECT count(*) FROM jobs WHERE id = ?`, row.id).Scan(&known); e != nil || known > 0 {
			return e
		}
		return err
	}
	n, err := t.exec(insertSQL, row.args...)
	if err != nil || n == 0 { // there already: an earlier call whose answer was lost
		return err
	}
	for _, tag := range row.tags {
		if _, err := t.exec(`INSERT INTO job_tags (tenant, tag, job) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, row.tenant, tag, row.id); err != nil {
			return err
		}
	}
	if err := t.hold(row.id, row.inputs); err != nil {
		return err
	}
	if err := t.writeOutputs(row.tenant, row.id, row.outputs, ms(row.expires)); err != nil {
		return err
	}
	return t.remember(row.tenant, row.cacheKey, row.id)
}

// check says whether the files that the row needs are there; it fills in the blobs of a cached job's outputs.
func (t *tx) check(row *newRow) error {
	for _, file := range row.inputs {
		if err := t.input(row.tenant, file); err != nil {
			return err
		}
	}
	for i := range row.outputs {
		out := &row.outputs[i]
		err := t.row(`SELECT blob FROM files WHERE id = ? AND tenant = ?`, out.from, row.tenant).Scan(&out.blob)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("output %s: %w", out.Name, store.ErrStaleResult)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// input says whether the tenant has the file.
func (t *tx) input(tenant, file string) error {
	var one int
	err := t.row(`SELECT 1 FROM files WHERE id = ? AND tenant = ?`, file, tenant).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("file %s: %w", file, store.ErrInputMissing)
	}
	return err
}

// hold keeps files from deletion while the job lives.
func (t *tx) hold(job string, files []string) error {
	for _, file := range files {
		if _, err := t.exec(`INSERT INTO job_files (job, file) VALUES (?, ?) ON CONFLICT DO NOTHING`, job, file); err != nil {
			return err
		}
	}
	return nil
}
