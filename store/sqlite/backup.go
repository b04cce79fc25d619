package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Backup writes a consistent copy of the ledger, as it is when Backup begins to read, into a new file: whole and synced when Backup returns, or
// not there. Writing goes on meanwhile; the copy is compact and opens as any ledger does. An existing file is left alone: fs.ErrExist.
func (l *Ledger) Backup(ctx context.Context, path string) error {
	if err := l.backup(ctx, path); err != nil {
		return fmt.Errorf("back up the ledger to %s: %w", path, classify(err))
	}
	return nil
}

func (l *Ledger) backup(ctx context.Context, path string) (err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return err
	}
	// SQLite fills an empty file; made here it is readable for the owner alone.
	part, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, ignoreMissing(os.Remove(part.Name())), part.Close())
	}()
	if err := l.copyInto(ctx, part.Name()); err != nil {
		return err
	}
	if err := part.Sync(); err != nil {
		return err
	}
	if err := os.Link(part.Name(), path); err != nil { // and not a rename, which would replace what is there
		return err
	}
	return syncDir(filepath.Dir(path))
}

// copyInto reads through a connection of its own, in one read transaction: readers of the pool may not write at all, and the writer is free.
func (l *Ledger) copyInto(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", dsn(l.path, "cache_size(-4096)"))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, path)
	return errors.Join(err, db.Close())
}

// syncDir makes a new name in the directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
