package postgres

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrationLock is the advisory lock under which migrations run: any number that nobody else in the database uses.
const migrationLock = 7_423_109_455

// migration is one numbered file. Numbers start at 1 and have no holes; a file that has been released never changes.
type migration struct {
	version int
	name    string
	sql     string
}

func readMigrations() ([]migration, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "migrations/"), ".sql")
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("migration %s has no number", file)
		}
		sql, err := migrations.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all = append(all, migration{version, name, string(sql)})
	}
	for i, sql := range future() {
		all = append(all, migration{len(files) + 1 + i, "future", sql})
	}
	slices.SortFunc(all, func(a, b migration) int { return cmp.Compare(a.version, b.version) })
	for i, m := range all {
		if m.version != i+1 {
			return nil, fmt.Errorf("migration %d is missing before %s", i+1, m.name)
		}
	}
	return all, nil
}

// migrate brings the schema forward, or finds it one version ahead: a migration only adds, so that while a fleet is upgraded the programs of the
// version before go on. What is further ahead is refused. Each file runs in a transaction of its own. Processes that start together take turns; the
// later ones find the work done.
func migrate(ctx context.Context, conn *pgx.Conn, log *slog.Logger) error {
	all, err := readMigrations()
	if err != nil {
		return err
	}
	newest := all[len(all)-1].version
	for {
		var done int
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			version, err := schemaVersion(ctx, tx)
			done = version
			if err != nil || version >= newest {
				return err
			}
			m := all[version]
			if err := m.apply(ctx, tx); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			done = m.version
			log.Info("ledger migrated", "migration", m.name)
			return nil
		})
		switch {
		case err != nil:
			return fmt.Errorf("migrate the ledger: %w", oneLine(err))
		case done > newest+1:
			return fmt.Errorf("open the ledger: its schema is version %d, this program knows %d: %w", done, newest, store.ErrNewerSchema)
		case done >= newest:
			return nil
		}
	}
}

// The simple protocol runs a file of several statements, and leaves nothing prepared that the next migration would invalidate.
const (
	// Whoever migrates a big ledger may take its time, and so may those who wait for it.
	patientSQL    = `SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0`
	lockSchemaSQL = `SELECT pg_advisory_xact_lock($1)`
	versionsSQL   = `CREATE TABLE IF NOT EXISTS schema_versions (
		version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`
	schemaVersionSQL = `SELECT coalesce(max(version), 0) FROM schema_versions`
	hasVersionsSQL   = `SELECT to_regclass('schema_versions') IS NOT NULL`
	noteVersionSQL   = `INSERT INTO schema_versions (version, name) VALUES ($1, $2)`
)

// schemaVersion takes the lock, which lasts as long as the transaction, and reads the version behind it.
func schemaVersion(ctx context.Context, tx pgx.Tx) (version int, err error) {
	if _, err := tx.Exec(ctx, patientSQL, pgx.QueryExecModeSimpleProtocol); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, lockSchemaSQL, pgx.QueryExecModeSimpleProtocol, int64(migrationLock)); err != nil {
		return 0, err
	}
	var there bool
	if err := tx.QueryRow(ctx, hasVersionsSQL, pgx.QueryExecModeSimpleProtocol).Scan(&there); err != nil {
		return 0, err
	}
	if !there {
		_, err := tx.Exec(ctx, versionsSQL, pgx.QueryExecModeSimpleProtocol)
		return 0, err
	}
	err = tx.QueryRow(ctx, schemaVersionSQL, pgx.QueryExecModeSimpleProtocol).Scan(&version)
	return version, err
}

func (m migration) apply(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, m.sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, noteVersionSQL, pgx.QueryExecModeSimpleProtocol, m.version, m.name)
	return err
}
