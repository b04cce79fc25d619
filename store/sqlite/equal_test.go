package sqlite_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/sqlite"
)

// equalRows are jobs that compute the same.
func equalRows(n int) []store.NewJob {
	rows := make([]store.NewJob, n)
	for i := range rows {
		rows[i] = store.NewJob{Job: newJob(), Coalesce: true}
		rows[i].CacheKey = "k"
	}
	return rows
}

func insertRows(t *testing.T, l *sqlite.Ledger, rows ...store.NewJob) {
	t.Helper()
	for _, err := range l.Insert(t.Context(), rows) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestOldProgramEndsLeader: a program of the schema before, which went on with this file for a while, ended a job that others wait for.
func TestOldProgramEndsLeader(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"the upkeep", "the next insert"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			l := open(t, &clock{})
			rows := equalRows(3)
			insertRows(t, l, rows...)
			if err := l.Exec(t.Context(), `UPDATE jobs SET state = 'succeeded', due_at = NULL, finished_at = created_at, expires_at = created_at + 1000000,
				result = '1' WHERE state = 'queued'`); err != nil {
				t.Fatal(err)
			}
			if how == "the next insert" {
				next := equalRows(2)
				insertRows(t, l, next...)
				if next[0].State != millrace.Queued || next[1].State != millrace.Waiting {
					t.Errorf("the next are %s and %s, want one to lead", next[0].State, next[1].State)
				}
			}
			if n, err := l.ReleaseWaiting(t.Context(), 100); n != 2 || err != nil {
				t.Fatalf("ReleaseWaiting = %d, %v, want 2", n, err)
			}
			for _, r := range rows[1:] {
				if j, err := l.Job(t.Context(), r.Tenant, r.ID); err != nil || j.State != millrace.Succeeded || !j.Cached || string(j.Result) != "1" {
					t.Errorf("a job that waited = %+v, %v", j, err)
				}
			}
		})
	}
}

// TestReleasedIsTold: whoever opened the ledger hears of jobs that waited, after the commit, whatever released them.
func TestReleasedIsTold(t *testing.T) {
	t.Parallel()
	var news []store.Release
	l, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Released: func(r []store.Release) { news = append(news, r...) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	rows := equalRows(3)
	rows[1].Deadline = time.Now().Add(time.Hour)
	insertRows(t, l, rows...)
	if _, err := l.Cancel(t.Context(), "t", rows[0].ID); err != nil {
		t.Fatal(err)
	}
	claimed, err := l.Claim(t.Context(), register(t, l), []store.Delivery{{Job: rows[1].ID, Fence: 2}})
	if err != nil || claimed[0].Job == nil {
		t.Fatalf("Claim = %+v, %v", claimed, err)
	}
	if won, err := l.Finish(t.Context(), []store.Outcome{{Job: rows[1].ID, Fence: 3, Kind: store.OutcomeSucceeded}}); err != nil || !won[0] {
		t.Fatalf("Finish = %v, %v", won, err)
	}
	want := []store.Release{{Tenant: "t", Job: rows[1].ID, State: millrace.Queued}, {Tenant: "t", Job: rows[2].ID, State: millrace.Succeeded}}
	if !slices.Equal(news, want) {
		t.Errorf("told %+v, want %+v", news, want)
	}
}
