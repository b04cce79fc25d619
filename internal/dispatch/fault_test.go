package dispatch_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/sqlite"
	"github.com/millrace/millrace/tasks"
)

// muteLedger commits what it is given and loses the answer, the first so many times.
type muteLedger struct {
	*sqlite.Ledger
	mute      atomic.Int64 // answers to lose
	calls     atomic.Int64
	unlimited atomic.Bool // a call came without a time limit
}

var errReset = errors.New("connection reset by peer")

func (l *muteLedger) lose(ctx context.Context) bool {
	if _, limited := ctx.Deadline(); !limited {
		l.unlimited.Store(true)
	}
	l.calls.Add(1)
	return l.mute.Add(-1) >= 0
}

func (l *muteLedger) Insert(ctx context.Context, jobs []store.NewJob) []error {
	lost := l.lose(ctx)
	errs := l.Ledger.Insert(ctx, jobs)
	for i := range errs {
		if lost {
			errs[i] = errors.Join(errs[i], errReset)
		}
	}
	return errs
}

func (l *muteLedger) InsertBatch(ctx context.Context, tenant string, key *store.Idempotency, jobs []store.NewJob, answer func([]error) []byte) ([]error, error) {
	lost := l.lose(ctx)
	errs, err := l.Ledger.InsertBatch(ctx, tenant, key, jobs, answer)
	if lost {
		return nil, errors.Join(err, errReset)
	}
	return errs, err
}

// newMute makes a dispatcher over a ledger that loses its first answers.
func newMute(t *testing.T, mute int64) (*fixture, *muteLedger, *lines) {
	t.Helper()
	rig := testrig.New(t)
	types, err := tasks.NewList(echoType())
	if err != nil {
		t.Fatal(err)
	}
	ledger, log := &muteLedger{Ledger: rig.Ledger}, &lines{}
	ledger.mute.Store(mute)
	d := dispatch.New(dispatch.Config{Ledger: ledger, Queue: rig.Queue, Signals: silence{}, Types: types, Log: slog.New(slog.NewTextHandler(log, nil)), Committers: 1})
	rig.Go(d.Run)
	return &fixture{Rig: rig, Dispatcher: d}, ledger, log
}

// lines counts what is logged.
type lines struct{ n atomic.Int64 }

func (l *lines) Write(p []byte) (int, error) {
	l.n.Add(1)
	return len(p), nil
}

func (f *fixture) list(t *testing.T) []*millrace.Job {
	t.Helper()
	jobs, err := f.Ledger.List(t.Context(), millrace.DefaultTenant, store.JobFilter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

func keyOf(hash string) *dispatch.Key {
	return &dispatch.Key{Key: "k", Hash: hash, Answer: func(j *millrace.Job) []byte { return []byte(j.ID) }}
}

// TestSubmitRepeatsUntilItKnows loses the answer to a commit, once and again: one job, and the caller hears of it.
func TestSubmitRepeatsUntilItKnows(t *testing.T) {
	t.Parallel()
	f, ledger, log := newMute(t, 3)
	spec := f.spec(f.File("a", []byte("a")).ID)
	spec.Key, spec.Unique = keyOf("h"), &millrace.Unique{Key: "u"}
	job, err := f.Submit(t.Context(), spec)
	if err != nil {
		t.Fatalf("Submit: %v", err)
	}
	if jobs := f.list(t); len(jobs) != 1 || jobs[0].ID != job.ID || ledger.calls.Load() != 4 {
		t.Errorf("after %d calls the ledger has %v, want job %s alone", ledger.calls.Load(), jobs, job.ID)
	}
	if ledger.unlimited.Load() {
		t.Error("a commit had no time limit")
	}
	if n := log.n.Load(); n != 2 {
		t.Errorf("%d lines were logged, want one for the beginning and one for the end", n)
	}
	_, err = f.Submit(t.Context(), spec)
	if r, ok := errors.AsType[*store.ReplayedError](err); !ok || r.Hash != "h" || string(r.Idempotency.Answer) != job.ID {
		t.Errorf("the repetition under its key = %v", err)
	}
}

// TestSubmitPromisesNothingWhenItCannotKnow keeps losing the answer for as long as the caller waits.
func TestSubmitPromisesNothingWhenItCannotKnow(t *testing.T) {
	t.Parallel()
	f, _, log := newMute(t, 1_000_000)
	spec := f.spec(f.File("a", []byte("a")).ID)
	for range 2 { // the second does not wait: the ledger is known to be away
		_, err := f.Submit(t.Context(), spec)
		e, ok := errors.AsType[*millrace.Error](err)
		if !ok || e.Kind != millrace.Unavailable || strings.Contains(e.Detail, "nothing was accepted") || strings.Contains(e.Detail, "reset by peer") {
			t.Errorf("Submit = %v, want unavailable in words that leave open whether the job was accepted", err)
		}
	}
	if jobs := f.list(t); len(jobs) != 2 {
		t.Errorf("the ledger has %d jobs, want the two whose answers were lost, once each", len(jobs))
	}
	if n := log.n.Load(); n != 1 {
		t.Errorf("%d lines were logged, want one for the outage", n)
	}
}

// TestBatchRepeatsUntilItKnows does the same to a batch.
func TestBatchRepeatsUntilItKnows(t *testing.T) {
	t.Parallel()
	f, _, _ := newMute(t, 2)
	file := f.File("a", []byte("a"))
	send := func(key *dispatch.BatchKey) ([]dispatch.BatchItem, error) {
		b := f.Batch(millrace.DefaultTenant, 3)
		b.Add(t.Context(), f.spec(file.ID))
		b.Refuse(millrace.Errorf(millrace.Malformed, "no job"))
		b.Add(t.Context(), f.spec(file.ID))
		return b.Commit(t.Context(), key)
	}
	items, err := send(nil)
	if err != nil || len(items) != 3 || items[0].Err != nil || items[1].Err == nil || items[2].Err != nil {
		t.Fatalf("Commit = %+v, %v", items, err)
	}
	if jobs := f.list(t); len(jobs) != 2 {
		t.Errorf("the ledger has %d jobs, want 2", len(jobs))
	}
	key := &dispatch.BatchKey{Key: "b", Hash: "h", Answer: func(items []dispatch.BatchItem) []byte { return []byte(items[0].ID + items[2].ID) }}
	if items, err = send(key); err != nil {
		t.Fatal(err)
	}
	_, err = send(key)
	if r, ok := errors.AsType[*store.ReplayedError](err); !ok || string(r.Idempotency.Answer) != items[0].ID+items[2].ID {
		t.Errorf("the repetition under its key = %v", err)
	}
	if jobs := f.list(t); len(jobs) != 4 {
		t.Errorf("the ledger has %d jobs, want 4", len(jobs))
	}
}
