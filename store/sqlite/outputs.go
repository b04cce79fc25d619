package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

const insertFileSQL = `INSERT INTO files (` + fileColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`

// writeOutputs writes the file rows of a job's success.
func (t *tx) writeOutputs(tenant, job string, outputs []newFile, expires sql.NullInt64) error {
	for _, out := range outputs {
		if err := t.refer(tenant, out.blob, out.SHA256, out.Size); err != nil {
			return fmt.Errorf("output %s of job %s: %w", out.Name, job, err)
		}
		if _, err := t.exec(insertFileSQL, out.File, tenant, out.Name, out.Size, out.SHA256, out.ContentType, out.blob, job,
			t.now, expires); err != nil {
			return err
		}
	}
	return nil
}

// refer makes sure that the blob may be referred to: it is new, or alive. Blobs are shared within a tenant only.
func (t *tx) refer(tenant, key, sha256 string, size int64) error {
	n, err := t.exec(`INSERT INTO blobs (key, tenant, sha256, size, state, touched_at) VALUES (?1, ?2, ?3, ?4, 'live', ?5)
		ON CONFLICT (key) DO UPDATE SET touched_at = ?5 WHERE state = 'live' AND tenant = ?2`, key, tenant, sha256, size, t.now)
	if err == nil && n == 0 {
		err = fmt.Errorf("blob %s is being collected: %w", key, store.ErrStaleResult)
	}
	return err
}

// remember makes the job the newest result of its cache key.
func (t *tx) remember(tenant, key, job string) error {
	if key == "" {
		return nil
	}
	_, err := t.exec(`INSERT INTO results (tenant, cache_key, job) VALUES (?, ?, ?)
		ON CONFLICT (tenant, cache_key) DO UPDATE SET job = excluded.job`, tenant, key, job)
	return err
}

// Result implements store.Results.
func (l *Ledger) Result(ctx context.Context, tenant, key string) (store.Result, error) {
	var r store.Result
	var result, outputs sql.NullString
	err := l.reads.QueryRowContext(ctx, `SELECT j.id, j.result, j.outputs FROM results r JOIN jobs j ON j.id = r.job
		WHERE r.tenant = ? AND r.cache_key = ? AND j.state = 'succeeded'`, tenant, key).Scan(&r.Job, &result, &outputs)
	if errors.Is(err, sql.ErrNoRows) {
		return store.Result{}, fmt.Errorf("cached result: %w", store.ErrNotFound)
	}
	if err != nil {
		return store.Result{}, fmt.Errorf("read cached result: %w", err)
	}
	r.Result = raw(result)
	if outputs.Valid {
		err = into(&r.Outputs)(outputs.String)
	}
	return r, err
}

// dropOutputs deletes the files of a job's outputs.
func (t *tx) dropOutputs(job string, outputs []millrace.Output) error {
	for _, out := range outputs {
		if _, err := t.exec(`DELETE FROM files WHERE id = ? AND job = ?`, out.File, job); err != nil {
			return err
		}
	}
	return nil
}
