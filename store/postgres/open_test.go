package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/postgres"
)

// TestOpenTogether starts eight processes' worth of ledgers on an empty database.
func TestOpenTogether(t *testing.T) {
	t.Parallel()
	const openers = 8
	dsn := testenv.Postgres(t)
	var log syncBuffer
	errs := make([]error, openers)
	var all sync.WaitGroup
	for i := range openers {
		all.Go(func() {
			l, err := postgres.Open(context.Background(), postgres.Config{DSN: dsn, MaxConns: 2, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if errs[i] = err; err == nil {
				errs[i] = errors.Join(l.Ping(context.Background()), l.Close())
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, dsn)
	var versions, highest, generations int
	err := conn.QueryRow(t.Context(), `SELECT count(*), max(version), (SELECT count(*) FROM generation) FROM schema_versions`).
		Scan(&versions, &highest, &generations)
	if err != nil || versions == 0 || versions != highest || generations != 1 {
		t.Errorf("%d migrations up to %d, %d generations, %v: want each migration once", versions, highest, generations, err)
	}
	if n := strings.Count(log.String(), "ledger migrated"); n != versions {
		t.Errorf("%d migrations were logged, want %d", n, versions)
	}
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestOpenWaits holds the lock of migrations: Open must wait for it, also when there is nothing to migrate any more.
func TestOpenWaits(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	conn := connect(t, dsn)
	exec(t, conn, "SELECT pg_advisory_lock($1)", int64(postgres.MigrationLock))
	opened := make(chan error, 1)
	go func() {
		l, err := postgres.Open(context.Background(), postgres.Config{DSN: dsn, Log: quiet()})
		if err == nil {
			err = l.Close()
		}
		opened <- err
	}()
	const waitsSQL = `SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database())`
	waits := false
	for deadline := time.Now().Add(30 * time.Second); !waits && time.Now().Before(deadline); {
		select {
		case err := <-opened:
			t.Fatalf("Open returned %v while another process held the lock", err)
		default:
		}
		if err := conn.QueryRow(t.Context(), waitsSQL).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	if !waits {
		t.Fatal("Open did not come to wait for the lock")
	}
	exec(t, conn, "SELECT pg_advisory_unlock($1)", int64(postgres.MigrationLock))
	if err := <-opened; err != nil {
		t.Errorf("Open after its turn came: %v", err)
	}
}

// TestOpenSchemaVersions: a ledger one version ahead is opened, one further ahead is refused.
func TestOpenSchemaVersions(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	if err := open(t, dsn).Close(); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, dsn)
	ahead := func(what string) {
		t.Helper()
		exec(t, conn, "INSERT INTO schema_versions (version, name) SELECT max(version) + 1, $1 FROM schema_versions", what)
	}
	ahead("the next release")
	next := open(t, dsn)
	if err := next.Insert(t.Context(), []store.NewJob{{Job: newJob()}})[0]; err != nil {
		t.Errorf("Insert into a ledger one version ahead: %v", err)
	}
	next.Close()
	ahead("the release after it")
	_, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, Log: quiet()})
	if !errors.Is(err, store.ErrNewerSchema) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Open = %v, want ErrNewerSchema on one line", err)
	}
}

// TestMigrationFails leaves nothing half done: the next start begins where this one did.
func TestMigrationFails(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	conn := connect(t, dsn)
	exec(t, conn, "CREATE TABLE leases (in_the_way int)")
	if _, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, Log: quiet()}); err == nil || !strings.Contains(err.Error(), "leases") {
		t.Fatalf("Open = %v, want an error about the table in the way", err)
	}
	exec(t, conn, "DROP TABLE leases")
	open(t, dsn)
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	lazy := testenv.Postgres(t)
	conn := connect(t, lazy)
	var name string
	if err := conn.QueryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "ALTER DATABASE "+name+" SET synchronous_commit = off")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()

	for _, tt := range []struct{ name, dsn, want string }{
		{"no DSN", "", "no DSN"},
		{"unreadable", "postgres://user:hunter2@host:notaport/db", "open PostgreSQL"},
		{"nobody listens", "postgres://user:hunter2@" + free.Addr().String() + "/db", "connection refused"},
		{"no such database", with(t, dsn, func(u *url.URL) { u.Path = "/absent" }), "absent"},
		{"commits are not awaited", lazy, "synchronous_commit"},
	} {
		_, err := postgres.Open(t.Context(), postgres.Config{DSN: tt.dsn, Log: quiet()})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Open = %v, want an error with %q", tt.name, err, tt.want)
			continue
		}
		if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: Open = %q, want one line without the password", tt.name, err)
		}
	}
}

func with(t *testing.T, dsn string, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

// TestSessions checks the settings on which plans and liveness rest, and that a DSN may name its own.
func TestSessions(t *testing.T) {
	t.Parallel()
	dsn := with(t, testenv.Postgres(t), func(u *url.URL) {
		q := u.Query()
		q.Set("application_name", "named-by-the-dsn")
		u.RawQuery = q.Encode()
	})
	l, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, MaxConns: 3, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, want := range map[string]string{
		"application_name": "named-by-the-dsn", "enable_seqscan": "off", "enable_nestloop": "off", "plan_cache_mode": "force_generic_plan",
		"jit": "off", "TimeZone": "UTC", "idle_in_transaction_session_timeout": "15s", "synchronous_commit": "on",
		"statement_timeout": "1min", "lock_timeout": "20s",
	} {
		var got string
		if err := l.Pool().QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", name, got, err, want)
		}
	}
	if s := l.Stats(); s.Max != 3 || s.Open < 1 || s.InUse != 0 {
		t.Errorf("Stats() = %+v, want at most 3, some open, none in use", s)
	}
}

func TestPingReadOnly(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	open(t, dsn)
	l := open(t, with(t, dsn, func(u *url.URL) {
		q := u.Query()
		q.Set("default_transaction_read_only", "on")
		u.RawQuery = q.Encode()
	}))
	if err := l.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("Ping = %v, want an error that says read-only", err)
	}
}
