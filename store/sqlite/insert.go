package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

var insertSQL = `INSERT INTO jobs (` + jobColumns + `, due_at, waits_for) VALUES (?` + strings.Repeat(", ?", strings.Count(jobColumns, ",")+2) + `)
	ON CONFLICT (id) DO NOTHING`

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
	if err == nil {
		noteWaiting(jobs, rows)
	}
	return errs
}

// noteWaiting tells which of the jobs wait. It is for the caller's goroutine, once all is committed.
func noteWaiting(jobs []store.NewJob, rows []*newRow) {
	for i, row := range rows {
		if row != nil && row.waits {
			jobs[i].State = millrace.Waiting
		}
	}
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
	if row.coalesce {
		if known, err := t.knownWaiting(row); err != nil || known {
			return err
		}
	}
	if err := t.check(row); err != nil {
		known, e := t.known(row.id)
		if e != nil || known { // there already: an earlier call whose answer was lost
			return e
		}
		return err
	}
	if row.coalesce {
		if err := t.join(row); err != nil {
			return err
		}
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
