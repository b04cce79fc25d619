package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func uniqueTests() []test {
	tests := []test{
		{"a live job keeps others out", testUnique},
		{"in one insert", testUniqueInOneInsert},
		{"of another tenant", testUniqueForeign},
		{"a time to live", testUniqueTTL},
		{"a new holder keeps the key when the old job ends", testUniqueTaken},
		{"expiry by the upkeep", testUniqueExpiry},
		{"a retry takes it again", testUniqueRetry},
		{"a retry while it is held", testUniqueRetryHeld},
		{"16 jobs at once", raceUniques},
		{"freed and taken", raceUniqueFreed},
		{"retry and insert", raceUniqueRetry},
	}
	for _, e := range endings() {
		tests = append(tests, test{"freed by " + e.name, func(f *fixture) { f.testUniqueFreed(e) }})
	}
	return tests
}

func unique(key string, ttl time.Duration) func(*millrace.Job) {
	return func(j *millrace.Job) { j.Unique = &millrace.Unique{Key: key, TTL: ttl} }
}

// try inserts one job and answers its error.
func (f *fixture) try(j *millrace.Job) error {
	f.Helper()
	return f.insertKeyed(j, nil)
}

// wantHeld checks that err names the job that has the unique key.
func (f *fixture) wantHeld(what string, err error, holder string) {
	f.Helper()
	held, ok := errors.AsType[*store.HeldError](err)
	if !ok {
		f.Fatalf("%s = %v, want a HeldError", what, err)
	}
	if held.Job != holder {
		f.Errorf("%s: job %s has the key, want %s", what, held.Job, holder)
	}
}

func testUnique(f *fixture) {
	w := f.worker()
	first := f.queued(unique("u", 0))
	if got := f.get(first.ID).Unique; got == nil || *got != (millrace.Unique{Key: "u"}) {
		f.Errorf("unique read back = %+v", got)
	}
	second := f.job(unique("u", 0))
	f.wantHeld("Insert while it is queued", f.try(second), first.ID)
	f.wantGone(second.ID)
	run := f.claim(w, first.ID)
	f.wantHeld("Insert while it runs", f.try(second), first.ID)
	f.end(run, store.OutcomeRetry)
	f.wantHeld("Insert between its attempts", f.try(second), first.ID)
	f.end(f.claim(w, first.ID), store.OutcomeReleased)
	f.wantHeld("Insert after its release", f.try(second), first.ID)
	f.must(f.try(first)) // its own repetition is no second job
	f.queued(unique("v", 0))
	f.queued()
	f.end(f.claim(w, first.ID), store.OutcomeSucceeded)
	f.must(f.try(second))
	f.wantHeld("Insert while the second lives", f.try(f.job(unique("u", 0))), second.ID)
}

func testUniqueInOneInsert(f *fixture) {
	bad := f.job(unique("u", 0), func(j *millrace.Job) { j.Inputs = []millrace.Input{{File: newID()}} })
	a, b, c, d := f.job(unique("u", 0)), f.job(unique("u", 0)), f.job(unique("v", 0)), f.job()
	errs := f.Ledger.Insert(f.ctx, []store.NewJob{{Job: bad}, {Job: a}, {Job: b, Idempotency: key("k")}, {Job: c}, {Job: d}})
	if !errors.Is(errs[0], store.ErrInputMissing) || errs[1] != nil || errs[3] != nil || errs[4] != nil {
		f.Errorf("Insert = %v, want [ErrInputMissing nil held nil nil]: a refused job takes no key", errs)
	}
	f.wantHeld("the third row", errs[2], a.ID)
	f.wantGone(b.ID)
	f.wantAnswer("k", nil)
	f.wantState(a.ID, millrace.Queued)
}

func testUniqueForeign(f *fixture) {
	f.queued(unique("u", 0))
	f.must(f.try(f.job(unique("u", 0), func(j *millrace.Job) { j.Tenant = f.other })))
}

func testUniqueTTL(f *fixture) {
	first := f.queued(unique("u", time.Hour))
	if got := f.get(first.ID).Unique; got == nil || *got != (millrace.Unique{Key: "u", TTL: time.Hour}) {
		f.Errorf("unique read back = %+v", got)
	}
	f.Age(f, 30*time.Minute)
	f.wantHeld("Insert within the time to live", f.try(f.job(unique("u", 0))), first.ID)
	f.Age(f, 31*time.Minute)
	second := f.job(unique("u", 0))
	f.must(f.try(second)) // whether or not the upkeep ran
	f.wantHeld("Insert while the second lives", f.try(f.job(unique("u", 0))), second.ID)
}

func testUniqueTaken(f *fixture) {
	w := f.worker()
	first := f.running(w, unique("u", time.Hour))
	f.Age(f, 2*time.Hour)
	second := f.queued(unique("u", 0))
	f.end(first, store.OutcomeSucceeded) // frees its own key only, which it has no more
	f.wantHeld("Insert after the first holder's end", f.try(f.job(unique("u", 0))), second.ID)
}

func testUniqueExpiry(f *fixture) {
	never, short := f.queued(unique("never", 0)), f.queued(unique("short", time.Hour))
	f.queued(unique("long", 1000*time.Hour))
	f.Age(f, 2*time.Hour)
	if n := f.expireKeys(10); n != 1 {
		f.Errorf("ExpireKeys = %d, want the one whose time is over", n)
	}
	f.wantHeld("Insert", f.try(f.job(unique("never", 0))), never.ID)
	f.must(f.try(f.job(unique("short", 0))))
	f.wantState(short.ID, millrace.Queued) // its job goes on
}

func testUniqueRetry(f *fixture) {
	w := f.worker()
	j := f.end(f.running(w, unique("u", time.Hour)), store.OutcomeFailed)
	f.Age(f, 2*time.Hour)
	again := f.retry(j.ID)
	if again.Unique == nil || *again.Unique != *j.Unique {
		f.Errorf("unique of the new run = %+v, want %+v", again.Unique, j.Unique)
	}
	f.wantHeld("Insert during the second run", f.try(f.job(unique("u", 0))), j.ID)
	f.Age(f, 30*time.Minute)
	f.wantHeld("Insert within the second run's own time", f.try(f.job(unique("u", 0))), j.ID)
	f.end(f.claim(w, j.ID), store.OutcomeSucceeded)
	f.must(f.try(f.job(unique("u", 0))))
}

func testUniqueRetryHeld(f *fixture) {
	w := f.worker()
	j := f.end(f.running(w, unique("u", 0)), store.OutcomeFailed)
	holder := f.running(w, unique("u", 0))
	before := f.get(j.ID)
	_, err := f.Ledger.Retry(f.ctx, f.tenant, j.ID, nil)
	f.wantHeld("Retry while another job has the key", err, holder.ID)
	if diff := jobDiff(f.get(j.ID), before); diff != "" {
		f.Errorf("a refused Retry changed the job (-want +got):\n%s", diff)
	}
	f.end(holder, store.OutcomeSucceeded)
	f.retry(j.ID)
	f.wantHeld("Insert after the Retry", f.try(f.job(unique("u", 0))), j.ID)
}

func (f *fixture) testUniqueFreed(e ending) {
	j := f.queued(append(e.prepare(f), unique("u", 0))...)
	f.wantHeld("Insert before its end", f.try(f.job(unique("u", 0))), j.ID)
	e.end(f, j)
	f.wantState(j.ID, e.state)
	next := f.job(unique("u", 0))
	if err := f.try(next); err != nil {
		f.Fatalf("Insert after %s: %v, want the key free", e.name, err)
	}
	f.wantHeld("Insert while the next one lives", f.try(f.job(unique("u", 0))), next.ID)
}

// raceUniques: of jobs with one unique key exactly one is written, and the others hear which.
func raceUniques(f *fixture) {
	for round := range rounds {
		var mu sync.Mutex
		var written []string
		held := map[string]int{}
		var fs []func()
		for range racers {
			j := f.job(unique(fmt.Sprint("u", round), 0))
			fs = append(fs, func() {
				err := f.Ledger.Insert(f.ctx, []store.NewJob{{Job: j}})[0]
				mu.Lock()
				defer mu.Unlock()
				if h, ok := errors.AsType[*store.HeldError](err); ok {
					held[h.Job]++
				} else if err != nil {
					f.Errorf("Insert: %v", err)
				} else {
					written = append(written, j.ID)
				}
			})
		}
		together(fs...)
		if len(written) != 1 || held[written[0]] != racers-1 {
			f.Fatalf("written %v, held by %v: want one job and all others refused for it", written, held)
		}
	}
}

// raceUniqueFreed: a job ends while another wants its key. Whoever is first, there is never a second live job.
func raceUniqueFreed(f *fixture) {
	w := f.worker()
	for round := range rounds {
		u := unique(fmt.Sprint("u", round), 0)
		old, next := f.running(w, u), f.job(u)
		var err error
		together(func() { f.finishRacing(f.outcome(old, store.OutcomeSucceeded)) },
			func() { err = f.Ledger.Insert(f.ctx, []store.NewJob{{Job: next}})[0] })
		if err != nil {
			f.wantHeld("Insert beside the end", err, old.ID)
			f.must(f.try(next))
		}
		f.wantState(old.ID, millrace.Succeeded)
		f.wantHeld("Insert after both", f.try(f.job(u)), next.ID)
	}
}

func raceUniqueRetry(f *fixture) {
	w := f.worker()
	for round := range rounds {
		u := unique(fmt.Sprint("u", round), 0)
		old, next := f.end(f.running(w, u), store.OutcomeFailed), f.job(u)
		var retry, insert error
		together(func() { _, retry = f.Ledger.Retry(f.ctx, f.tenant, old.ID, nil) },
			func() { insert = f.Ledger.Insert(f.ctx, []store.NewJob{{Job: next}})[0] })
		switch {
		case retry == nil:
			f.wantHeld("Insert after the Retry", insert, old.ID)
			f.wantState(old.ID, millrace.Queued)
		case insert == nil:
			f.wantHeld("Retry after the Insert", retry, next.ID)
			f.wantState(old.ID, millrace.Failed)
		default:
			f.Fatalf("Retry = %v, Insert = %v: want one of them", retry, insert)
		}
	}
}
