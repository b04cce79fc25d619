package storetest

import (
	"errors"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func cancelTests() []test {
	return []test{
		{"before it runs", testCancelIdle},
		{"between two attempts", testCancelRetrying},
		{"while it runs", testCancelRunning},
		{"a final job", testCancelFinal},
		{"by force after the grace", testForceCancel},
	}
}

func (f *fixture) cancel(id string) *millrace.Job {
	f.Helper()
	j, err := f.Ledger.Cancel(f.ctx, f.tenant, id)
	if err != nil {
		f.Fatalf("Cancel(%s): %v", id, err)
	}
	return j
}

// wantCanceled checks what every canceled job looks like.
func (f *fixture) wantCanceled(id string) *millrace.Job {
	f.Helper()
	j := f.wantState(id, millrace.Canceled)
	f.wantNear("FinishedAt", j.FinishedAt, f.Now())
	f.wantNear("ExpiresAt", j.ExpiresAt, f.Now().Add(j.Retention))
	if j.WorkerID != "" {
		f.Errorf("a canceled job has the owner %q", j.WorkerID)
	}
	return j
}

func testCancelIdle(f *fixture) {
	in := f.file()
	queued := f.queued(inputs(in))
	scheduled := f.queued(func(j *millrace.Job) { j.State, j.RunAt = millrace.Scheduled, f.Now().Add(time.Hour) })
	for _, j := range []*millrace.Job{queued, scheduled} {
		if got := f.cancel(j.ID); got.State != millrace.Canceled {
			f.Errorf("Cancel of a %s job = %s, want canceled", j.State, got.State)
		}
		if got := f.wantCanceled(j.ID); got.Fence <= j.Fence {
			f.Errorf("fence after Cancel = %d, want more than %d", got.Fence, j.Fence)
		}
		if c := f.claims(f.worker(), delivery(j), delivery(f.get(j.ID))); c[0].Job != nil || c[1].Job != nil {
			f.Error("a canceled job was claimed")
		}
	}
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID)) // it is free again
	if owed := f.owedIDs(); len(owed) != 0 {
		f.Errorf("canceled jobs are owed: %v", owed)
	}
}

func testCancelRetrying(f *fixture) {
	j := f.end(f.running(f.worker()), store.OutcomeRetry)
	f.cancel(j.ID)
	got := f.wantCanceled(j.ID)
	if len(got.Attempts) != 1 || got.Attempts[0].Outcome != millrace.AttemptError || got.Attempt != 1 {
		f.Errorf("attempts = %d %+v, want the one that was spent untouched", got.Attempt, got.Attempts)
	}
}

func testCancelRunning(f *fixture) {
	w := f.worker()
	j := f.running(w)
	if got := f.cancel(j.ID); got.State != millrace.Running || got.CancelAt.IsZero() {
		f.Fatalf("Cancel of a running job = %s, cancel at %v, want running with a time", got.State, got.CancelAt)
	}
	first := f.get(j.ID).CancelAt
	f.Age(f, time.Hour)
	aged := f.get(j.ID).CancelAt
	f.cancel(j.ID) // again is no error and does not restart the grace
	if got := f.get(j.ID).CancelAt; !got.Equal(aged) {
		f.Errorf("CancelAt moved from %v to %v at the second Cancel (first seen as %v)", aged, got, first)
	}
	reply, err := f.Worker.Beat(f.ctx, store.Beat{Worker: w, Running: []store.Holding{{Job: j.ID, Fence: j.Fence}}})
	f.must(err)
	if len(reply.Cancel) != 1 || reply.Cancel[0] != delivery(j) || len(reply.Lost) != 0 {
		f.Errorf("Beat = %+v, want the job to cancel and none lost", reply)
	}
	f.end(j, store.OutcomeCanceled)
	got := f.wantCanceled(j.ID)
	if got.Attempt != 0 || got.Attempts[0].Outcome != millrace.AttemptCanceled || got.Attempts[0].Spent {
		f.Errorf("attempt %d, history %+v, want none spent", got.Attempt, got.Attempts)
	}
}

func testCancelFinal(f *fixture) {
	j := f.end(f.running(f.worker()), store.OutcomeSucceeded)
	got, err := f.Ledger.Cancel(f.ctx, f.tenant, j.ID)
	if !errors.Is(err, store.ErrState) || got == nil || got.State != millrace.Succeeded {
		f.Errorf("Cancel of a final job = %+v, %v, want the job and ErrState", got, err)
	}
	if _, err := f.Ledger.Cancel(f.ctx, f.tenant, newID()); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Cancel of nothing = %v, want ErrNotFound", err)
	}
}

func testForceCancel(f *fixture) {
	w := f.worker()
	asked, young, other := f.running(w), f.running(w), f.running(w)
	f.cancel(asked.ID)
	f.Age(f, time.Minute)
	f.cancel(young.ID)
	n, err := f.Ledger.ForceCancel(f.ctx, 30*time.Second)
	f.must(err)
	if n != 1 {
		f.Errorf("ForceCancel = %d, want 1", n)
	}
	f.wantState(young.ID, millrace.Running)
	f.wantState(other.ID, millrace.Running)
	got := f.wantCanceled(asked.ID)
	if got.Attempt != 0 || got.Attempts[0].Outcome != millrace.AttemptCanceled || got.Attempts[0].EndedAt.IsZero() {
		f.Errorf("attempt %d, history %+v, want one canceled and none spent", got.Attempt, got.Attempts)
	}
	if f.finish(f.outcome(asked, store.OutcomeSucceeded)) {
		f.Error("the late attempt of a job canceled by force won")
	}
	reply, err := f.Worker.Beat(f.ctx, store.Beat{Worker: w, Running: []store.Holding{{Job: asked.ID, Fence: asked.Fence}}})
	f.must(err)
	if len(reply.Lost) != 1 || reply.Lost[0] != delivery(asked) {
		f.Errorf("Beat = %+v, want the attempt lost", reply)
	}
}
