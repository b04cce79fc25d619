package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
)

// Blobs calls yield for each live blob, with its size in bytes, that a copy of a ledger knows. The copy must not be open elsewhere.
func Blobs(ctx context.Context, path string, yield func(key string, size int64) error) (err error) {
	db, err := openCopy(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, `SELECT key, size FROM blobs WHERE state = 'live' ORDER BY key`)
	return each(func(row scanner) error {
		var key string
		var size int64
		if err := row.Scan(&key, &size); err != nil {
			return err
		}
		return yield(key, size)
	})(rows, err)
}

// Verify says whether a copy of a ledger is whole.
func Verify(ctx context.Context, path string) (err error) {
	db, err := openCopy(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var said string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&said); err != nil {
		return err
	}
	if said != "ok" {
		return fmt.Errorf("the ledger's copy is not whole: %s", said)
	}
	return db.QueryRowContext(ctx, `SELECT 1 FROM meta WHERE key = 'generation'`).Scan(new(int))
}

func openCopy(path string) (*sql.DB, error) {
	path, err := filepath.Abs(path) // as a URI a relative path would name a host
	if err != nil {
		return nil, fmt.Errorf("path of the ledger's copy: %w", err)
	}
	db, err := sql.Open("sqlite", dsn(path, "query_only(1)"))
	if err != nil {
		return nil, fmt.Errorf("open copy of the ledger: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}
