// Package postgres is the ledger in PostgreSQL 13 or newer, for many processes at once.
//
// Every change of a job is one guarded statement: the state and the fence stand in its WHERE, so it does not matter who else writes at the same
// time. Time is the database's now(). Batches are single statements over unnest, sorted by id, in one round trip where nothing hangs on them.
//
// Plans do not hang on statistics. Statements are prepared once and planned generically, often while the tables are still empty; so sequential
// scans and free nested loops are off in the ledger's sessions, and each statement is written so that every plan left goes through an index:
// "id = ANY (…)" beside a join, LATERAL with OFFSET 0 where the order of a join matters. A test explains every statement on an empty database.
//
// It does not pool or group calls: internal/dispatch and internal/worker gather what arrives together. PgBouncer between is not supported.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/millrace/millrace/store"
)

// Config says where the database is.
type Config struct {
	DSN      string       // postgres://user:password@host:port/database?sslmode=…, or key=value pairs
	MaxConns int          // 0: pool_max_conns of the DSN, else pgx's default, max(4, number of cores)
	Log      *slog.Logger // nil: slog.Default()
	// Released is told of jobs that waited and are released now. It is called after the commit by whoever caused it. nil: nobody is told.
	Released func([]store.Release)
}

// Ledger is a store.Ledger.
type Ledger struct {
	pool   *pgxpool.Pool
	log    *slog.Logger
	claims claims
	files  fileCache
	tell   func([]store.Release)
	walks  walks
}

var _ store.Ledger = (*Ledger)(nil)

// Open connects, brings the schema up to date and checks that the server keeps what it confirms. Its errors are one line for an operator.
func Open(ctx context.Context, cfg Config) (*Ledger, error) {
	conf, err := poolConfig(cfg)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, conf)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", oneLine(err))
	}
	l := &Ledger{pool: pool, log: cmp.Or(cfg.Log, slog.Default()), tell: cfg.Released}
	if err := l.prepare(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return l, nil
}

// prepare uses one connection for everything that must be right before the first job.
func (l *Ledger) prepare(ctx context.Context) error {
	conn, err := l.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", oneLine(err))
	}
	defer conn.Release()
	if err := checkServer(ctx, conn.Conn(), l.log); err != nil {
		return err
	}
	return migrate(ctx, conn.Conn(), l.log)
}

// Close waits until every connection has been given back, and closes them.
func (l *Ledger) Close() error {
	l.pool.Close()
	return nil
}

const pingSQL = `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean`

// Ping answers nil when the database takes writes: a standby and a read-only database do not.
func (l *Ledger) Ping(ctx context.Context) error {
	var readOnly bool
	ctx, cancel := reading(ctx)
	defer cancel()
	if err := l.pool.QueryRow(ctx, pingSQL).Scan(&readOnly); err != nil {
		return wrap("ping", err)
	}
	if readOnly {
		return errors.New("the database is read-only: connect to the primary")
	}
	return nil
}

// Stats are the pool's figures.
func (l *Ledger) Stats() store.PoolStats {
	s := l.pool.Stat()
	return store.PoolStats{
		Max: int(s.MaxConns()), Open: int(s.TotalConns()), InUse: int(s.AcquiredConns()), Idle: int(s.IdleConns()),
		Waits: s.EmptyAcquireCount(), WaitTime: s.EmptyAcquireWaitTime(),
	}
}

const (
	noteSettingSQL = `INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`
	settingSQL     = `SELECT value FROM settings WHERE name = $1`
)

// BlobStore records the id of the blob store, or compares it with the one on record.
func (l *Ledger) BlobStore(ctx context.Context, id string) error {
	if _, err := l.pool.Exec(ctx, noteSettingSQL, "blob_store", id); err != nil {
		return wrap("record the blob store", err)
	}
	var known string
	if err := l.pool.QueryRow(ctx, settingSQL, "blob_store").Scan(&known); err != nil {
		return wrap("read the blob store's id", err)
	}
	if known != id {
		return store.ErrOtherBlobStore
	}
	return nil
}
