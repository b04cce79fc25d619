package storetest

import (
	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func rescueTests() []test {
	return []test{
		{"of a dead worker's jobs", testRescue},
		{"when the server was to blame", testRescueRestart},
		{"of a job that was to be canceled", testRescueCanceled},
		{"of a worker that left with a job", testRescueLeft},
	}
}

func testRescue(f *fixture) {
	dead, alive := f.worker(), f.worker()
	lost, kept := f.running(dead), f.running(alive)
	f.rescued(0)
	f.must(f.Ledger.Bury(f.ctx, dead, store.Death{Crash: true}))
	f.rescued(1)
	f.rescued(0)
	f.wantState(kept.ID, millrace.Running)
	got := f.wantState(lost.ID, millrace.Queued)
	if got.Attempt != 0 || got.Crashes != 1 || got.Starts != 1 || got.Fence != lost.Fence+1 || got.WorkerID != "" {
		f.Errorf("rescued job = %+v", got)
	}
	if a := got.Attempts[0]; a.Outcome != millrace.AttemptCrashed || a.Spent || a.EndedAt.IsZero() {
		f.Errorf("attempt = %+v", a)
	}
	if owed := f.owed(map[string]int{"cpu.normal": 10}); len(owed) != 1 || owed[0].Delivery != delivery(got) {
		f.Errorf("owed = %+v, want the rescued job at once", owed)
	}
	if f.finish(f.outcome(lost, store.OutcomeSucceeded)) {
		f.Error("the buried worker's outcome won")
	}
	f.end(f.claim(alive, lost.ID), store.OutcomeSucceeded)
}

func testRescueRestart(f *fixture) {
	w := f.worker()
	j := f.running(w)
	f.must(f.Ledger.Bury(f.ctx, w, store.Death{}))
	f.rescued(1)
	got := f.wantState(j.ID, millrace.Queued)
	if got.Crashes != 0 || got.Attempt != 0 || got.Attempts[0].Outcome != millrace.AttemptReleased {
		f.Errorf("crashes %d, attempt %d, history %+v, want no crash and none spent", got.Crashes, got.Attempt, got.Attempts)
	}
}

func testRescueCanceled(f *fixture) {
	w, in := f.worker(), f.file()
	j := f.running(w, inputs(in))
	f.cancel(j.ID)
	f.must(f.Ledger.Bury(f.ctx, w, store.Death{Crash: true}))
	f.rescued(1)
	if got := f.wantCanceled(j.ID); got.Attempt != 0 {
		f.Errorf("attempt = %d, want 0", got.Attempt)
	}
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID))
}

func testRescueLeft(f *fixture) {
	w := f.worker()
	j := f.running(w)
	f.must(f.Worker.Leave(f.ctx, w))
	f.rescued(1)
	f.wantState(j.ID, millrace.Queued)
}
