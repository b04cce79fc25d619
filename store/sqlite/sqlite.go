// Package sqlite is the ledger in one SQLite file, for Millrace on one machine. It is for one process: that process is the file's only opener,
// others reach it through store/remote. Production ledgers are PostgreSQL's (store/postgres).
//
// Every write goes through one goroutine, which commits all that waits at one moment as one durable transaction (see writer). Reads have a
// small pool of their own and never wait for a writer.
package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite" // the driver registers itself as "sqlite"

	"github.com/millrace/millrace/store"
)

// Config says where the ledger is.
type Config struct {
	Path string           // of the database file; made when missing, with mode 0600
	Now  func() time.Time // nil: time.Now. Every stored time comes from here
	Log  *slog.Logger     // nil: nothing is logged
	// Released is told of jobs that waited and are released now. It is called after the commit by whoever caused it. nil: nobody is told.
	Released func([]store.Release)
}

// Ledger is a store.Ledger in an SQLite file. It is safe for concurrent use.
type Ledger struct {
	path   string
	now    func() time.Time
	opened time.Time // of now, with its monotonic reading
	log    *slog.Logger
	tell   func([]store.Release)
	walks  walks

	reads   *sql.DB
	writes  *sql.DB
	writer  *writer
	closing sync.Once
	closed  error
}

var _ store.Ledger = (*Ledger)(nil)

// readers is the size of the read pool: reads are short, and more of them at once only queue for the same cores.
const readers = 4

// Open opens or makes the ledger and brings its schema up to date. store.ErrNewerSchema means that a newer Millrace has written it.
func Open(ctx context.Context, cfg Config) (*Ledger, error) {
	l := &Ledger{now: cfg.Now, log: cmp.Or(cfg.Log, slog.New(slog.DiscardHandler)), tell: cfg.Released}
	if l.now == nil {
		l.now = time.Now
	}
	l.opened = l.now()
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("path of the ledger: %w", err)
	}
	// SQLite would make it readable for everybody, and its companions take over the mode of the file.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l.path = path
	if err := l.open(ctx, path); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger %s: %w", path, err), l.Close())
	}
	return l, nil
}

func (l *Ledger) open(ctx context.Context, path string) (err error) {
	// FULL: the WAL is synced at every commit; NORMAL may lose the last commits when the power fails, and a 202 is a promise.
	if l.writes, err = sql.Open("sqlite", dsn(path, "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		"temp_store(MEMORY)", "journal_size_limit(67108864)", "cache_size(-16384)")); err != nil {
		return err
	}
	l.writes.SetMaxOpenConns(1)
	conn, err := l.writes.Conn(ctx)
	if err != nil {
		return err
	}
	if err := migrate(ctx, conn); err != nil {
		return errors.Join(err, conn.Close())
	}
	l.writer = startWriter(conn, l.clock)
	if l.reads, err = sql.Open("sqlite", dsn(path, "query_only(1)", "cache_size(-4096)")); err != nil {
		return err
	}
	l.reads.SetMaxOpenConns(readers)
	l.reads.SetMaxIdleConns(readers)
	return l.reads.PingContext(ctx)
}

// dsn names the file as a URI, so that no character of the path is taken for an option.
func dsn(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append([]string{"busy_timeout(10000)"}, pragmas...)}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// clock is the time of a transaction: wall is stored, mono measures.
func (l *Ledger) clock() (wall, mono int64) {
	now := l.now()
	return now.UnixMilli(), now.Sub(l.opened).Milliseconds()
}

// Close answers what was accepted, then closes the file.
func (l *Ledger) Close() error {
	l.closing.Do(func() {
		if l.reads != nil {
			l.closed = l.reads.Close()
		}
		if l.writer != nil {
			l.closed = errors.Join(l.closed, l.writer.stop())
		}
		if l.writes != nil {
			l.closed = errors.Join(l.closed, l.writes.Close())
		}
	})
	return l.closed
}

// Ping implements store.Ledger: it goes the way of every write.
func (l *Ledger) Ping(ctx context.Context) error {
	return l.write(ctx, func(*tx) error { return nil })
}

// Stats implements store.Ledger. They are those of the read pool; writes have one connection.
func (l *Ledger) Stats() store.PoolStats {
	s := l.reads.Stats()
	return store.PoolStats{
		Max: s.MaxOpenConnections, Open: s.OpenConnections, InUse: s.InUse, Idle: s.Idle, Waits: s.WaitCount, WaitTime: s.WaitDuration,
	}
}

// BlobStore implements store.Ledger.
func (l *Ledger) BlobStore(ctx context.Context, id string) error {
	var known string
	err := l.write(ctx, func(t *tx) (err error) {
		known, err = t.swapMeta("blob_store", id, false)
		return err
	})
	if err == nil && known != "" && known != id {
		return fmt.Errorf("%w: it knows %s, this one is %s", store.ErrOtherBlobStore, known, id)
	}
	return err
}

// Resume notes the nonce that a supervisor gives to all processes of one run of the server, and says whether the process before this one had
// the same. If so, workers of that process may live and come back under their ids; if not, nobody owns what is running.
func (l *Ledger) Resume(ctx context.Context, nonce string) (same bool, err error) {
	var before string
	err = l.write(ctx, func(t *tx) (err error) {
		before, err = t.swapMeta("run_nonce", nonce, true)
		return err
	})
	return err == nil && before == nonce, err
}

// swapMeta answers the value of the key, and writes another one where there is none or replace is set.
func (t *tx) swapMeta(key, value string, replace bool) (before string, err error) {
	err = t.row(`SELECT value FROM meta WHERE key = ?`, key).Scan(&before)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = t.exec(`INSERT INTO meta (key, value) VALUES (?, ?)`, key, value)
	} else if err == nil && replace && before != value {
		_, err = t.exec(`UPDATE meta SET value = ? WHERE key = ?`, value, key)
	}
	return before, err
}

// classify gives the driver's error the meaning that callers test for.
func classify(err error) error {
	const full = 13 // SQLITE_FULL; extended codes carry more in the upper bytes
	if e, ok := errors.AsType[*sqlite.Error](err); ok && e.Code()&0xff == full {
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	return err
}
