package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/sqlite"
	"github.com/millrace/millrace/store/storetest"
)

// schema is what this program makes.
func schema(t *testing.T) int {
	t.Helper()
	steps, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(steps) == 0 {
		t.Fatalf("migrations: %v, %v", steps, err)
	}
	return len(steps)
}

// TestNextSchema: a ledger that the next version has brought up to date serves this one as before, whatever was added; the one after is refused.
func TestNextSchema(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := openAt(t, path, &clock{})
	old := insert(t, l, 1)[0]
	if err := l.Exec(t.Context(), `ALTER TABLE jobs ADD COLUMN colour TEXT`, `ALTER TABLE files ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'`,
		`ALTER TABLE schedules ADD COLUMN colour TEXT`, `CREATE TABLE colours (name TEXT PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	raise := func(l *sqlite.Ledger, to int) {
		t.Helper()
		if err := errors.Join(l.Pragma(t.Context(), fmt.Sprintf("user_version = %d", to)), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	raise(l, schema(t)+1)
	l = openAt(t, path, &clock{})
	w := register(t, l)
	for _, d := range append(insert(t, l, 1), old) {
		if c, err := l.Claim(t.Context(), w, []store.Delivery{d}); err != nil || c[0].Job == nil {
			t.Fatalf("Claim on the next schema = %+v, %v", c, err)
		}
	}
	if _, _, err := l.PutSchedule(t.Context(), millrace.Schedule{Tenant: "t", Name: "hourly", Cron: "@hourly", Job: []byte(`{}`)}); err != nil {
		t.Error(err)
	}
	storetest.Check(t.Context(), t, l, "t")

	raise(l, schema(t)+2)
	_, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if !errors.Is(err, store.ErrNewerSchema) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Open two schemas ahead = %v, want ErrNewerSchema in one line", err)
	}
	// Refused is untouched: the program it belongs to opens it still.
	db := openRaw(t, path)
	var version int
	if err := db.QueryRow(`PRAGMA user_version`).Scan(&version); err != nil || version != schema(t)+2 {
		t.Errorf("version after the refusal = %d, %v, want it unchanged", version, err)
	}
}

func openRaw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestFromFirst: a ledger of the first schema is brought up to date with what is in it, and what the first program writes can be worked on:
// it names only the columns that it knows.
func TestFromFirst(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	first, err := os.ReadFile("migrations/0001_jobs_files_blobs.sql")
	if err != nil {
		t.Fatal(err)
	}
	const insertAsFirst = `INSERT INTO jobs (id, tenant, type, state, priority, queue, fence, due_at, run, attempt, max_attempts, starts, crashes,
		cached, cache_key, timeout, retention, created_at, run_at, backoff)
		VALUES (?, 't', 'x', 'queued', 'normal', 'cpu.normal', 1, 1, 1, 0, 5, 0, 0, 0, '', 0, 0, 1, 1, '{}')`
	db := openRaw(t, path)
	if _, err := db.Exec(string(first) + "; PRAGMA user_version = 1"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(insertAsFirst, "before"); err != nil {
		t.Fatal(err)
	}
	l := openAt(t, path, &clock{})
	if err := l.Exec(t.Context(), strings.Replace(insertAsFirst, "?", "'after'", 1)); err != nil {
		t.Fatalf("insert as the first program does: %v", err)
	}
	w := register(t, l)
	for _, id := range []string{"before", "after"} {
		c, err := l.Claim(t.Context(), w, []store.Delivery{{Job: id, Fence: 1}})
		if err != nil || c[0].Job == nil {
			t.Fatalf("Claim(%s) = %+v, %v", id, c, err)
		}
		won, err := l.Finish(t.Context(), []store.Outcome{{Job: id, Tenant: "t", Fence: 2, Kind: store.OutcomeSucceeded}})
		if err != nil || !won[0] {
			t.Errorf("Finish(%s) = %v, %v", id, won, err)
		}
	}
	storetest.Check(t.Context(), t, l, "t")
}
