package postgres_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/postgres"
)

// oldStatements are those of the last program that knew schema 1 alone.
func oldStatements(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/statements_v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestOldProgramGoesOn: while a fleet is upgraded, programs of the version before work in the new schema beside those of this one.
func TestOldProgramGoesOn(t *testing.T) {
	t.Parallel()
	l := open(t, testenv.Postgres(t))
	conn := session(t, l)
	old := oldStatements(t)
	for name, sql := range old {
		prepare(t, conn, name, sql)
	}
	old1 := func(name string, args ...any) (count int) {
		t.Helper()
		rows, err := conn.Query(t.Context(), old[name], args...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for rows.Next() {
			count++
		}
		if err := rows.Err(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return count
	}
	w := newWorker(t, l)
	input := uploaded(t, l)
	j := newJob()
	j.Inputs = []millrace.Input{{File: input.ID}}
	if err := l.Insert(t.Context(), []store.NewJob{{Job: j}})[0]; err != nil {
		t.Fatal(err)
	}
	claimOld := func(fence int64) {
		t.Helper()
		if n := old1("claimSQL", []string{j.ID}, []int64{fence}, []int{0}, w); n != 1 {
			t.Fatalf("the old program claimed %d jobs, want 1", n)
		}
	}
	claimOld(1)
	if got := get(t, l, j.ID); got.State != millrace.Running || got.WorkerID != w || len(got.Attempts) != 1 || got.Attempts[0].Worker != w {
		t.Fatalf("a job that the old program claimed = %+v", got)
	}
	if workers, err := l.Workers(t.Context()); err != nil || len(workers) != 1 || !slices.Equal(workers[0].Running, []string{j.ID}) {
		t.Errorf("Workers = %+v, %v, want one that runs the job", workers, err)
	}
	// Its file is safe from the old program, whose statement knows of job_files alone.
	if _, err := conn.Exec(t.Context(), old["deleteFileSQL"], j.Tenant, input.ID); err == nil {
		t.Error("the old program deleted the input of a live job")
	}
	if err := l.Bury(t.Context(), w, store.Death{}); err != nil {
		t.Fatal(err)
	}
	if n, err := l.Rescue(t.Context()); n != 1 || err != nil {
		t.Fatalf("Rescue of what the old program had claimed = %d, %v, want 1", n, err)
	}
	w = newWorker(t, l)
	claimOld(3)
	none := []*string{nil}
	if n := old1("finishSQL", []string{j.ID}, []int64{4}, []int{0}, []string{"succeeded"}, []string{"succeeded"}, none, none, none, none,
		[]string{"0"}); n != 1 {
		t.Fatalf("the old program finished %d jobs, want 1", n)
	}
	got := get(t, l, j.ID)
	if got.State != millrace.Succeeded || len(got.Attempts) != 2 || got.Attempts[1].Outcome != millrace.AttemptSucceeded {
		t.Errorf("a job that the old program finished = %+v", got)
	}
}

// undo is what a crash of the server does to claims whose commit did not wait for the disk: the rows are as they were.
func undo(t *testing.T, l *postgres.Ledger, id string) {
	t.Helper()
	_, err := l.Pool().Exec(t.Context(), `UPDATE jobs SET state = 'queued', fence = fence - 1, attempt = 0, starts = 0, owner = NULL, sent_gen = 7 WHERE id = $1`, id)
	if err != nil {
		t.Fatal(err)
	}
}

// TestUndoneClaim: an attempt whose claim is lost hears so, and its job, whose delivery is spent, is owed at once under a fence of its own.
func TestUndoneClaim(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"at the beat", "at the outcome"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			l := open(t, testenv.Postgres(t))
			w := newWorker(t, l)
			o := claim(t, l, w, insert(t, l, 1))[0]
			undo(t, l, o.Job)
			if how == "at the beat" {
				reply, err := l.Beat(t.Context(), store.Beat{Worker: w, Running: []store.Holding{{Job: o.Job, Fence: o.Fence}}})
				if err != nil || len(reply.Lost) != 1 {
					t.Fatalf("Beat = %+v, %v, want the attempt lost", reply, err)
				}
			} else if won, err := l.Finish(t.Context(), []store.Outcome{o}); err != nil || won[0] {
				t.Fatalf("Finish = %v, %v, want it lost", won, err)
			}
			owed, err := l.Owed(t.Context(), map[string]int{"cpu.normal": 10})
			if err != nil || len(owed) != 1 || owed[0].Fence <= o.Fence {
				t.Fatalf("Owed = %+v, %v, want the job under a fence above %d", owed, err, o.Fence)
			}
			next := claim(t, l, newWorker(t, l), []store.Delivery{owed[0].Delivery})[0]
			if won, err := l.Finish(t.Context(), []store.Outcome{o}); err != nil || won[0] {
				t.Errorf("Finish of the lost attempt beside the next = %v, %v, want it lost", won, err)
			}
			finish(t, l, []store.Outcome{next})
		})
	}
}

// TestHoldsStaySmall: what a worker has ended is taken out of the list of what it may run, and so is what another process ended for it.
func TestHoldsStaySmall(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	l, other := open(t, dsn), open(t, dsn)
	w := newWorker(t, l)
	holds := func() (n int) {
		t.Helper()
		if err := l.Pool().QueryRow(t.Context(), "SELECT coalesce(max(cardinality(jobs)), 0) FROM holds").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 20 {
		finish(t, l, claim(t, l, w, insert(t, l, 8)))
	}
	if n := holds(); n > 16 {
		t.Errorf("holds has %d jobs of a worker that ran 8 at a time", n)
	}
	running := claim(t, l, w, insert(t, l, 3))
	finish(t, other, claim(t, l, w, insert(t, l, 1100)))
	if err := other.Leave(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if _, err := other.BurySilent(t.Context(), 1<<40); err != nil {
		t.Fatal(err)
	}
	if n := holds(); n != len(running) {
		t.Errorf("holds has %d jobs after the upkeep, want the %d that run", n, len(running))
	}
	if n, err := other.Rescue(t.Context()); n != len(running) || err != nil {
		t.Errorf("Rescue = %d, %v, want %d", n, err, len(running))
	}
	if _, err := other.BurySilent(t.Context(), 1<<40); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := l.Pool().QueryRow(t.Context(), "SELECT count(*) FROM holds").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows of workers that are gone, %v, want none", rows, err)
	}
}

// TestKeysInOppositeOrder: two processes insert the same keys in opposite orders, again and again. Each key is won once and nobody fails.
func TestKeysInOppositeOrder(t *testing.T) {
	t.Parallel()
	const rounds, width = 20, 12
	dsn := testenv.Postgres(t)
	ledgers := []*postgres.Ledger{open(t, dsn), open(t, dsn)}
	for round := range rounds {
		answers := make([][]error, len(ledgers))
		done := make(chan struct{})
		for i, l := range ledgers {
			var rows []store.NewJob
			for n := range width {
				if i == 1 {
					n = width - 1 - n
				}
				j := newJob()
				j.Unique = &millrace.Unique{Key: fmt.Sprintf("u-%d-%d", round, (n*5)%width)}
				rows = append(rows, store.NewJob{Job: j, Idempotency: &store.Idempotency{Key: fmt.Sprintf("i-%d-%d", round, n), Hash: "h"}})
			}
			go func() {
				answers[i] = l.Insert(t.Context(), rows)
				done <- struct{}{}
			}()
		}
		for range ledgers {
			<-done
		}
		won := 0
		for _, errs := range answers {
			for _, err := range errs {
				switch {
				case err == nil:
					won++
				case !isRefusal(err):
					t.Fatalf("round %d: %v", round, err)
				}
			}
		}
		if won != width {
			t.Fatalf("round %d: %d jobs were written under %d keys", round, won, width)
		}
	}
}

func isRefusal(err error) bool {
	_, replayed := errors.AsType[*store.ReplayedError](err)
	_, held := errors.AsType[*store.HeldError](err)
	return replayed || held
}
