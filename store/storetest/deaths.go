package storetest

import (
	"errors"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func deathTests() []test {
	return []test{
		{"each job hears of its own owner's death", testDeathOwners},
		{"the first death counts", testDeathFirst},
		{"of a host's workers", testDeathHost},
		{"silence is no crash", testDeathSilent},
		{"an owner that nobody buried is no crash", testDeathLeft},
		{"the first crash leads back to its queue", testCrashOnce},
		{"the second leads to quarantine", testCrashQuarantine},
		{"the fourth is poison", testCrashPoison},
		{"stops between crashes count nothing", testCrashStops},
		{"a crash of a job that was to be canceled", testCrashCanceled},
		{"a retry by hand forgets them", testCrashRetry},
		{"a success in quarantine", testQuarantineSuccess},
	}
}

func quarantineTests() []test {
	return []test{
		{"the beat says that a job waits in quarantine", testBeatQuarantine},
		{"but not before it is due", testBeatQuarantineDue},
	}
}

func testDeathOwners(f *fixture) {
	crashed, stopped, alive := f.worker(), f.worker(), f.worker()
	a, b, c, d := f.running(crashed), f.running(crashed), f.running(stopped), f.running(alive)
	f.must(f.Ledger.Bury(f.ctx, crashed, store.Death{Crash: true, Detail: "exit status 2"}))
	f.must(f.Ledger.Bury(f.ctx, stopped, store.Death{Detail: "the server was stopped"}))
	f.rescued(3)
	f.rescued(0)
	for _, j := range []*millrace.Job{a, b} {
		got := f.wantState(j.ID, millrace.Queued)
		f.wantCrashed(got, 1, "exit status 2")
		if got.Attempt != 0 || got.Fence != j.Fence+1 {
			f.Errorf("attempt %d fence %d, want 0 and %d", got.Attempt, got.Fence, j.Fence+1)
		}
	}
	got := f.wantState(c.ID, millrace.Queued)
	if got.Crashes != 0 || got.Attempt != 0 || got.Attempts[0].Outcome != millrace.AttemptReleased || got.Attempts[0].Spent {
		f.Errorf("job of the worker that was stopped: crashes %d, attempt %d, history %+v", got.Crashes, got.Attempt, got.Attempts)
	}
	f.wantState(d.ID, millrace.Running)
}

// wantCrashed checks the newest attempt and the count.
func (f *fixture) wantCrashed(j *millrace.Job, crashes int, detail string) {
	f.Helper()
	if j.Crashes != crashes {
		f.Errorf("crashes = %d, want %d", j.Crashes, crashes)
	}
	if j.State == millrace.Queued && j.Error != nil {
		f.Errorf("error of the waiting job = %+v, want none: the crash is the attempt's", j.Error)
	}
	if len(j.Attempts) == 0 {
		f.Fatal("no attempt in the history")
	}
	a := j.Attempts[len(j.Attempts)-1]
	if a.Outcome != millrace.AttemptCrashed || a.Spent || a.EndedAt.IsZero() {
		f.Errorf("attempt = %+v, want it crashed and not spent", a)
	}
	if want := "the worker process ended: " + detail; a.Error == nil || a.Error.Code != millrace.CodeInternal || a.Error.Message != want {
		f.Errorf("error of the attempt = %+v, want internal, %q", a.Error, want)
	}
}

func testDeathFirst(f *fixture) {
	w, v := f.worker(), f.worker()
	j, k := f.running(w), f.running(v)
	f.must(f.Ledger.Bury(f.ctx, w, store.Death{Crash: true, Detail: "signal: killed"}))
	f.must(f.Ledger.Bury(f.ctx, w, store.Death{Detail: "nobody knows"}))
	f.must(f.Ledger.Bury(f.ctx, v, store.Death{}))
	f.must(f.Ledger.Bury(f.ctx, v, store.Death{Crash: true, Detail: "too late"}))
	f.rescued(2)
	f.wantCrashed(f.wantState(j.ID, millrace.Queued), 1, "signal: killed")
	if got := f.wantState(k.ID, millrace.Queued); got.Crashes != 0 {
		f.Errorf("crashes = %d, want the death that the worker had", got.Crashes)
	}
}

func testDeathHost(f *fixture) {
	crashed, rebooted := newWorker(), newWorker()
	rebooted.BootID = "an older boot"
	var jobs []*millrace.Job
	for _, w := range []millrace.Worker{crashed, rebooted} {
		f.must(f.Worker.Register(f.ctx, w))
		jobs = append(jobs, f.running(w.ID))
	}
	n, err := f.Ledger.BuryHost(f.ctx, "mill", func(millrace.Worker) bool { return false }, func(w millrace.Worker) store.Death {
		return store.Death{Crash: w.BootID == "boot", Detail: "of " + w.ID}
	})
	f.count("BuryHost", 2)(n, err)
	f.rescued(2)
	f.wantCrashed(f.wantState(jobs[0].ID, millrace.Queued), 1, "of "+crashed.ID)
	if got := f.wantState(jobs[1].ID, millrace.Queued); got.Crashes != 0 || got.Attempts[0].Outcome != millrace.AttemptReleased {
		f.Errorf("job of the older boot: crashes %d, history %+v", got.Crashes, got.Attempts)
	}
}

func testDeathSilent(f *fixture) {
	j := f.running(f.worker())
	f.Age(f, time.Minute)
	f.count("BurySilent", 1)(f.Ledger.BurySilent(f.ctx, 30*time.Second))
	f.rescued(1)
	if got := f.wantState(j.ID, millrace.Queued); got.Crashes != 0 || got.Attempts[0].Outcome != millrace.AttemptReleased {
		f.Errorf("crashes %d, history %+v, want none: its host may be lost", got.Crashes, got.Attempts)
	}
}

func testDeathLeft(f *fixture) {
	w := f.worker()
	j := f.running(w)
	f.must(f.Worker.Leave(f.ctx, w))
	f.rescued(1)
	if got := f.wantState(j.ID, millrace.Queued); got.Crashes != 0 || got.Attempts[0].Outcome != millrace.AttemptReleased {
		f.Errorf("crashes %d, history %+v, want no crash", got.Crashes, got.Attempts)
	}
}

func testCrashOnce(f *fixture) {
	j := f.queued()
	got := f.crash(j.ID, 1)
	f.wantCrashed(got, 1, "signal: killed")
	if got.State != millrace.Queued || got.Queue != "cpu.normal" {
		f.Errorf("state %s, queue %s, want queued in its own", got.State, got.Queue)
	}
	if owed := f.owed(map[string]int{"cpu.normal": 10}); len(owed) != 1 || owed[0].Delivery != delivery(got) {
		f.Errorf("owed = %+v, want the job at once", owed)
	}
}

func testCrashQuarantine(f *fixture) {
	j := f.queued()
	for crashes := millrace.QuarantineCrashes; crashes < millrace.PoisonCrashes; crashes++ {
		got := f.crash(j.ID, crashes-f.get(j.ID).Crashes)
		f.wantCrashed(got, crashes, "signal: killed")
		if got.State != millrace.Queued || got.Queue != string(millrace.Quarantine) || got.Attempt != 0 {
			f.Fatalf("after %d crashes: %s in %s, attempt %d, want it queued in quarantine with none spent", crashes, got.State, got.Queue, got.Attempt)
		}
		if owed := f.owedIDs(); len(owed) > 0 {
			f.Errorf("owed to its own queue: %v", owed)
		}
		want := store.Owed{Delivery: delivery(got), Type: j.Type, Queue: string(millrace.Quarantine), Gen: f.generation()}
		if owed := f.owed(map[string]int{string(millrace.Quarantine): 10}); len(owed) != 1 || owed[0] != want {
			f.Errorf("owed to the quarantine = %+v, want %+v", owed, want)
		}
		if d := f.depth(string(millrace.Quarantine), 10); d.Ready != 1 {
			f.Errorf("depth of the quarantine = %+v, want 1 ready", d)
		}
	}
}

func testCrashPoison(f *fixture) {
	w, in := f.worker(), f.file()
	j := f.queued(inputs(in))
	got := f.crash(j.ID, millrace.PoisonCrashes)
	f.wantCrashed(got, millrace.PoisonCrashes, "signal: killed")
	if got.State != millrace.Failed || got.Error == nil || got.Error.Code != millrace.CodePoisoned || got.Attempt != 0 {
		f.Errorf("%s, error %+v, attempt %d, want it failed as poisoned with none spent", got.State, got.Error, got.Attempt)
	}
	if len(got.Attempts) != millrace.PoisonCrashes {
		f.Errorf("%d attempts in the history, want %d", len(got.Attempts), millrace.PoisonCrashes)
	}
	f.wantNear("ExpiresAt", got.ExpiresAt, f.Now().Add(got.Retention))
	if c := f.claims(w, delivery(got))[0]; c.Job != nil {
		f.Error("a poisoned job was claimed")
	}
	if owed := f.owed(map[string]int{string(millrace.Quarantine): 10, "cpu.normal": 10}); len(owed) > 0 {
		f.Errorf("owed = %+v, want none", owed)
	}
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID))
}

func testCrashStops(f *fixture) {
	j := f.queued()
	f.crash(j.ID, 1)
	for range 10 {
		w := f.worker()
		f.claim(w, j.ID)
		f.must(f.Ledger.Bury(f.ctx, w, store.Death{Detail: "the server was stopped"}))
		f.rescued(1)
	}
	got := f.wantState(j.ID, millrace.Queued)
	if got.Crashes != 1 || got.Queue != "cpu.normal" || got.Attempt != 0 || got.Starts != 11 {
		f.Errorf("crashes %d in %s, attempt %d, starts %d, want 1 in cpu.normal, 0, 11", got.Crashes, got.Queue, got.Attempt, got.Starts)
	}
	f.end(f.claim(f.worker(), j.ID), store.OutcomeRetry)
	if got = f.crash(j.ID, 1); got.Queue != string(millrace.Quarantine) || got.Attempt != 1 {
		f.Errorf("after the second crash: in %s, attempt %d, want quarantine and 1: errors and crashes count apart", got.Queue, got.Attempt)
	}
}

func testCrashCanceled(f *fixture) {
	j := f.queued()
	f.crash(j.ID, millrace.PoisonCrashes-1)
	w := f.worker()
	f.claim(w, j.ID)
	f.cancel(j.ID)
	f.must(f.Ledger.Bury(f.ctx, w, store.Death{Crash: true, Detail: "signal: killed"}))
	f.rescued(1)
	f.wantCanceled(j.ID)
}

func testCrashRetry(f *fixture) {
	for _, crashes := range []int{millrace.QuarantineCrashes, millrace.PoisonCrashes} {
		j := f.queued(func(j *millrace.Job) { j.Queue, j.Priority = "io.high", millrace.High })
		f.crash(j.ID, crashes)
		if crashes < millrace.PoisonCrashes {
			f.cancel(j.ID)
		}
		got := f.retry(j.ID)
		if got.State != millrace.Queued || got.Queue != "io.high" || got.Crashes != 0 || got.Run != 2 || got.Starts != crashes {
			f.Errorf("after %d crashes, Retry = %s in %s, crashes %d, run %d, starts %d", crashes, got.State, got.Queue, got.Crashes, got.Run, got.Starts)
		}
		if owed := f.owed(map[string]int{"io.high": 10, string(millrace.Quarantine): 10}); len(owed) != 1 || owed[0].Queue != "io.high" {
			f.Errorf("owed = %+v, want it in its own queue", owed)
		}
		if got = f.crash(j.ID, 1); got.Queue != "io.high" || got.Crashes != 1 {
			f.Errorf("the first crash of the new run led to %s, crashes %d", got.Queue, got.Crashes)
		}
		f.cancel(j.ID)
	}
	if _, err := f.Ledger.Retry(f.ctx, f.tenant, newID(), nil); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Retry of nothing = %v, want ErrNotFound", err)
	}
}

func testQuarantineSuccess(f *fixture) {
	j := f.queued()
	f.crash(j.ID, millrace.QuarantineCrashes)
	got := f.end(f.claim(f.worker(), j.ID), store.OutcomeSucceeded)
	if got.State != millrace.Succeeded || got.Attempt != 1 {
		f.Errorf("%s, attempt %d", got.State, got.Attempt)
	}
}

// quarantine beats and checks what the worker hears.
func (f *fixture) wantQuarantine(worker, when string, want bool) {
	f.Helper()
	reply, err := f.Worker.Beat(f.ctx, store.Beat{Worker: worker})
	f.must(err)
	if reply.Quarantine != want {
		f.Errorf("Beat %s: quarantine %v, want %v", when, reply.Quarantine, want)
	}
}

func testBeatQuarantine(f *fixture) {
	w := f.worker()
	j := f.queued()
	f.wantQuarantine(w, "with an ordinary job queued", false)
	f.crash(j.ID, 1)
	f.wantQuarantine(w, "after one crash", false)
	f.crash(j.ID, 1)
	f.wantQuarantine(w, "after two crashes", true)
	f.wantQuarantine(f.worker(), "of another worker", true)
	run := f.claim(f.worker(), j.ID)
	f.wantQuarantine(w, "while it runs", false)
	f.end(run, store.OutcomeReleased)
	f.wantQuarantine(w, "after its release", true)
	f.cancel(j.ID)
	f.wantQuarantine(w, "after its end", false)
}

func testBeatQuarantineDue(f *fixture) {
	w, j := f.worker(), f.queued()
	f.crash(j.ID, millrace.QuarantineCrashes)
	f.end(f.claim(w, j.ID), store.OutcomeRetry)
	f.wantQuarantine(w, "before the next attempt is due", false)
	f.Age(f, 2*time.Hour)
	f.wantQuarantine(w, "when it is due", true)
}
