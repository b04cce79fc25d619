package storetest

import (
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// ending is one of the ways in which a run of a job ends. What hangs on the end, a freed key or a delivery, must hang on all of them.
type ending struct {
	name    string
	state   millrace.State
	prepare func(f *fixture) []func(*millrace.Job) // what the job must be like
	end     func(f *fixture, j *millrace.Job)      // from queued on
}

// endings are all there are.
func endings() []ending {
	finish := func(kind store.OutcomeKind, ask bool) func(*fixture, *millrace.Job) {
		return func(f *fixture, j *millrace.Job) {
			run := f.claim(f.worker(), j.ID)
			if ask {
				f.cancel(j.ID)
			}
			f.end(run, kind)
		}
	}
	asIs := func(*fixture) []func(*millrace.Job) { return nil }
	return []ending{
		{"success", millrace.Succeeded, asIs, finish(store.OutcomeSucceeded, false)},
		{"failure", millrace.Failed, asIs, finish(store.OutcomeFailed, false)},
		{"a canceled attempt", millrace.Canceled, asIs, finish(store.OutcomeCanceled, true)},
		{"a retry that was canceled", millrace.Canceled, asIs, finish(store.OutcomeRetry, true)},
		{"a release that was canceled", millrace.Canceled, asIs, finish(store.OutcomeReleased, true)},
		{"cancel", millrace.Canceled, asIs, func(f *fixture, j *millrace.Job) { f.cancel(j.ID) }},
		{"a forced cancel", millrace.Canceled, asIs, func(f *fixture, j *millrace.Job) {
			f.claim(f.worker(), j.ID)
			f.cancel(j.ID)
			f.Age(f, time.Minute)
			f.count("ForceCancel", 1)(f.Ledger.ForceCancel(f.ctx, 30*time.Second))
		}},
		{"the rescue of a canceled job", millrace.Canceled, asIs, func(f *fixture, j *millrace.Job) {
			w := f.worker()
			f.claim(w, j.ID)
			f.cancel(j.ID)
			f.must(f.Ledger.Bury(f.ctx, w, store.Death{}))
			f.rescued(1)
		}},
		{"poison", millrace.Failed, asIs, func(f *fixture, j *millrace.Job) { f.crash(j.ID, millrace.PoisonCrashes) }},
		{"its deadline", millrace.Failed, func(f *fixture) []func(*millrace.Job) {
			return []func(*millrace.Job){func(j *millrace.Job) { j.Deadline = f.Now().Add(time.Hour) }}
		}, func(f *fixture, j *millrace.Job) {
			f.Age(f, 2*time.Hour)
			f.count("FailOverdue", 1)(f.Ledger.FailOverdue(f.ctx, 10))
		}},
	}
}

// count checks what an upkeep method answers: f.count("Rescue", 1)(f.Ledger.Rescue(f.ctx)).
func (f *fixture) count(what string, want int) func(int, error) {
	f.Helper()
	return func(n int, err error) {
		f.Helper()
		f.must(err)
		if n != want {
			f.Fatalf("%s = %d, want %d", what, n, want)
		}
	}
}

func (f *fixture) rescued(want int) {
	f.Helper()
	f.count("Rescue", want)(f.Ledger.Rescue(f.ctx))
}

// crash lets the job be claimed by workers that die, times times, and answers it as it is then.
func (f *fixture) crash(id string, times int) *millrace.Job {
	f.Helper()
	for range times {
		w := f.worker()
		f.claim(w, id)
		f.must(f.Ledger.Bury(f.ctx, w, store.Death{Crash: true, Detail: "signal: killed"}))
		f.rescued(1)
	}
	return f.get(id)
}
