package storetest

import (
	"errors"
	"strconv"
	"sync/atomic"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func retryTests() []test {
	return []test{
		{"opens a run", testRetryRun},
		{"from canceled", testRetryCanceled},
		{"only when failed or canceled", testRetryState},
		{"inputs are needed again", testRetryInputs},
		{"once under a key", testRetryOnce},
	}
}

func (f *fixture) retry(id string) *millrace.Job {
	f.Helper()
	j, err := f.Ledger.Retry(f.ctx, f.tenant, id, nil)
	if err != nil {
		f.Fatalf("Retry(%s): %v", id, err)
	}
	return j
}

func testRetryRun(f *fixture) {
	w := f.worker()
	failed := f.end(f.running(w), store.OutcomeFailed)
	j := f.retry(failed.ID)
	if diff := jobDiff(f.get(j.ID), j); diff != "" {
		f.Errorf("Retry answered something else than the ledger holds (-answer +ledger):\n%s", diff)
	}
	if j.State != millrace.Queued || j.Run != 2 || j.Attempt != 0 || j.Starts != 1 || j.Fence != failed.Fence+1 || j.Error != nil ||
		len(j.Result) != 0 || len(j.Outputs) != 0 || j.Progress != (millrace.Progress{}) {
		f.Errorf("job = %+v", j)
	}
	if !j.StartedAt.IsZero() || !j.FinishedAt.IsZero() || !j.ExpiresAt.IsZero() || !j.CancelAt.IsZero() {
		f.Errorf("times of the new run: started %v finished %v expires %v cancel %v, want none", j.StartedAt, j.FinishedAt, j.ExpiresAt, j.CancelAt)
	}
	f.wantNear("RunAt", j.RunAt, f.Now())
	if diff := cmp.Diff(failed.Attempts, j.Attempts); diff != "" {
		f.Errorf("history (-before +after):\n%s", diff)
	}
	if owed := f.owed(map[string]int{"cpu.normal": 10}); len(owed) != 1 || owed[0].Delivery != delivery(j) {
		f.Errorf("owed = %+v, want the new run", owed)
	}
	if c := f.claims(w, delivery(failed))[0]; c.Job != nil {
		f.Error("a delivery of the old run was claimed")
	}
	again := f.claim(w, j.ID)
	if a := again.Attempts[1]; a.N != 2 || a.Run != 2 || again.Attempt != 1 {
		f.Errorf("attempt of the new run = %+v, attempt %d", a, again.Attempt)
	}
	f.end(again, store.OutcomeSucceeded)
}

func testRetryCanceled(f *fixture) {
	w := f.worker()
	run := f.running(w)
	f.cancel(run.ID)
	f.end(run, store.OutcomeCanceled)
	idle := f.queued()
	f.cancel(idle.ID)
	for _, id := range []string{run.ID, idle.ID} {
		if j := f.retry(id); j.State != millrace.Queued || j.Run != 2 || !j.CancelAt.IsZero() {
			f.Errorf("job = %+v", j)
		}
		f.end(f.claim(w, id), store.OutcomeSucceeded)
	}
}

func testRetryState(f *fixture) {
	w := f.worker()
	for _, j := range []*millrace.Job{f.queued(), f.running(w), f.end(f.running(w), store.OutcomeRetry), f.end(f.running(w), store.OutcomeSucceeded)} {
		before := f.get(j.ID)
		got, err := f.Ledger.Retry(f.ctx, f.tenant, j.ID, nil)
		if !errors.Is(err, store.ErrState) || got == nil || got.State != before.State {
			f.Errorf("Retry of a %s job = %+v, %v, want the job and ErrState", before.State, got, err)
		}
		if diff := jobDiff(f.get(j.ID), before); diff != "" {
			f.Errorf("a refused Retry changed the job (-want +got):\n%s", diff)
		}
	}
	if _, err := f.Ledger.Retry(f.ctx, f.tenant, newID(), nil); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Retry of nothing = %v, want ErrNotFound", err)
	}
}

func testRetryInputs(f *fixture) {
	w, kept, gone := f.worker(), f.file(), f.file()
	a := f.end(f.running(w, inputs(kept)), store.OutcomeFailed)
	b := f.end(f.running(w, inputs(kept, gone)), store.OutcomeFailed)
	f.retry(a.ID)
	if err := f.Ledger.DeleteFile(f.ctx, f.tenant, kept.ID); !errors.Is(err, store.ErrInUse) {
		f.Errorf("DeleteFile of the new run's input = %v, want ErrInUse", err)
	}
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, gone.ID))
	if _, err := f.Ledger.Retry(f.ctx, f.tenant, b.ID, nil); !errors.Is(err, store.ErrInputMissing) {
		f.Errorf("Retry without its input = %v, want ErrInputMissing", err)
	}
	f.wantState(b.ID, millrace.Failed)
	f.end(f.claim(w, a.ID), store.OutcomeSucceeded)
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, kept.ID)) // the refused retry has taken nothing
}

// A repetition under the key opens no run, whatever became of the one that the first opened.
func testRetryOnce(f *fixture) {
	w := f.worker()
	j := f.running(w)
	f.end(j, store.OutcomeFailed)
	key := &store.RetryKey{Key: "again", Hash: "aa", Answer: func(j *millrace.Job) []byte { return []byte(strconv.Itoa(j.Run)) }}
	var opened atomic.Int32
	retry := func() {
		_, err := f.Ledger.Retry(f.ctx, f.tenant, j.ID, key)
		if r, ok := errors.AsType[*store.ReplayedError](err); ok && string(r.Answer) == "2" && r.Hash == "aa" {
			return
		}
		if err != nil {
			f.Errorf("Retry = %v, want a run or the first answer", err)
			return
		}
		opened.Add(1)
	}
	together(retry, retry, retry, retry, retry, retry)
	if n := opened.Load(); n != 1 {
		f.Errorf("%d of 6 equal retries opened a run, want one", n)
	}
	f.end(f.claim(w, j.ID), store.OutcomeFailed)
	_, err := f.Ledger.Retry(f.ctx, f.tenant, j.ID, key)
	if _, ok := errors.AsType[*store.ReplayedError](err); !ok {
		f.Errorf("a repetition after the second run failed = %v, want the first answer", err)
	}
	if got := f.wantState(j.ID, millrace.Failed); got.Run != 2 {
		f.Errorf("run = %d, want 2", got.Run)
	}
	refused := &store.RetryKey{Key: "other", Hash: "bb", Answer: key.Answer}
	if _, err := f.Ledger.Retry(f.ctx, f.tenant, newID(), refused); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Retry of an absent job = %v, want ErrNotFound", err)
	}
	if _, err := f.Ledger.Answer(f.ctx, f.tenant, "other"); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("a refused retry took its key: %v", err)
	}
}
