package storetest

import (
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func queueTests() []test {
	return []test{
		{"paused ones are listed", testPausedQueues},
		{"paused, its jobs wait", testPause},
		{"resumed, its jobs are owed again", testResume},
		{"what runs goes on", testPauseRunning},
		{"a paused quarantine", testPauseQuarantine},
	}
}

func (f *fixture) pause(queue string, paused bool) {
	f.Helper()
	f.must(f.Ledger.PauseQueue(f.ctx, queue, paused))
}

func (f *fixture) wantPaused(want ...string) {
	f.Helper()
	got, err := f.Ledger.PausedQueues(f.ctx)
	f.must(err)
	got = slices.Sorted(slices.Values(got))
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		f.Errorf("paused queues (-want +got):\n%s", diff)
	}
}

func testPausedQueues(f *fixture) {
	f.wantPaused()
	f.pause("io.low", true)
	f.pause("cpu.high", true)
	f.pause("cpu.high", true)
	f.wantPaused("cpu.high", "io.low")
	f.pause("io.low", false)
	f.pause("io.high", false) // never was
	f.wantPaused("cpu.high")
}

func testPause(f *fixture) {
	w := f.worker()
	before := f.queued()
	f.pause("cpu.normal", true)
	after, other := f.queued(), f.queued(func(j *millrace.Job) { j.Queue = "cpu.high" })
	if owed := f.owed(map[string]int{"cpu.normal": 10, "cpu.high": 10}); len(owed) != 1 || owed[0].Job != other.ID {
		f.Errorf("owed = %+v, want the job of the other queue alone", owed)
	}
	c := f.claims(w, delivery(before), delivery(after), delivery(other))
	if c[0].Job != nil || c[1].Job != nil || c[2].Job == nil {
		f.Error("Claim must refuse the jobs of the paused queue, and those alone")
	}
	for _, j := range []*millrace.Job{before, after} {
		if got := f.wantState(j.ID, millrace.Queued); got.Starts != 0 || got.Fence != j.Fence {
			f.Errorf("a refused job has %d starts and the fence %d", got.Starts, got.Fence)
		}
	}
	f.cancel(before.ID) // waiting does not keep it from ending
	f.wantCanceled(before.ID)
}

func testResume(f *fixture) {
	w, j := f.worker(), f.queued()
	gen := f.generation()
	f.must(f.Ledger.MarkSent(f.ctx, []store.Delivery{delivery(j)}, gen))
	f.pause("cpu.normal", true)
	f.claims(w, delivery(j)) // its delivery is dropped
	f.pause("cpu.normal", false)
	if got := f.generation(); got <= gen {
		f.Errorf("generation after resuming = %d, want more than %d", got, gen)
	}
	want := []store.Owed{{Delivery: delivery(j), Type: j.Type, Queue: j.Queue, Gen: f.generation()}}
	if diff := cmp.Diff(want, f.owed(map[string]int{"cpu.normal": 10})); diff != "" {
		f.Errorf("owed after resuming (-want +got):\n%s", diff)
	}
	f.end(f.claim(w, j.ID), store.OutcomeSucceeded)
}

func testPauseRunning(f *fixture) {
	w := f.worker()
	done, back, again := f.running(w), f.running(w), f.queued()
	claimed := f.claims(w, delivery(again))[0]
	f.pause("cpu.normal", true)
	reply, err := f.Worker.Beat(f.ctx, store.Beat{Worker: w, Running: []store.Holding{{Job: done.ID, Fence: done.Fence}}})
	f.must(err)
	if len(reply.Lost)+len(reply.Cancel) > 0 {
		f.Errorf("Beat = %+v, want the job to go on", reply)
	}
	// The owner whose answer was lost still has its job.
	if c := f.claims(w, delivery(again))[0]; c.Job == nil || c.Job.Fence != claimed.Job.Fence {
		f.Errorf("the owner's repeated claim = %+v", c)
	}
	f.end(done, store.OutcomeSucceeded)
	if got := f.end(back, store.OutcomeReleased); got.State != millrace.Queued {
		f.Errorf("released into a paused queue: %s", got.State)
	}
	if owed := f.owedIDs(); len(owed) > 0 {
		f.Errorf("owed to a paused queue: %v", owed)
	}
}

func testPauseMany(f *fixture) {
	w := f.worker()
	f.pause("io.low", true)
	var all []store.Delivery
	for i := range 20 {
		all = append(all, delivery(f.queued(func(j *millrace.Job) {
			if i%3 == 0 {
				j.Queue = "io.low"
			}
		})))
	}
	for i, c := range f.claims(w, all...) {
		if (c.Job == nil) != (i%3 == 0) {
			f.Errorf("claim %d: refused %v, want %v", i, c.Job == nil, i%3 == 0)
		}
	}
}

func testPauseQuarantine(f *fixture) {
	w, j := f.worker(), f.queued()
	f.crash(j.ID, millrace.QuarantineCrashes)
	f.pause(string(millrace.Quarantine), true)
	if c := f.claims(w, delivery(f.get(j.ID)))[0]; c.Job != nil {
		f.Error("a job of the paused quarantine was claimed")
	}
	f.Age(f, time.Hour)
	f.pause(string(millrace.Quarantine), false)
	f.end(f.claim(w, j.ID), store.OutcomeSucceeded)
}
