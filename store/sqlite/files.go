package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

const fileSQL = `SELECT ` + fileColumns + ` FROM files WHERE id = ? AND tenant = ?`

// CreateFile implements store.Files. store.ErrStaleResult means that the blob is being collected: publish the bytes anew.
func (l *Ledger) CreateFile(ctx context.Context, f millrace.File, key *store.Idempotency) error {
	key = copyKey(key)
	return l.write(ctx, func(t *tx) error {
		_, err := scanFile(t.row(fileSQL, f.ID, f.Tenant))
		if !errors.Is(err, sql.ErrNoRows) {
			return err // nil: an earlier call whose answer was lost
		}
		if err := t.unreplayed(f.Tenant, key); err != nil {
			return err
		}
		if err := t.refer(f.Tenant, f.Blob, f.SHA256, f.Size); err != nil {
			return fmt.Errorf("create file %s: %w", f.ID, err)
		}
		created := ms(f.CreatedAt)
		if !created.Valid {
			created = sql.NullInt64{Int64: t.now, Valid: true}
		}
		if _, err := t.exec(insertFileSQL, f.ID, f.Tenant, f.Name, f.Size, f.SHA256, f.ContentType, f.Blob, text(f.Job), created,
			ms(f.ExpiresAt)); err != nil {
			return err
		}
		return t.keep(f.Tenant, key)
	})
}

// File implements store.Files.
func (l *Ledger) File(ctx context.Context, tenant, id string) (millrace.File, error) {
	f, err := scanFile(l.reads.QueryRowContext(ctx, fileSQL, id, tenant))
	if errors.Is(err, sql.ErrNoRows) {
		return f, fmt.Errorf("file: %w", store.ErrNotFound)
	}
	if err != nil {
		return f, fmt.Errorf("read file: %w", err)
	}
	return f, nil
}

// ListFiles implements store.Files.
func (l *Ledger) ListFiles(ctx context.Context, tenant, before string, limit int) ([]millrace.File, error) {
	if before == "" {
		before = lastID
	}
	var files []millrace.File
	err := each(func(row scanner) error {
		f, err := scanFile(row)
		files = append(files, f)
		return err
	})(l.reads.QueryContext(ctx, `SELECT `+fileColumns+` FROM files INDEXED BY files_list WHERE tenant = ? AND id < ?
		ORDER BY id DESC LIMIT ?`, tenant, before, limit))
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	return files, nil
}

// DeleteFile implements store.Files.
func (l *Ledger) DeleteFile(ctx context.Context, tenant, id string) error {
	return l.write(ctx, func(t *tx) error {
		f, err := scanFile(t.row(fileSQL, id, tenant))
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("file: %w", store.ErrNotFound)
		}
		if err != nil {
			return err
		}
		if err := t.unused(id); err != nil {
			return err
		}
		return t.deleteFile(f)
	})
}

// deleteFile removes a file that no live job needs. A cached result does not outlive its files.
func (t *tx) deleteFile(f millrace.File) error {
	if f.Job != "" {
		if _, err := t.exec(`DELETE FROM results WHERE (tenant, cache_key) = (SELECT tenant, cache_key FROM jobs WHERE id = ?1) AND job = ?1`,
			f.Job); err != nil {
			return err
		}
	}
	_, err := t.exec(`DELETE FROM files WHERE id = ?`, f.ID)
	return err
}
