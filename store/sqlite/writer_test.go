package sqlite_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/sqlite"
	"github.com/millrace/millrace/store/storetest"
)

// grouped keeps the writer busy, starts fs one after the other so that all of them wait, then lets them go as one group.
func grouped(t *testing.T, l *sqlite.Ledger, fs ...func()) {
	t.Helper()
	var wg sync.WaitGroup
	started, release := make(chan struct{}), make(chan struct{})
	wg.Go(func() {
		if err := l.Hold(context.Background(), started, release); err != nil {
			t.Errorf("Hold: %v", err)
		}
	})
	<-started
	for i, fn := range fs {
		wg.Go(fn)
		for l.Waiting() <= i {
			runtime.Gosched()
		}
	}
	close(release)
	wg.Wait()
}

// TestGroup: one who fails in a group is undone alone.
func TestGroup(t *testing.T) {
	t.Parallel()
	l := open(t, &clock{})
	first, last := newJob(), newJob()
	var before, bad, after error
	grouped(t, l,
		func() { before = l.Insert(context.Background(), []store.NewJob{{Job: first}})[0] },
		func() {
			bad = l.Exec(context.Background(), `INSERT INTO job_tags (tenant, tag, job) VALUES ('t', 'half', 'x')`, `INSERT INTO no_table VALUES (1)`)
		},
		func() { after = l.Insert(context.Background(), []store.NewJob{{Job: last}})[0] },
	)
	if before != nil || bad == nil || after != nil {
		t.Errorf("errors of the group = %v, %v, %v, want only the second's", before, bad, after)
	}
	for _, j := range []*millrace.Job{first, last} {
		if _, err := l.Job(t.Context(), "t", j.ID); err != nil {
			t.Errorf("Job: %v", err)
		}
	}
	// Had the first half stayed, writing it again would break its primary key.
	if err := l.Exec(t.Context(), `INSERT INTO job_tags (tenant, tag, job) VALUES ('t', 'half', 'x')`); err != nil {
		t.Errorf("the failed one left something behind: %v", err)
	}
}

// TestGroupFull: when SQLite itself gives up the transaction, nobody is told that his part is durable.
func TestGroupFull(t *testing.T) {
	t.Parallel()
	l := open(t, &clock{})
	insert(t, l, 1)
	if err := l.Pragma(t.Context(), "max_page_count = 1"); err != nil {
		t.Fatal(err)
	}
	small, big := newJob(), newJob()
	big.Params = make([]byte, 1<<20)
	var smallErr, bigErr error
	grouped(t, l,
		func() { smallErr = l.Insert(context.Background(), []store.NewJob{{Job: small}})[0] },
		func() { bigErr = l.Insert(context.Background(), []store.NewJob{{Job: big}})[0] },
	)
	if !errors.Is(bigErr, store.ErrFull) {
		t.Errorf("Insert of the big one = %v, want ErrFull", bigErr)
	}
	if _, err := l.Job(t.Context(), "t", small.ID); (err == nil) != (smallErr == nil) {
		t.Errorf("Insert of the small one = %v, but Job = %v", smallErr, err)
	}
	if err := l.Pragma(t.Context(), "max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	insert(t, l, 1)
}

// TestGone: a caller that goes away before its turn writes nothing and cancels nobody.
func TestGone(t *testing.T) {
	t.Parallel()
	l := open(t, &clock{})
	ctx, cancel := context.WithCancel(t.Context())
	gone, stays := newJob(), newJob()
	var goneErr, staysErr error
	grouped(t, l,
		func() { goneErr = l.Insert(ctx, []store.NewJob{{Job: gone}})[0] },
		func() { cancel(); staysErr = l.Insert(context.Background(), []store.NewJob{{Job: stays}})[0] },
	)
	if !errors.Is(goneErr, context.Canceled) || staysErr != nil {
		t.Errorf("Insert = %v and %v, want canceled and nil", goneErr, staysErr)
	}
	if _, err := l.Job(t.Context(), "t", gone.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Job of who went away = %v, want ErrNotFound", err)
	}
}

// TestClose: what was accepted before Close is answered; afterwards there is an error, never a wait.
func TestClose(t *testing.T) {
	t.Parallel()
	l := open(t, &clock{})
	jobs := make([]*millrace.Job, 20)
	errs := make([]error, len(jobs))
	var fs []func()
	for i := range jobs {
		jobs[i] = newJob()
		fs = append(fs, func() { errs[i] = l.Insert(context.Background(), []store.NewJob{{Job: jobs[i]}})[0] })
	}
	grouped(t, l, fs...)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for l.Ping(context.Background()) == nil {
				runtime.Gosched()
			}
		})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("Insert %d: %v", i, err)
		}
	}
}

// TestManyCallers: group commit under real concurrency loses and doubles nothing.
func TestManyCallers(t *testing.T) {
	t.Parallel()
	l := open(t, &clock{})
	const callers, each = 16, 20
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				j := newJob()
				if err := l.Insert(context.Background(), []store.NewJob{{Job: j}})[0]; err != nil {
					t.Errorf("Insert: %v", err)
				}
				if _, err := l.Job(context.Background(), "t", j.ID); err != nil {
					t.Errorf("Job right after Insert: %v", err)
				}
			}
		})
	}
	wg.Wait()
	list, err := l.List(t.Context(), "t", store.JobFilter{})
	if err != nil || len(list) != callers*each {
		t.Errorf("List = %d jobs, %v, want %d", len(list), err, callers*each)
	}
	storetest.Check(t.Context(), t, l, "t")
}

// TestSynced: what must survive a loss of power is synced at its commit, also right after and together with what need not be.
func TestSynced(t *testing.T) {
	t.Parallel()
	l := open(t, &clock{})
	const full, normal = "2", "1"
	seen := func() (lazy, durable string) {
		t.Helper()
		for to, level := range map[*string]func(context.Context, string) (string, error){&lazy: l.LazyPragma, &durable: l.ReadPragma} {
			var err error
			if *to, err = level(t.Context(), "synchronous"); err != nil {
				t.Fatal(err)
			}
		}
		return lazy, durable
	}
	for range 3 {
		if lazy, durable := seen(); lazy != normal || durable != full {
			t.Errorf("synchronous = %s for a lazy write, %s for another, want %s and %s", lazy, durable, normal, full)
		}
	}
	var lazy, durable string
	grouped(t, l,
		func() { lazy, _ = l.LazyPragma(context.Background(), "synchronous") },
		func() { durable, _ = l.ReadPragma(context.Background(), "synchronous") },
	)
	if lazy != full || durable != full {
		t.Errorf("synchronous in a mixed group = %s and %s, want %s", lazy, durable, full)
	}
}
