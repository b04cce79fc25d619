package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"modernc.org/sqlite"

	"github.com/millrace/millrace/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed temp.sql
var tempTables string

// migrate brings the file to the newest schema, one transaction per step, and makes the connection's temporary tables. The number of the last
// step lives in PRAGMA user_version. The write lock is taken before the number is read, so two processes that start at once do each step once.
func migrate(ctx context.Context, conn *sql.Conn) error {
	steps, err := readSteps()
	if err != nil {
		return err
	}
	for more := true; more; {
		if more, err = migrateOne(ctx, conn, steps); err != nil {
			return err
		}
	}
	if _, err := conn.ExecContext(ctx, tempTables); err != nil {
		return fmt.Errorf("make temporary tables: %w", err)
	}
	return nil
}

// step is one migration.
type step struct{ name, sql string }

func readSteps() ([]step, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var steps []step
	for _, name := range names {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step{strings.TrimPrefix(name, "migrations/"), string(text)})
	}
	for _, text := range future() {
		steps = append(steps, step{"future", text})
	}
	return steps, nil
}

// migrateOne does the next step and says whether there was one.
func migrateOne(ctx context.Context, conn *sql.Conn, steps []step) (more bool, err error) {
	if _, err := conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return false, fmt.Errorf("lock for migration: %w", err)
	}
	defer func() {
		if err != nil {
			_, undo := conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`)
			err = errors.Join(err, undo)
		}
	}()
	var version int
	if err := conn.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return false, err
	}
	// A schema serves the programs of the one before it, so one step ahead is fine: the next program is being rolled out.
	if version > len(steps)+1 {
		return false, fmt.Errorf("%w: schema %d, this program works on %d at most", store.ErrNewerSchema, version, len(steps)+1)
	}
	if more = version < len(steps); more {
		next := steps[version]
		// The pragma takes no parameters.
		if _, err := conn.ExecContext(ctx, next.sql+"\nPRAGMA user_version = "+strconv.Itoa(version+1)); err != nil {
			return false, fmt.Errorf("migration %s: %w", next.name, err)
		}
	}
	_, err = conn.ExecContext(ctx, `COMMIT`)
	return more, err
}

// isIdle says whether the error only tells that no transaction was open.
func isIdle(err error) bool {
	const generic = 1 // SQLITE_ERROR
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code() == generic && strings.Contains(e.Error(), "no transaction is active")
}
