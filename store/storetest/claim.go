package storetest

import (
	"errors"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func claimTests() []test {
	return []test{
		{"takes the job", testClaim},
		{"one delivery, one owner", testClaimOnce},
		{"again by the owner", testClaimAgain},
		{"many, in order", testClaimMany},
		{"what may not be claimed", testClaimRefused},
		{"by a worker that is not alive", testClaimByDead},
		{"before it is due", testClaimEarly},
		{"a new attempt starts its progress anew", testClaimProgress},
		{"past its deadline", testDeadlineClaim},
		{"of paused queues, among others", testPauseMany},
	}
}

func testClaim(f *fixture) {
	in, w := f.file(), f.worker()
	j := f.queued(inputs(in))
	c := f.claims(w, delivery(j))[0]
	if c.Job == nil {
		f.Fatal("Claim was refused")
	}
	if diff := jobDiff(c.Job, f.get(j.ID)); diff != "" {
		f.Errorf("the claimed job differs from the ledger's (-ledger +claimed):\n%s", diff)
	}
	got := c.Job
	if got.State != millrace.Running || got.Fence != j.Fence+1 || got.Attempt != 1 || got.Starts != 1 || got.WorkerID != w {
		f.Errorf("claimed: state %s fence %d attempt %d starts %d owner %q", got.State, got.Fence, got.Attempt, got.Starts, got.WorkerID)
	}
	f.wantNear("StartedAt", got.StartedAt, f.Now())
	f.wantNear("Started", c.Started, f.Now())
	if len(got.Attempts) != 1 {
		f.Fatalf("attempts = %+v, want the running one", got.Attempts)
	}
	a := got.Attempts[0]
	if a.N != 1 || a.Run != 1 || a.Worker != w || a.Outcome != "" || a.Spent || !a.EndedAt.IsZero() || a.StartedAt.IsZero() {
		f.Errorf("running attempt = %+v", a)
	}
	if len(c.Inputs) != 1 || c.Inputs[0].ID != in.ID || c.Inputs[0].Blob != in.Blob || c.Inputs[0].Size != in.Size || c.Inputs[0].Name != in.Name {
		f.Errorf("inputs = %+v, want %+v", c.Inputs, in)
	}
	if owed := f.owedIDs(); len(owed) != 0 {
		f.Errorf("a running job is owed: %v", owed)
	}
}

func testClaimOnce(f *fixture) {
	j := f.queued()
	f.claim(f.worker(), j.ID)
	running := f.get(j.ID)
	if c := f.claims(f.worker(), delivery(j), delivery(running)); c[0].Job != nil || c[1].Job != nil {
		f.Error("a running job was claimed by another worker")
	}
	if diff := jobDiff(f.get(j.ID), running); diff != "" {
		f.Errorf("a refused claim changed the job (-want +got):\n%s", diff)
	}
}

// testClaimAgain is the worker whose first answer was lost after the commit.
func testClaimAgain(f *fixture) {
	in, w := f.file(), f.worker()
	j := f.queued(inputs(in))
	first := f.claims(w, delivery(j))[0]
	again := f.claims(w, delivery(j))[0]
	if again.Job == nil {
		f.Fatal("the owner's repeated claim was refused")
	}
	if diff := jobDiff(again.Job, first.Job); diff != "" {
		f.Errorf("the repeated claim differs (-first +again):\n%s", diff)
	}
	if len(again.Inputs) != 1 || again.Inputs[0].ID != in.ID {
		f.Errorf("inputs of the repeated claim = %+v", again.Inputs)
	}
	f.end(first.Job, store.OutcomeRetry)
	if c := f.claims(w, delivery(j))[0]; c.Job != nil {
		f.Error("an old delivery was claimed after its attempt had ended")
	}
}

func testClaimMany(f *fixture) {
	w := f.worker()
	a, in := f.queued(), f.file()
	b, c := f.queued(inputs(in)), f.queued()
	f.cancel(c.ID)
	d := f.queued(inputs(in, f.file()))
	got := f.claims(w, delivery(d), delivery(c), delivery(a), store.Delivery{Job: newID(), Fence: 1}, delivery(b))
	for i, want := range []string{d.ID, "", a.ID, "", b.ID} {
		id := ""
		if got[i].Job != nil {
			id = got[i].Job.ID
		}
		if id != want {
			f.Errorf("claim %d = %q, want %q", i, id, want)
		}
	}
	if len(got[0].Inputs) != 2 || got[0].Inputs[0].ID != in.ID || len(got[4].Inputs) != 1 {
		f.Errorf("inputs of the claims = %+v and %+v", got[0].Inputs, got[4].Inputs)
	}
	if c := f.claims(w); len(c) != 0 {
		f.Errorf("claim of nothing = %+v", c)
	}
}

func testClaimRefused(f *fixture) {
	w := f.worker()
	queued, done := f.queued(), f.end(f.running(w), store.OutcomeSucceeded)
	for name, d := range map[string]store.Delivery{
		"an older fence": {Job: queued.ID, Fence: queued.Fence - 1},
		"a newer fence":  {Job: queued.ID, Fence: queued.Fence + 1},
		"a final job":    delivery(done),
		"an unknown job": {Job: newID(), Fence: 1},
	} {
		if c := f.claims(w, d)[0]; c.Job != nil {
			f.Errorf("%s was claimed: %+v", name, c.Job)
		}
	}
}

func testClaimByDead(f *fixture) {
	j, buried, left := f.queued(), f.worker(), f.worker()
	f.must(f.Ledger.Bury(f.ctx, buried, store.Death{Crash: true}))
	f.must(f.Worker.Leave(f.ctx, left))
	for name, w := range map[string]string{"buried": buried, "unknown": newID(), "gone": left} {
		if _, err := f.Worker.Claim(f.ctx, w, []store.Delivery{delivery(j)}); !errors.Is(err, store.ErrBuried) {
			f.Errorf("Claim by a worker that is %s = %v, want ErrBuried", name, err)
		}
	}
	f.wantState(j.ID, millrace.Queued)
}

// testClaimEarly pins that the ledger does not judge by the clock: a queue that delivers a moment early must not lose its delivery.
func testClaimEarly(f *fixture) {
	j := f.queued(func(j *millrace.Job) { j.State, j.RunAt = millrace.Scheduled, f.Now().Add(time.Hour) })
	f.claim(f.worker(), j.ID)
}

func testClaimProgress(f *fixture) {
	w := f.worker()
	j := f.running(w)
	_, err := f.Worker.Beat(f.ctx, store.Beat{Worker: w, Running: []store.Holding{
		{Job: j.ID, Fence: j.Fence, Progress: &millrace.Progress{Done: 5, Total: 10, Unit: "rows"}},
	}})
	f.must(err)
	f.end(j, store.OutcomeReleased)
	if got := f.claim(w, j.ID); got.Progress != (millrace.Progress{}) {
		f.Errorf("progress of a new attempt = %+v, want none", got.Progress)
	}
}
