package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/millrace/millrace/internal/mutant"
	"github.com/millrace/millrace/store"
)

// tx is the open transaction. Its context is nobody's: a caller who goes away must not cancel his neighbours' commit.
type tx struct {
	*writer
	now  int64           // wall clock, milliseconds since 1970
	mono int64           // monotonic, milliseconds since the ledger was opened
	news []store.Release // of the op that runs
}

// begin opens the transaction. Should an earlier rollback have failed, its remains are in the way: they are removed first.
func (t *tx) begin(lazy bool) error {
	err := t.open(lazy)
	if err == nil {
		return nil
	}
	if undo := t.rollback(); undo != nil {
		return errors.Join(err, undo)
	}
	return t.open(lazy)
}

// open begins a transaction whose commit is synced unless it is lazy. The pragma works when it is prepared, so no prepared statement is kept
// for it.
func (t *tx) open(lazy bool) error {
	if lazy != t.lazy {
		level := `PRAGMA synchronous = FULL`
		if lazy {
			level = `PRAGMA synchronous = NORMAL`
		}
		if _, err := t.conn.ExecContext(context.Background(), level); err != nil {
			return fmt.Errorf("%s: %w", level, err)
		}
		t.lazy = lazy
	}
	_, err := t.exec(`BEGIN IMMEDIATE`)
	return err
}

func (t *tx) rollback() error {
	// "no transaction is active" is what SQLite says when it has rolled back by itself: what we want.
	if _, err := t.conn.ExecContext(context.Background(), `ROLLBACK`); err != nil && !isIdle(err) {
		return fmt.Errorf("rollback: %w", err)
	}
	return nil
}

// stmt prepares each text once; all texts are constants of this package.
func (t *tx) stmt(query string) (*sql.Stmt, error) {
	if s, ok := t.stmts[query]; ok {
		return s, nil
	}
	s, err := t.conn.PrepareContext(context.Background(), mutant.SQL(query))
	if err != nil {
		return nil, fmt.Errorf("prepare %.40q: %w", query, err)
	}
	t.stmts[query] = s
	return s, nil
}

// exec runs a statement and says how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	s, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// row runs a statement that answers one row; scan it at once.
func (t *tx) row(query string, args ...any) scanner {
	s, err := t.stmt(query)
	if err != nil {
		return failed{err}
	}
	return s.QueryRowContext(context.Background(), args...)
}

// rows calls scan for each row that the statement answers.
func (t *tx) rows(scan func(scanner) error, query string, args ...any) error {
	s, err := t.stmt(query)
	if err != nil {
		return err
	}
	return each(scan)(s.QueryContext(context.Background(), args...))
}

// scanner is a row: *sql.Row or *sql.Rows.
type scanner interface {
	Scan(dest ...any) error
}

type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }

// each reads a whole answer, so that no statement stays open.
func each(scan func(scanner) error) func(*sql.Rows, error) error {
	return func(rows *sql.Rows, err error) error {
		if err != nil {
			return err
		}
		for rows.Next() {
			if err := scan(rows); err != nil {
				return errors.Join(err, rows.Close())
			}
		}
		return errors.Join(rows.Err(), rows.Close())
	}
}
