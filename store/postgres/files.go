package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// onKnownBlob ends an insert into blobs: a key that is there is touched, unless it the key is another tenant's or dying. The update waits for a collector
// that holds the row, and sees what it did.
const onKnownBlob = `ON CONFLICT (key) DO UPDATE SET touched_at = now()
	WHERE blobs.tenant = EXCLUDED.tenant AND blobs.dying_at IS NULL`

const createFileSQL = `
WITH b AS (
	INSERT INTO blobs (key, tenant, sha256, size) VALUES ($7, $2, $5, $4) ` + onKnownBlob + ` RETURNING key
), f AS (
	INSERT INTO files (id, tenant, name, size, sha256, content_type, blob, job, created_at, expires_at)
	SELECT $1, $2, $3, $4, $5, $6, b.key, $8, coalesce($9, now()), $10 FROM b
	ON CONFLICT (id) DO NOTHING
)
SELECT count(*) FROM b`

// CreateFile writes a file's row and its blob's. ErrStaleResult when the blob is being collected: the caller publishes its bytes under a new key.
func (l *Ledger) CreateFile(ctx context.Context, f millrace.File, key *store.Idempotency) error {
	id, ok := parseID(f.ID)
	if !ok {
		return fmt.Errorf("create file: %q is not an id", f.ID)
	}
	if key == nil {
		return again(ctx, "create file", func(ctx context.Context) error { return createFile(ctx, l.pool, id, f) })
	}
	return again(ctx, "create file", func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
			name := keyName{clean(key.Key), f.Tenant}
			used, err := takeKeys(ctx, tx, []idempotencyRow{{name, *key, id}})
			if err != nil {
				return err
			}
			if k, ok := used[name]; ok {
				if k.owner == id { // an earlier call whose answer was lost
					return nil
				}
				return &store.ReplayedError{Idempotency: k.Idempotency}
			}
			return createFile(ctx, tx, id, f)
		})
	})
}

// querier is the pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func createFile(ctx context.Context, db querier, id pgtype.UUID, f millrace.File) error {
	var job *pgtype.UUID
	if of, ok := parseID(f.Job); ok {
		job = &of
	}
	var blobs int
	err := db.QueryRow(ctx, createFileSQL, id, f.Tenant, clean(f.Name), f.Size, f.SHA256, clean(f.ContentType), f.Blob, job,
		orNever(f.CreatedAt), orNever(f.ExpiresAt)).Scan(&blobs)
	if err == nil && blobs == 0 {
		return fmt.Errorf("blob %s is being collected: %w", f.Blob, store.ErrStaleResult)
	}
	return err
}

const fileSQL = `SELECT ` + fileColumns + ` FROM files WHERE id = $2 AND tenant = $1`

// File reads one file.
func (l *Ledger) File(ctx context.Context, tenant, id string) (millrace.File, error) {
	key, ok := parseID(id)
	if !ok {
		return millrace.File{}, fmt.Errorf("read file: %w", store.ErrNotFound)
	}
	ctx, cancel := reading(ctx)
	defer cancel()
	f, err := scanFile(l.pool.QueryRow(ctx, fileSQL, tenant, key))
	return f, wrap("read file", err)
}

const listFilesSQL = `SELECT ` + fileColumns + ` FROM files
	WHERE tenant = $1 AND id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid) ORDER BY id DESC LIMIT $3`

// ListFiles reads a page of files, newest first.
func (l *Ledger) ListFiles(ctx context.Context, tenant, before string, limit int) ([]millrace.File, error) {
	var cursor *pgtype.UUID
	if before != "" {
		id, ok := parseID(before)
		if !ok {
			return nil, nil
		}
		cursor = &id
	}
	if limit <= 0 {
		limit = defaultPage
	}
	ctx, cancel := reading(ctx)
	defer cancel()
	rows, err := l.pool.Query(ctx, listFilesSQL, tenant, cursor, limit)
	if err != nil {
		return nil, wrap("list files", err)
	}
	files, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (millrace.File, error) { return scanFile(row) })
	return files, wrap("list files", err)
}

// neededFile says of a file f whether a live job needs it.
const neededFile = `(EXISTS (SELECT 1 FROM job_files n WHERE n.tenant = f.tenant AND n.file = f.id OFFSET 0)
	OR EXISTS (SELECT 1 FROM jobs n WHERE n.input = f.id AND n.finished_at IS NULL OFFSET 0))`

const deleteFileSQL = `
WITH gone AS (
	DELETE FROM files f WHERE f.id = $2 AND f.tenant = $1
		AND NOT ` + neededFile + `
	RETURNING f.blob
), loosened AS (
	UPDATE blobs SET loose = true WHERE key = ANY (ARRAY(SELECT blob FROM gone)) AND NOT loose
)
SELECT count(*) FROM gone`

// DeleteFile removes a file that no live job needs. The foreign key of job_files decides when a job is inserted at the same moment.
func (l *Ledger) DeleteFile(ctx context.Context, tenant, id string) error {
	key, ok := parseID(id)
	if !ok {
		return fmt.Errorf("delete file: %w", store.ErrNotFound)
	}
	var gone int
	err := again(ctx, "delete file", func(ctx context.Context) error {
		return l.pool.QueryRow(ctx, deleteFileSQL, tenant, key).Scan(&gone)
	})
	if code(err) == foreignKeyViolation {
		return fmt.Errorf("delete file: %w", store.ErrInUse)
	}
	if err != nil || gone > 0 {
		return err
	}
	if _, err := l.File(ctx, tenant, id); err != nil {
		return err
	}
	return fmt.Errorf("delete file: %w", store.ErrInUse)
}

const expireFilesSQL = `
WITH gone AS (
	DELETE FROM files WHERE id = ANY (ARRAY(
		SELECT f.id FROM files f WHERE f.job IS NULL AND f.expires_at <= now()
			AND NOT ` + neededFile + `
		ORDER BY f.expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))
	RETURNING blob
), loosened AS (
	UPDATE blobs SET loose = true WHERE key = ANY (ARRAY(SELECT blob FROM gone)) AND NOT loose
)
SELECT count(*) FROM gone`

// ExpireFiles deletes uploads whose time is over; outputs go with their jobs. A job that takes a file at the same moment fails the round, and the
// next try sees it.
func (l *Ledger) ExpireFiles(ctx context.Context, limit int) (n int, err error) {
	for try := 1; ; try++ {
		err = again(ctx, "expire files", func(ctx context.Context) error {
			return l.pool.QueryRow(ctx, expireFilesSQL, limit).Scan(&n)
		})
		if code(err) != foreignKeyViolation || try == tries {
			return n, err
		}
	}
}
