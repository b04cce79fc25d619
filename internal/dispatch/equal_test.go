package dispatch_test

import (
	"slices"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/testrig"
)

func TestEqualJobWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	ctx := t.Context()
	a, b := f.File("a", []byte("same")), f.File("b", []byte("same"))
	spec := f.spec(a.ID)
	spec.Cache = nil
	state := func(j *millrace.Job) []byte { return []byte(j.State) }
	spec.Key = &dispatch.Key{Key: "first", Hash: "h", Answer: state}
	first, err := f.Submit(ctx, spec)
	if err != nil || first.State != millrace.Queued {
		t.Fatalf("first Submit = %+v, %v", first, err)
	}
	spec.Inputs = []millrace.Input{{File: b.ID}}
	spec.Key = &dispatch.Key{Key: "second", Hash: "h", Answer: state}
	second, err := f.Submit(ctx, spec)
	if err != nil || second.State != millrace.Waiting || f.Job(second.ID).State != millrace.Waiting {
		t.Fatalf("second Submit = %+v, %v, want it to wait", second, err)
	}
	for key, want := range map[string]millrace.State{"first": millrace.Queued, "second": millrace.Waiting} {
		if kept, err := f.Ledger.Answer(ctx, millrace.DefaultTenant, key); err != nil || string(kept.Answer) != string(want) {
			t.Errorf("kept under %q: %q, %v, want %q", key, kept.Answer, err, want)
		}
	}
	batch := f.Batch(millrace.DefaultTenant, 3)
	spec.Key = nil
	batch.Add(t.Context(), spec)
	alone := f.spec(a.ID)
	batch.Add(t.Context(), alone)
	items, err := batch.Commit(ctx, nil)
	if err != nil || items[0].Err != nil || items[1].Err != nil {
		t.Fatalf("Commit = %+v, %v", items, err)
	}
	if got := f.Job(items[0].ID).State; got != millrace.Waiting {
		t.Errorf("an equal job of a batch is %s, want waiting", got)
	}
	if got := f.Job(items[1].ID).State; got != millrace.Queued {
		t.Errorf("a job that wants no cache is %s, want queued", got)
	}
	f.Go(f.Refill)
	testrig.Eventually(t, "two jobs in the queue", func() bool { return f.queued(t) == 2 })
	f.succeed(t, first, `{"n":1}`)
	for _, id := range []string{second.ID, items[0].ID} {
		if got := f.Job(id); got.State != millrace.Succeeded || !got.Cached || string(got.Result) != `{"n":1}` {
			t.Errorf("job that waited = %+v", got)
		}
	}
	if n := f.queued(t); n != 2 {
		t.Errorf("%d jobs in the queue, want the two that do not wait", n)
	}
}

// TestEqualJobsOfABatch: of equal jobs of one batch the first leads, and only it is sent.
func TestEqualJobsOfABatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	file := f.File("a", []byte("a"))
	spec := f.spec(file.ID)
	spec.Cache = nil
	batch := f.Batch(millrace.DefaultTenant, 4)
	for range 4 {
		batch.Add(t.Context(), spec)
	}
	items, err := batch.Commit(t.Context(), &dispatch.BatchKey{Key: "k", Hash: "h", Answer: func([]dispatch.BatchItem) []byte { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	var states []millrace.State
	for _, item := range items {
		states = append(states, f.Job(item.ID).State)
	}
	if want := []millrace.State{millrace.Queued, millrace.Waiting, millrace.Waiting, millrace.Waiting}; !slices.Equal(states, want) {
		t.Errorf("states = %v, want %v", states, want)
	}
	testrig.Eventually(t, "the leader in the queue", func() bool { return f.queued(t) == 1 })
}
