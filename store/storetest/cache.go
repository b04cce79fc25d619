package storetest

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func cacheTests() []test {
	return []test{
		{"a result is found", testResult},
		{"a hit has files of its own", testCachedJob},
		{"a stale result", testStaleResult},
		{"dies with its output's file", testResultFileDeleted},
		{"only success is cached", testResultOnlySuccess},
	}
}

// computed ends a job with one output under a new cache key.
func (f *fixture) computed() (*millrace.Job, store.NewOutput) {
	f.Helper()
	out := f.output("a.zst")
	j := f.running(f.worker(), func(j *millrace.Job) { j.CacheKey = newSum() })
	return f.end(j, store.OutcomeSucceeded, outputs(out)), out
}

// hit is a job that shares the output of another.
func (f *fixture) hit(of *millrace.Job) store.NewJob {
	n := store.NewJob{Job: f.job(func(j *millrace.Job) {
		j.State, j.Cached, j.CacheKey, j.Result = millrace.Succeeded, true, of.CacheKey, of.Result
	})}
	for _, out := range of.Outputs {
		n.From = append(n.From, out.File)
		out.File = newID()
		n.Outputs = append(n.Outputs, out)
	}
	return n
}

func testResult(f *fixture) {
	j, out := f.computed()
	r, err := f.Ledger.Result(f.ctx, f.tenant, j.CacheKey)
	f.must(err)
	if r.Job != j.ID || !sameJSON(r.Result, j.Result) || !cmp.Equal(r.Outputs, []millrace.Output{out.Output}) {
		f.Errorf("Result = %+v", r)
	}
	for _, tt := range []struct{ tenant, key string }{{f.other, j.CacheKey}, {f.tenant, newSum()}, {f.tenant, ""}} {
		if r, err := f.Ledger.Result(f.ctx, tt.tenant, tt.key); !errors.Is(err, store.ErrNotFound) {
			f.Errorf("Result(%q, %q) = %+v, %v, want ErrNotFound", tt.tenant, tt.key, r, err)
		}
	}
	newer := f.end(f.running(f.worker(), func(n *millrace.Job) { n.CacheKey = j.CacheKey }), store.OutcomeSucceeded)
	if r, err = f.Ledger.Result(f.ctx, f.tenant, j.CacheKey); err != nil || r.Job != newer.ID {
		f.Errorf("Result = %+v, %v, want the newest job %s", r, err, newer.ID)
	}
}

func testCachedJob(f *fixture) {
	first, out := f.computed()
	hit := f.hit(first)
	hit.CreatedAt = f.Now()
	for range 2 { // and again after a lost answer
		if err := f.Ledger.Insert(f.ctx, []store.NewJob{hit})[0]; err != nil {
			f.Fatalf("Insert of a cached job: %v", err)
		}
	}
	got := f.wantState(hit.ID, millrace.Succeeded)
	if !got.Cached || got.Attempt != 0 || !sameJSON(got.Result, first.Result) || !cmp.Equal(got.Outputs, hit.Outputs) {
		f.Errorf("cached job = %+v", got)
	}
	f.wantNear("StartedAt", got.StartedAt, f.Now())
	f.wantNear("FinishedAt", got.FinishedAt, f.Now())
	f.wantNear("ExpiresAt", got.ExpiresAt, f.Now().Add(got.Retention))
	if owed := f.owedIDs(); len(owed) != 0 {
		f.Errorf("a cached job is owed: %v", owed)
	}
	// The first job's end takes nothing from the second.
	f.must(f.Ledger.Delete(f.ctx, f.tenant, first.ID))
	file, err := f.Ledger.File(f.ctx, f.tenant, hit.Outputs[0].File)
	f.must(err)
	if file.Blob != out.Blob || file.Job != hit.ID || file.Name != out.Name || file.Size != out.Size || !file.ExpiresAt.Equal(got.ExpiresAt) {
		f.Errorf("file of the cached job = %+v", file)
	}
	f.Age(f, 2*time.Hour)
	if keys := f.dying(time.Hour); len(keys) != 0 {
		f.Errorf("dying = %v, want none", keys)
	}
}

func testStaleResult(f *fixture) {
	first, out := f.computed()
	hit, neighbour := f.hit(first), f.job()
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, out.File))
	errs := f.Ledger.Insert(f.ctx, []store.NewJob{hit, {Job: neighbour}})
	if !errors.Is(errs[0], store.ErrStaleResult) || errs[1] != nil {
		f.Errorf("Insert = %v, want [ErrStaleResult nil]", errs)
	}
	if _, err := f.Ledger.Job(f.ctx, f.tenant, hit.ID); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Job of the refused one = %v, want ErrNotFound", err)
	}
	foreign := f.hit(first)
	foreign.Tenant, foreign.From = f.other, []string{f.file().ID}
	if errs := f.Ledger.Insert(f.ctx, []store.NewJob{foreign}); !errors.Is(errs[0], store.ErrStaleResult) {
		f.Errorf("Insert with another tenant's file = %v, want ErrStaleResult", errs[0])
	}
}

func testResultFileDeleted(f *fixture) {
	first, out := f.computed()
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, out.File))
	if r, err := f.Ledger.Result(f.ctx, f.tenant, first.CacheKey); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Result whose file is gone = %+v, %v, want ErrNotFound", r, err)
	}
}

func testResultOnlySuccess(f *fixture) {
	w, key := f.worker(), newSum()
	keyed := func(j *millrace.Job) { j.CacheKey = key }
	f.end(f.running(w, keyed), store.OutcomeFailed)
	f.end(f.running(w, keyed), store.OutcomeCanceled)
	f.end(f.running(w), store.OutcomeSucceeded, func(o *store.Outcome) { o.Result = json.RawMessage(`1`) })
	for _, k := range []string{key, ""} {
		if r, err := f.Ledger.Result(f.ctx, f.tenant, k); !errors.Is(err, store.ErrNotFound) {
			f.Errorf("Result(%q) = %+v, %v, want ErrNotFound", k, r, err)
		}
	}
}
