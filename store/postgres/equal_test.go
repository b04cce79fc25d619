package postgres_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/postgres"
)

// equalRows are jobs that compute the same.
func equalRows(key string, n int) []store.NewJob {
	rows := make([]store.NewJob, n)
	for i := range rows {
		rows[i] = store.NewJob{Job: newJob(), Coalesce: true}
		rows[i].CacheKey = key
	}
	return rows
}

func insertRows(t *testing.T, l *postgres.Ledger, rows ...store.NewJob) {
	t.Helper()
	for _, err := range l.Insert(t.Context(), rows) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestOldProgramEndsLeader: a program that knows nothing of equal jobs ends one that others wait for. Whoever comes next notices, or the upkeep does.
func TestOldProgramEndsLeader(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"the upkeep", "the next insert"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			l := open(t, testenv.Postgres(t))
			conn := session(t, l)
			old := oldStatements(t)["finishSQL"]
			prepare(t, conn, "finishSQL", old)
			rows := equalRows("k", 3)
			insertRows(t, l, rows...)
			o := claim(t, l, newWorker(t, l), []store.Delivery{{Job: rows[0].ID, Fence: 1}})[0]
			none := []*string{nil}
			if _, err := conn.Exec(t.Context(), old, []string{o.Job}, []int64{o.Fence}, []int{0}, []string{"succeeded"}, []string{"succeeded"}, none, none,
				none, none, []string{"0"}); err != nil {
				t.Fatal(err)
			}
			if got := get(t, l, rows[1].ID).State; got != millrace.Waiting {
				t.Fatalf("after the old program's outcome a job is %s, want waiting", got)
			}
			if how == "the next insert" {
				next := equalRows("k", 2)
				insertRows(t, l, next...)
				if next[0].State != millrace.Queued || next[1].State != millrace.Waiting {
					t.Errorf("the next are %s and %s, want one to lead", next[0].State, next[1].State)
				}
			}
			if n, err := l.ReleaseWaiting(t.Context(), 100); n != 2 || err != nil {
				t.Fatalf("ReleaseWaiting = %d, %v, want 2", n, err)
			}
			for _, r := range rows[1:] {
				if got := get(t, l, r.ID); got.State != millrace.Succeeded || !got.Cached {
					t.Errorf("a job that waited = %+v", got)
				}
			}
		})
	}
}

// TestReleasedIsTold: whoever opened the ledger hears of jobs that waited, after the commit, whatever released them.
func TestReleasedIsTold(t *testing.T) {
	t.Parallel()
	var (
		mu   sync.Mutex
		news []store.Release
	)
	l, err := postgres.Open(t.Context(), postgres.Config{DSN: testenv.Postgres(t), Log: quiet(), Released: func(r []store.Release) {
		mu.Lock()
		defer mu.Unlock()
		news = append(news, r...)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	rows := equalRows("k", 3)
	insertRows(t, l, rows...)
	if _, err := l.Cancel(t.Context(), millrace.DefaultTenant, rows[0].ID); err != nil {
		t.Fatal(err)
	}
	d := store.Delivery{Job: rows[1].ID, Fence: get(t, l, rows[1].ID).Fence}
	finish(t, l, claim(t, l, newWorker(t, l), []store.Delivery{d}))
	want := []store.Release{
		{Tenant: millrace.DefaultTenant, Job: rows[1].ID, State: millrace.Queued},
		{Tenant: millrace.DefaultTenant, Job: rows[2].ID, State: millrace.Succeeded},
	}
	if !slices.Equal(news, want) {
		t.Errorf("told %+v, want %+v", news, want)
	}
}
