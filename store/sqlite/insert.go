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
	key                  *store.Idempotency
	unique               *millrace.Unique
	inputs               []string
	tags                 []string
	outputs              []newFile
	expires              sql.NullInt64
	final                *final // of a job that is final from the start
}

// newFile is a file row to write with a job's success.
type newFile struct {
	millrace.Output
	from string // the file whose blob it shares, or
	blob string // the key itself
}

// Insert implements store.Jobs. All jobs that can be inserted are in one transaction; one that cannot does not reach the database.
func (l *Ledger) Insert(ctx context.Context, jobs []store.NewJob) []error {
	rows, errs := prepareRows(jobs, l.now())
	var refused []error
	err := l.write(ctx, func(t *tx) (err error) {
		refused, err = t.insertAll(rows)
		return err
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
	row := &newRow{
		id: j.ID, tenant: j.Tenant, tags: j.Tags, expires: ms(j.ExpiresAt), key: copyKey(n.Idempotency), unique: j.Unique,
	}
	if j.State.Final() {
		row.cacheKey = j.CacheKey
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

// insertAll inserts rows in order and answers why some were refused. Its own error is the database's: then nothing may be committed.
func (t *tx) insertAll(rows []*newRow) ([]error, error) {
	refused := make([]error, len(rows))
	for i, row := range rows {
		if row == nil {
			continue
		}
		err := t.insert(row)
		if isRefusal(err) {
			refused[i], err = err, nil
		}
		if err != nil {
			return nil, fmt.Errorf("insert job: %w", err)
		}
	}
	return refused, nil
}

// isRefusal says whether the error is the row's own affair.
func isRefusal(err error) bool {
	var replayed *store.ReplayedError
	var held *store.HeldError
	return errors.Is(err, store.ErrInputMissing) || errors.Is(err, store.ErrStaleResult) || errors.As(err, &replayed) || errors.As(err, &held)
}

// insert looks before it writes: nobody else writes between the two, and so a refused job leaves nothing to undo.
func (t *tx) insert(row *newRow) error {
	if err := t.check(row); err != nil {
		known, e := t.known(row.id)
		if e != nil || known { // there already: an earlier call whose answer was lost
			return e
		}
		return err
	}
	n, err := t.exec(insertSQL, row.args...)
	if err != nil || n == 0 { // there already
		return err
	}
	return t.attach(row)
}

// known says whether there is a job of that id.
func (t *tx) known(id string) (known bool, err error) {
	err = t.row(`SELECT EXISTS (SELECT 1 FROM jobs WHERE id = ?)`, id).Scan(&known)
	return known, err
}

// attach writes what belongs to a job that was inserted just now.
func (t *tx) attach(row *newRow) error {
	if err := t.keep(row.tenant, row.key); err != nil {
		return err
	}
	for _, tag := range row.tags {
		if _, err := t.exec(`INSERT INTO job_tags (tenant, tag, job) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, row.tenant, tag, row.id); err != nil {
			return err
		}
	}
	if row.final == nil {
		if err := t.take(row.tenant, row.id, row.unique); err != nil {
			return err
		}
		return t.hold(row.id, row.inputs)
	}
	if err := t.writeOutputs(row.tenant, row.id, row.outputs, row.expires); err != nil {
		return err
	}
	if err := t.remember(row.tenant, row.cacheKey, row.id); err != nil {
		return err
	}
	return t.conclude(*row.final)
}

// check says whether the row may be written. The idempotency key comes first: its repetition must hear the same, whatever else has changed.
// check also fills in the blobs of a cached job's outputs.
func (t *tx) check(row *newRow) error {
	if err := t.unreplayed(row.tenant, row.key); err != nil {
		return err
	}
	if err := t.free(row.tenant, row.id, row.unique); err != nil {
		return err
	}
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
