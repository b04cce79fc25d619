package storetest

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func finishTests() []test {
	return []test{
		{"succeeded", testSucceeded},
		{"failed", testFailed},
		{"retry", testRetryOutcome},
		{"released", testReleased},
		{"released for later", testReleasedLater},
		{"timeout counts, release does not", testSpent},
		{"put back although a cancel was asked for", testPutBackCanceled},
		{"succeeded although a cancel was asked for", testSucceededCanceled},
		{"a stale attempt loses", testFinishStale},
		{"again after a lost answer", testFinishAgain},
		{"twice in different ways", testFinishDiffers},
		{"many at once", testFinishMany},
		{"inputs are free and kept as long as the job", testFinishInputs},
		{"an output may share a blob", testFinishSharedBlob},
		{"an output of a dying blob", testFinishDyingBlob},
		{"history is bounded", testHistoryBound},
	}
}

func testSucceeded(f *fixture) {
	w := f.worker()
	j := f.running(w)
	a, b := f.output("a.txt"), f.output("b.txt")
	progress := millrace.Progress{Done: 10, Total: 10, Unit: "bytes", Message: "done"}
	got := f.end(j, store.OutcomeSucceeded, outputs(a, b), func(o *store.Outcome) { o.Progress = progress })
	if got.State != millrace.Succeeded || got.Attempt != 1 || got.WorkerID != "" || got.Error != nil || got.Progress != progress {
		f.Errorf("job = %+v", got)
	}
	if !sameJSON(got.Result, []byte(`{"ratio":2}`)) {
		f.Errorf("result = %s", got.Result)
	}
	f.wantNear("FinishedAt", got.FinishedAt, f.Now())
	f.wantNear("ExpiresAt", got.ExpiresAt, f.Now().Add(j.Retention))
	if diff := cmp.Diff([]millrace.Output{a.Output, b.Output}, got.Outputs); diff != "" {
		f.Errorf("outputs (-want +got):\n%s", diff)
	}
	last := got.Attempts[0]
	if last.Outcome != millrace.AttemptSucceeded || !last.Spent || last.EndedAt.IsZero() || last.Error != nil || last.Worker != w {
		f.Errorf("attempt = %+v", last)
	}
	for _, out := range []store.NewOutput{a, b} {
		file, err := f.Ledger.File(f.ctx, f.tenant, out.File)
		f.must(err)
		if file.Job != j.ID || file.Blob != out.Blob || file.Name != out.Name || file.Size != out.Size || file.SHA256 != out.SHA256 ||
			file.ContentType != out.ContentType || !file.ExpiresAt.Equal(got.ExpiresAt) {
			f.Errorf("output's file = %+v", file)
		}
		if ok, err := f.Ledger.KnowsBlob(f.ctx, out.Blob); err != nil || !ok {
			f.Errorf("KnowsBlob(%s) = %v, %v, want true", out.Blob, ok, err)
		}
	}
}

func testFailed(f *fixture) {
	j := f.running(f.worker())
	got := f.end(j, store.OutcomeFailed)
	want := &millrace.JobError{Code: millrace.CodeInternal, Message: "gear slipped"}
	if got.State != millrace.Failed || got.Attempt != 1 || got.WorkerID != "" || !cmp.Equal(got.Error, want) {
		f.Errorf("job = %+v, error %+v", got, got.Error)
	}
	f.wantNear("FinishedAt", got.FinishedAt, f.Now())
	f.wantNear("ExpiresAt", got.ExpiresAt, f.Now().Add(j.Retention))
	if a := got.Attempts[0]; a.Outcome != millrace.AttemptError || !a.Spent || !cmp.Equal(a.Error, want) {
		f.Errorf("attempt = %+v", a)
	}
}

func testRetryOutcome(f *fixture) {
	w := f.worker()
	j := f.running(w)
	f.must(f.Ledger.MarkSent(f.ctx, []store.Delivery{delivery(j)}, 1))
	got := f.end(j, store.OutcomeRetry)
	if got.State != millrace.Retrying || got.Attempt != 1 || got.WorkerID != "" || got.Fence != j.Fence || got.Error == nil || !got.FinishedAt.IsZero() {
		f.Errorf("job = %+v", got)
	}
	if !got.RunAt.After(j.RunAt) || !got.RunAt.After(got.StartedAt) {
		f.Errorf("run_at = %v, want the time of the next attempt", got.RunAt)
	}
	if owed := f.owedIDs(); len(owed) != 0 {
		f.Errorf("owed before the delay is over: %v", owed)
	}
	f.Age(f, 2*time.Hour)
	if owed := f.owedIDs(); len(owed) != 1 {
		f.Errorf("owed after the delay: %v, want the job", owed)
	}
	again := f.claim(w, j.ID)
	if again.Attempt != 2 || again.Starts != 2 || again.Fence != j.Fence+1 || len(again.Attempts) != 2 || again.Attempts[1].N != 2 {
		f.Errorf("second attempt = %+v", again)
	}
	done := f.end(again, store.OutcomeSucceeded)
	if done.Error != nil || done.Attempts[0].Error == nil {
		f.Errorf("after success: error %+v, first attempt %+v; want none and its own", done.Error, done.Attempts[0])
	}
}

func testReleased(f *fixture) {
	w := f.worker()
	j := f.running(w)
	got := f.end(j, store.OutcomeReleased)
	if got.State != millrace.Queued || got.Attempt != 0 || got.Starts != 1 || got.WorkerID != "" || got.Fence != j.Fence+1 {
		f.Errorf("job = %+v", got)
	}
	if a := got.Attempts[0]; a.Outcome != millrace.AttemptReleased || a.Spent || a.EndedAt.IsZero() {
		f.Errorf("attempt = %+v", a)
	}
	if owed := f.owed(map[string]int{"cpu.normal": 10}); len(owed) != 1 || owed[0].Delivery != delivery(got) {
		f.Errorf("owed = %+v, want the job under its new fence", owed)
	}
	again := f.claim(w, j.ID)
	if again.Attempt != 1 || again.Starts != 2 || again.Attempts[1].N != 2 {
		f.Errorf("second attempt = %+v", again)
	}
}

func testReleasedLater(f *fixture) {
	w := f.worker()
	j := f.running(w)
	got := f.end(j, store.OutcomeReleased, func(o *store.Outcome) { o.Delay = time.Hour })
	if got.State != millrace.Queued || got.Attempt != 0 || got.Fence != j.Fence+1 || got.Attempts[0].Outcome != millrace.AttemptReleased {
		f.Errorf("job = %+v", got)
	}
	if owed := f.owedIDs(); len(owed) != 0 {
		f.Errorf("owed before the delay is over: %v", owed)
	}
	f.Age(f, 2*time.Hour)
	if owed := f.owed(map[string]int{"cpu.normal": 10}); len(owed) != 1 || owed[0].Delivery != delivery(got) {
		f.Errorf("owed after the delay = %+v, want the job", owed)
	}
}

func testSpent(f *fixture) {
	w := f.worker()
	j := f.running(w)
	f.end(j, store.OutcomeRetry, func(o *store.Outcome) { o.Attempt = millrace.AttemptTimeout })
	f.end(f.claim(w, j.ID), store.OutcomeReleased)
	f.end(f.claim(w, j.ID), store.OutcomeRetry)
	got := f.get(j.ID)
	if got.Attempt != 2 || got.Starts != 3 {
		f.Errorf("attempt %d of %d starts, want 2 of 3", got.Attempt, got.Starts)
	}
	for i, want := range []bool{true, false, true} {
		if got.Attempts[i].Spent != want {
			f.Errorf("attempt %d spent = %v, want %v", i+1, got.Attempts[i].Spent, want)
		}
	}
}

func testPutBackCanceled(f *fixture) {
	for kind, spent := range map[store.OutcomeKind]int{store.OutcomeRetry: 1, store.OutcomeReleased: 0} {
		j := f.running(f.worker())
		f.cancel(j.ID)
		f.end(j, kind)
		if got := f.wantCanceled(j.ID); got.Attempt != spent {
			f.Errorf("attempt after %s = %d, want %d", kind, got.Attempt, spent)
		}
		if !f.finish(f.outcome(j, kind)) {
			f.Errorf("%s again after it had become a cancel: lost", kind)
		}
	}
	if owed := f.owedIDs(); len(owed) != 0 {
		f.Errorf("canceled jobs are owed: %v", owed)
	}
}

func testSucceededCanceled(f *fixture) {
	j := f.running(f.worker())
	f.cancel(j.ID)
	if got := f.end(j, store.OutcomeSucceeded); got.State != millrace.Succeeded {
		f.Errorf("state = %s, want succeeded: the attempt was first", got.State)
	}
}

func testFinishStale(f *fixture) {
	w := f.worker()
	stale := f.running(w)
	f.end(stale, store.OutcomeReleased)
	f.claim(f.worker(), stale.ID)
	before, out := f.get(stale.ID), f.output("late.txt")
	for _, kind := range []store.OutcomeKind{store.OutcomeSucceeded, store.OutcomeFailed, store.OutcomeRetry, store.OutcomeCanceled} {
		o := f.outcome(stale, kind)
		o.Outputs = []store.NewOutput{out}
		if f.finish(o) {
			f.Errorf("a stale %s won", kind)
		}
	}
	if diff := jobDiff(f.get(stale.ID), before); diff != "" {
		f.Errorf("a stale outcome changed the job (-want +got):\n%s", diff)
	}
	if _, err := f.Ledger.File(f.ctx, f.tenant, out.File); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("File of a stale outcome = %v, want ErrNotFound", err)
	}
	if f.finish(store.Outcome{Job: newID(), Tenant: f.tenant, Fence: 2, Kind: store.OutcomeSucceeded, Attempt: millrace.AttemptSucceeded}) {
		f.Error("an outcome of an unknown job won")
	}
}

// testFinishAgain is the worker whose first answer was lost after the commit, for every kind of outcome.
func testFinishAgain(f *fixture) {
	w := f.worker()
	for _, kind := range []store.OutcomeKind{
		store.OutcomeSucceeded, store.OutcomeFailed, store.OutcomeRetry, store.OutcomeReleased, store.OutcomeCanceled,
	} {
		j := f.running(w)
		o := f.outcome(j, kind)
		if kind == store.OutcomeSucceeded {
			o.Outputs = []store.NewOutput{f.output("a.txt")}
		}
		if !f.finish(o) {
			f.Fatalf("first %s lost", kind)
		}
		before := f.get(j.ID)
		if !f.finish(o) {
			f.Errorf("second %s lost, want won", kind)
		}
		if diff := jobDiff(f.get(j.ID), before); diff != "" {
			f.Errorf("the second %s changed the job (-want +got):\n%s", kind, diff)
		}
	}
}

func testFinishDiffers(f *fixture) {
	j := f.running(f.worker())
	f.end(j, store.OutcomeFailed)
	o := f.outcome(j, store.OutcomeSucceeded)
	o.Outputs = []store.NewOutput{f.output("a.txt")}
	if f.finish(o) {
		f.Error("an attempt succeeded after it had failed")
	}
	f.wantState(j.ID, millrace.Failed)
	if _, err := f.Ledger.File(f.ctx, f.tenant, o.Outputs[0].File); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("File of the loser = %v, want ErrNotFound", err)
	}
}

func testFinishMany(f *fixture) {
	w := f.worker()
	kinds := []store.OutcomeKind{
		store.OutcomeFailed, store.OutcomeSucceeded, store.OutcomeRetry, store.OutcomeCanceled, store.OutcomeReleased, store.OutcomeSucceeded,
	}
	states := []millrace.State{millrace.Failed, millrace.Succeeded, millrace.Retrying, millrace.Canceled, millrace.Queued, millrace.Running}
	var jobs []*millrace.Job
	var batch []store.Outcome
	for i, kind := range kinds {
		j := f.running(w)
		o := f.outcome(j, kind)
		if kind == store.OutcomeSucceeded {
			o.Outputs = []store.NewOutput{f.output("a.txt")}
			o.Result = json.RawMessage(`[1,2]`)
		}
		if i == len(kinds)-1 {
			o.Fence-- // stale
		}
		jobs, batch = append(jobs, j), append(batch, o)
	}
	won, err := f.Worker.Finish(f.ctx, batch)
	f.must(err)
	if diff := cmp.Diff([]bool{true, true, true, true, true, false}, won); diff != "" {
		f.Errorf("won (-want +got):\n%s", diff)
	}
	for i, want := range states {
		f.wantState(jobs[i].ID, want)
	}
}

func testFinishInputs(f *fixture) {
	short, long := f.newFile(), f.newFile()
	short.ExpiresAt, long.ExpiresAt = f.Now().Add(time.Hour), f.Now().Add(1000*time.Hour)
	f.must(f.Ledger.CreateFile(f.ctx, short, nil))
	f.must(f.Ledger.CreateFile(f.ctx, long, nil))
	j := f.running(f.worker(), inputs(short, long))
	if err := f.Ledger.DeleteFile(f.ctx, f.tenant, short.ID); !errors.Is(err, store.ErrInUse) {
		f.Fatalf("DeleteFile of a running job's input = %v, want ErrInUse", err)
	}
	done := f.end(j, store.OutcomeSucceeded)
	got, err := f.Ledger.File(f.ctx, f.tenant, short.ID)
	f.must(err)
	if got.ExpiresAt.Before(done.ExpiresAt) {
		f.Errorf("input expires at %v, before the job at %v", got.ExpiresAt, done.ExpiresAt)
	}
	got, err = f.Ledger.File(f.ctx, f.tenant, long.ID)
	f.must(err)
	f.wantNear("ExpiresAt of the longer input", got.ExpiresAt, long.ExpiresAt)
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, short.ID))
}

func testFinishSharedBlob(f *fixture) {
	in := f.file()
	j := f.running(f.worker(), inputs(in))
	out := f.output("same.txt")
	out.SHA256, out.Blob, out.Size = in.SHA256, in.Blob, in.Size
	f.end(j, store.OutcomeSucceeded, outputs(out))
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID))
	file, err := f.Ledger.File(f.ctx, f.tenant, out.File)
	f.must(err)
	if file.Blob != in.Blob {
		f.Errorf("blob = %s, want the shared %s", file.Blob, in.Blob)
	}
	if keys := f.dying(0); len(keys) != 0 {
		f.Errorf("dying = %v, want none: an output refers to it", keys)
	}
}

// testFinishDyingBlob: an output must not refer to bytes that are being collected. The attempt keeps its job and may publish anew.
func testFinishDyingBlob(f *fixture) {
	in := f.file()
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID))
	f.Age(f, 2*time.Hour)
	if keys := f.dying(time.Hour); len(keys) != 1 {
		f.Fatalf("dying = %v, want the one blob", keys)
	}
	j := f.running(f.worker())
	o := f.outcome(j, store.OutcomeSucceeded)
	out := f.output("a.txt")
	out.SHA256, out.Blob = in.SHA256, in.Blob
	o.Outputs = []store.NewOutput{out}
	before, after := f.running(f.worker()), f.running(f.worker())
	neighbours := []store.Outcome{f.outcome(before, store.OutcomeSucceeded), f.outcome(after, store.OutcomeRetry)}
	if won, err := f.Worker.Finish(f.ctx, []store.Outcome{neighbours[0], o, neighbours[1]}); !errors.Is(err, store.ErrStaleResult) {
		f.Fatalf("Finish with a dying blob = %v, %v, want ErrStaleResult", won, err)
	}
	f.wantState(j.ID, millrace.Running)
	f.wantState(before.ID, millrace.Succeeded) // one bad outcome spares its neighbours
	f.wantState(after.ID, millrace.Retrying)
	for _, n := range neighbours {
		if !f.finish(n) {
			f.Errorf("the %s beside it, again: lost", n.Kind)
		}
	}
	f.end(j, store.OutcomeSucceeded, outputs(f.output("a.txt")))
}

func testHistoryBound(f *fixture) {
	w, j := f.worker(), f.queued()
	const starts = millrace.MaxAttemptHistory + 3
	for range starts {
		f.end(f.claim(w, j.ID), store.OutcomeReleased)
	}
	got := f.get(j.ID)
	if len(got.Attempts) != millrace.MaxAttemptHistory || got.Starts != starts {
		f.Fatalf("%d attempts of %d starts remembered, want %d of %d", len(got.Attempts), got.Starts, millrace.MaxAttemptHistory, starts)
	}
	if first, last := got.Attempts[0].N, got.Attempts[len(got.Attempts)-1].N; first != 4 || last != starts {
		f.Errorf("history is %d … %d, want 4 … %d", first, last, starts)
	}
}
