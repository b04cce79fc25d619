package dispatch_test

import (
	"context"
	"errors"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/cache"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/sqlite"
	"github.com/millrace/millrace/tasks"
)

// staleLedger finds the result of each cached job gone, and is full when the job is to be written without it.
type staleLedger struct {
	*sqlite.Ledger
	full bool
}

func (l *staleLedger) Result(context.Context, string, string) (store.Result, error) {
	return store.Result{Result: []byte(`{}`)}, nil
}

func (l *staleLedger) InsertBatch(ctx context.Context, tenant string, key *store.Idempotency, jobs []store.NewJob, answer func([]error) []byte) ([]error, error) {
	if l.full {
		return nil, store.ErrFull
	}
	l.full = true
	errs := make([]error, len(jobs))
	for i, job := range jobs {
		if errs[i] = store.ErrStaleResult; !job.Cached {
			errs[i] = l.Ledger.Insert(ctx, jobs[i:i+1])[0]
		}
	}
	return errs, nil
}

// TestBatchWithoutItsCachedResult: when a job whose cached result is gone cannot be written after the others, it alone is refused.
func TestBatchWithoutItsCachedResult(t *testing.T) {
	t.Parallel()
	rig := testrig.New(t)
	types, err := tasks.NewList(echoType())
	if err != nil {
		t.Fatal(err)
	}
	results := cache.New(cache.Config{Redis: rig.Redis, Name: "results", Log: rig.Log})
	d := dispatch.New(dispatch.Config{Ledger: &staleLedger{Ledger: rig.Ledger}, Queue: rig.Queue, Signals: silence{}, Results: results, Types: types,
		Log: rig.Log, Committers: 1})
	rig.Go(d.Run)
	f := &fixture{Rig: rig, Dispatcher: d}
	plain := f.spec(f.File("a", []byte("a")).ID)
	cached := plain
	cached.Cache = nil
	b := d.Batch(millrace.DefaultTenant, 2)
	b.Add(t.Context(), cached)
	b.Add(t.Context(), plain)
	items, err := b.Commit(t.Context(), nil)
	if err != nil || len(items) != 2 {
		t.Fatalf("Commit = %+v, %v, want an item for each job", items, err)
	}
	if !errors.Is(items[0].Err, store.ErrFull) || millrace.KindOf(items[0].Err) != millrace.Unavailable || items[0].ID != "" {
		t.Errorf("the job whose result is gone = %+v, want the full disk", items[0])
	}
	if items[1].Err != nil || len(f.list(t)) != 1 || f.list(t)[0].ID != items[1].ID {
		t.Errorf("its neighbour = %+v, want it accepted", items[1])
	}
}
