package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// neededOutput says of a job j whether a live job reads one of its outputs.
const neededOutput = `(j.outputs IS NOT NULL AND EXISTS (
	SELECT 1 FROM json_array_elements(j.outputs) AS o, LATERAL (SELECT j.tenant, (o.value->>'file')::uuid AS id) f WHERE ` + neededFile + ` OFFSET 0))`

const removableSQL = `SELECT j.state, ` + neededOutput + ` FROM jobs j WHERE j.id = $2 AND j.tenant = $1 FOR UPDATE OF j`

// Delete removes a final job and all that hangs on it.
func (l *Ledger) Delete(ctx context.Context, tenant, id string) error {
	key, ok := parseID(id)
	if !ok {
		return fmt.Errorf("delete job: %w", store.ErrNotFound)
	}
	err := again(ctx, "delete job", func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
			var (
				state  millrace.State
				needed bool
			)
			if err := tx.QueryRow(ctx, removableSQL, tenant, key).Scan(&state, &needed); err != nil {
				return err
			}
			switch {
			case !state.Final():
				return store.ErrState
			case needed:
				return store.ErrInUse
			}
			return remove(ctx, tx, []pgtype.UUID{key})
		})
	})
	if code(err) == foreignKeyViolation { // a job took an output in this moment
		return fmt.Errorf("delete job: %w", store.ErrInUse)
	}
	return err
}

const expiredSQL = `
SELECT j.id FROM jobs j WHERE j.expires_at <= now() AND NOT ` + neededOutput + `
ORDER BY j.expires_at LIMIT $1 FOR UPDATE OF j SKIP LOCKED`

// ExpireJobs removes final jobs whose time is over. One whose output a live job reads stays until that one has ended.
func (l *Ledger) ExpireJobs(ctx context.Context, limit int) (n int, err error) {
	const op = "expire jobs"
	for try := 1; ; try++ {
		err = again(ctx, op, func(ctx context.Context) error {
			return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
				rows, err := tx.Query(ctx, expiredSQL, limit)
				if err != nil {
					return err
				}
				ids, err := pgx.CollectRows(rows, pgx.RowTo[pgtype.UUID])
				if n = len(ids); err != nil || n == 0 {
					return err
				}
				return remove(ctx, tx, ids)
			})
		})
		if err == nil {
			return n, nil
		}
		if code(err) != foreignKeyViolation || try == tries {
			return 0, err
		}
	}
}

const (
	removeJobsSQL    = `DELETE FROM jobs WHERE id = ANY ($1) RETURNING tags IS NOT NULL, webhook IS NOT NULL, cache_key, outputs`
	removeTellsSQL   = `DELETE FROM webhook_deliveries WHERE job = ANY ($1)`
	removeTagsSQL    = `DELETE FROM job_tags WHERE job = ANY ($1)`
	removeResultsSQL = `DELETE FROM results WHERE cache_key = ANY ($1) AND job = ANY ($2)`
	removeFilesSQL   = `
WITH gone AS (DELETE FROM files WHERE id = ANY ($1) RETURNING blob)
UPDATE blobs SET loose = true WHERE key = ANY (ARRAY(SELECT blob FROM gone)) AND NOT loose`
)

// remove deletes jobs that the transaction has locked, and goes on only to those tables in which they have rows.
func remove(ctx context.Context, tx pgx.Tx, ids []pgtype.UUID) error {
	rows, err := tx.Query(ctx, removeJobsSQL, ids)
	if err != nil {
		return err
	}
	var (
		tagged, anyTagged bool
		tells, anyTells   bool
		key               *string
		keys              []string
		outputs           []byte
		files             []pgtype.UUID
	)
	_, err = pgx.ForEachRow(rows, []any{&tagged, &tells, &key, &outputs}, func() error {
		anyTagged, anyTells = anyTagged || tagged, anyTells || tells
		if key != nil {
			keys = append(keys, *key)
		}
		own, err := outputFiles(outputs)
		files = append(files, own...)
		return err
	})
	if err != nil {
		return err
	}
	var batch pgx.Batch
	if anyTagged {
		batch.Queue(removeTagsSQL, ids)
	}
	if anyTells {
		batch.Queue(removeTellsSQL, ids)
	}
	if len(keys) > 0 {
		batch.Queue(removeResultsSQL, keys, ids)
	}
	if len(files) > 0 {
		batch.Queue(removeFilesSQL, files)
	}
	if batch.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &batch).Close()
}

// outputFiles are the files in a job's outputs column.
func outputFiles(text []byte) (files []pgtype.UUID, err error) {
	if len(text) == 0 {
		return nil, nil
	}
	var outputs []millrace.Output
	if err := json.Unmarshal(text, &outputs); err != nil {
		return nil, fmt.Errorf("read outputs: %w", err)
	}
	for _, out := range outputs {
		if id, ok := parseID(out.File); ok {
			files = append(files, id)
		}
	}
	return files, nil
}
