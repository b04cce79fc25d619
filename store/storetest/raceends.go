package storetest

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// endRaceTests let two of those meet that end a run, open one or take the job away. Whatever the order: one end, one delivery, and both sides
// are told the same.
func endRaceTests() []test {
	return []test{
		{"two outcomes of one attempt", raceOutcomes},
		{"one outcome twice", raceOutcomeTwice},
		{"old owner and new owner", raceOwners},
		{"outcome and rescue, with a delivery", raceOutcomeRescue},
		{"rescue and rescue", raceRescues},
		{"burial and claim", raceBuryClaim},
		{"cancel and cancel", raceCancels},
		{"cancel and rescue", raceCancelRescue},
		{"overdue and claim", raceOverdueClaim},
		{"overdue and cancel", raceOverdueCancel},
		{"refence and claim", raceRefenceClaim},
		{"pause and claim", racePauseClaim},
		{"retry and retry", raceRetries},
		{"retry and expiry", raceRetryExpiry},
		{"retry and delete", raceRetryDelete},
		{"retry and delete of the input", raceRetryInput},
		{"key and its expiry", raceKeyExpiry},
	}
}

// wantOneEnd checks that the run ended in one of the states, with one delivery.
func (f *fixture) wantOneEnd(id string, states ...millrace.State) *millrace.Job {
	f.Helper()
	j := f.get(id)
	if !slices.Contains(states, j.State) {
		f.Fatalf("job is %s, want one of %v", j.State, states)
	}
	f.wantDeliveries(id, j.State)
	return j
}

func raceOutcomes(f *fixture) {
	w := f.worker()
	for range rounds {
		j := f.running(w, anyEnd(), unique("u", 0))
		good, bad := f.outcome(j, store.OutcomeSucceeded), f.outcome(j, store.OutcomeFailed)
		good.Outputs = []store.NewOutput{f.output("a.txt")}
		var first, second bool
		together(func() { first = f.finishRacing(good) }, func() { second = f.finishRacing(bad) })
		if first == second {
			f.Fatalf("success won %v, failure won %v: want one of them", first, second)
		}
		f.wantOutcome(good, first, millrace.Failed)
		f.wantOneEnd(j.ID, millrace.Succeeded, millrace.Failed)
	}
}

func raceOutcomeTwice(f *fixture) {
	w := f.worker()
	for range rounds {
		j := f.running(w, anyEnd())
		o := f.outcome(j, store.OutcomeSucceeded)
		o.Outputs = []store.NewOutput{f.output("a.txt")}
		var won [3]bool
		together(func() { won[0] = f.finishRacing(o) }, func() { won[1] = f.finishRacing(o) }, func() { won[2] = f.finishRacing(o) })
		if won != [3]bool{true, true, true} {
			f.Fatalf("won %v: it is one outcome, whoever asks", won)
		}
		f.wantOutcome(o, true, millrace.Succeeded)
		f.wantOneEnd(j.ID, millrace.Succeeded)
	}
}

// raceOwners is the frozen worker that thaws beside its successor.
func raceOwners(f *fixture) {
	for range rounds {
		w := f.worker()
		old := f.running(w, anyEnd())
		f.must(f.Ledger.Bury(f.ctx, w, store.Death{}))
		f.rescued(1)
		next := f.claim(f.worker(), old.ID)
		late, own := f.outcome(old, store.OutcomeSucceeded), f.outcome(next, store.OutcomeFailed)
		var stale, won bool
		together(func() { stale = f.finishRacing(late) }, func() { won = f.finishRacing(own) })
		if stale || !won {
			f.Fatalf("the old owner won %v, the new one %v", stale, won)
		}
		f.wantOneEnd(old.ID, millrace.Failed)
	}
}

func raceOutcomeRescue(f *fixture) {
	for range rounds {
		w := f.worker()
		j := f.running(w, anyEnd(), unique("u", 0))
		f.must(f.Ledger.Bury(f.ctx, w, store.Death{Crash: true, Detail: "signal: killed"}))
		o := f.outcome(j, store.OutcomeSucceeded)
		var won bool
		var rescued int
		together(func() { won = f.finishRacing(o) }, func() {
			var err error
			if rescued, err = f.Ledger.Rescue(f.ctx); err != nil {
				f.Errorf("Rescue: %v", err)
			}
		})
		if won == (rescued == 1) {
			f.Fatalf("the outcome won %v and the rescue took %d: want one of them", won, rescued)
		}
		if won {
			f.wantOneEnd(j.ID, millrace.Succeeded)
			continue
		}
		f.wantCrashed(f.wantState(j.ID, millrace.Queued), 1, "signal: killed")
		f.wantDeliveries(j.ID)
		f.cancel(j.ID)
	}
}

func raceRescues(f *fixture) {
	for range rounds {
		w := f.worker()
		a, b := f.running(w), f.running(w)
		f.must(f.Ledger.Bury(f.ctx, w, store.Death{Crash: true, Detail: "signal: killed"}))
		var total atomic.Int32
		rescue := func() {
			n, err := f.Ledger.Rescue(f.ctx)
			if err != nil {
				f.Errorf("Rescue: %v", err)
			}
			total.Add(int32(n))
		}
		together(rescue, rescue, rescue, rescue)
		if n := total.Load(); n != 2 {
			f.Fatalf("%d jobs rescued, want 2", n)
		}
		for _, j := range []*millrace.Job{a, b} {
			f.wantCrashed(f.wantState(j.ID, millrace.Queued), 1, "signal: killed")
			f.cancel(j.ID)
		}
	}
}

// raceBuryClaim: a claim that met the burial of its worker must not stay behind.
func raceBuryClaim(f *fixture) {
	for range rounds {
		w, j := f.worker(), f.queued()
		var claimed bool
		together(func() {
			c, err := f.Worker.Claim(f.ctx, w, []store.Delivery{delivery(j)})
			if err != nil && !errors.Is(err, store.ErrBuried) {
				f.Errorf("Claim: %v", err)
			}
			claimed = err == nil && c[0].Job != nil
		}, func() {
			if err := f.Ledger.Bury(f.ctx, w, store.Death{}); err != nil {
				f.Errorf("Bury: %v", err)
			}
			if _, err := f.Ledger.Rescue(f.ctx); err != nil {
				f.Errorf("Rescue: %v", err)
			}
		})
		_, err := f.Ledger.Rescue(f.ctx) // the sweep that comes a second later
		f.must(err)
		got := f.wantState(j.ID, millrace.Queued)
		if claimed != (got.Starts == 1) {
			f.Fatalf("claimed %v, and %d starts", claimed, got.Starts)
		}
		f.end(f.claim(f.worker(), j.ID), store.OutcomeSucceeded)
	}
}

func raceCancels(f *fixture) {
	for range rounds {
		j := f.queued(anyEnd())
		var done atomic.Int32
		cancel := func() {
			_, err := f.Ledger.Cancel(f.ctx, f.tenant, j.ID)
			if err == nil {
				done.Add(1)
			} else if !errors.Is(err, store.ErrState) {
				f.Errorf("Cancel: %v", err)
			}
		}
		together(cancel, cancel, cancel)
		if done.Load() == 0 {
			f.Error("nobody canceled the job")
		}
		f.wantOneEnd(j.ID, millrace.Canceled)
	}
}

func raceCancelRescue(f *fixture) {
	for range rounds {
		w := f.worker()
		j := f.running(w, anyEnd())
		f.must(f.Ledger.Bury(f.ctx, w, store.Death{}))
		together(func() {
			if _, err := f.Ledger.Cancel(f.ctx, f.tenant, j.ID); err != nil {
				f.Errorf("Cancel: %v", err)
			}
		}, func() {
			if _, err := f.Ledger.Rescue(f.ctx); err != nil {
				f.Errorf("Rescue: %v", err)
			}
		})
		// A sweep may pass over a row that another transaction holds: the next one finds it. The job was asked to end, and does.
		_, err := f.Ledger.Rescue(f.ctx)
		f.must(err)
		f.wantOneEnd(j.ID, millrace.Canceled)
	}
}

func raceOverdueClaim(f *fixture) {
	w := f.worker()
	for range rounds / 2 {
		late, fine := f.queued(anyEnd(), f.deadline(time.Hour)), f.queued()
		f.Age(f, 2*time.Hour)
		together(func() {
			c, err := f.Worker.Claim(f.ctx, w, []store.Delivery{delivery(late), delivery(fine)})
			if err != nil || c[0].Job != nil || c[1].Job == nil {
				f.Errorf("Claim = %+v, %v, want the overdue one refused and the other taken", c, err)
			}
		}, func() {
			if n, err := f.Ledger.FailOverdue(f.ctx, 100); err != nil || n != 1 {
				f.Errorf("FailOverdue = %d, %v, want 1", n, err)
			}
		})
		f.wantOneEnd(late.ID, millrace.Failed)
		f.wantState(fine.ID, millrace.Running)
	}
}

func raceOverdueCancel(f *fixture) {
	for range rounds / 2 {
		j := f.queued(anyEnd(), f.deadline(time.Hour))
		f.Age(f, 2*time.Hour)
		var canceled bool
		var failed int
		together(func() {
			_, err := f.Ledger.Cancel(f.ctx, f.tenant, j.ID)
			if canceled = err == nil; err != nil && !errors.Is(err, store.ErrState) {
				f.Errorf("Cancel: %v", err)
			}
		}, func() {
			var err error
			if failed, err = f.Ledger.FailOverdue(f.ctx, 100); err != nil {
				f.Errorf("FailOverdue: %v", err)
			}
		})
		if canceled == (failed == 1) {
			f.Fatalf("canceled %v and overdue %d: want one of them", canceled, failed)
		}
		if canceled {
			f.wantOneEnd(j.ID, millrace.Canceled)
		} else {
			f.wantOneEnd(j.ID, millrace.Failed)
		}
	}
}

func raceRefenceClaim(f *fixture) {
	w := f.worker()
	for range rounds {
		j := f.queued()
		var claimed bool
		together(func() {
			c, err := f.Worker.Claim(f.ctx, w, []store.Delivery{delivery(j)})
			if err != nil {
				f.Errorf("Claim: %v", err)
				return
			}
			claimed = c[0].Job != nil
		}, func() {
			if err := f.Ledger.Refence(f.ctx, []store.Delivery{delivery(j)}); err != nil {
				f.Errorf("Refence: %v", err)
			}
		})
		got := f.get(j.ID)
		if want := map[bool]millrace.State{true: millrace.Running, false: millrace.Queued}[claimed]; got.State != want || got.Fence != j.Fence+1 {
			f.Fatalf("claimed %v: the job is %s under the fence %d, want %s under %d", claimed, got.State, got.Fence, want, j.Fence+1)
		}
		if !claimed {
			f.claim(w, j.ID)
		}
	}
}

// racePauseClaim: a claim that is refused leaves the job owed after the pause, however its mark was set.
func racePauseClaim(f *fixture) {
	w := f.worker()
	for range rounds {
		j := f.queued()
		f.must(f.Ledger.MarkSent(f.ctx, []store.Delivery{delivery(j)}, f.generation()))
		var claimed bool
		together(func() {
			c, err := f.Worker.Claim(f.ctx, w, []store.Delivery{delivery(j)})
			if err != nil {
				f.Errorf("Claim: %v", err)
				return
			}
			claimed = c[0].Job != nil
		}, func() {
			for _, paused := range []bool{true, false} {
				if err := f.Ledger.PauseQueue(f.ctx, "cpu.normal", paused); err != nil {
					f.Errorf("PauseQueue: %v", err)
				}
			}
		})
		if owed := f.owedIDs(); slices.Contains(owed, j.ID) == claimed {
			f.Fatalf("claimed %v, and owed: %v", claimed, owed)
		}
		if !claimed {
			f.claim(w, j.ID)
		}
	}
}

func raceRetries(f *fixture) {
	w := f.worker()
	for range rounds {
		j := f.end(f.running(w, unique("u", 0)), store.OutcomeFailed)
		var opened atomic.Int32
		retry := func() {
			_, err := f.Ledger.Retry(f.ctx, f.tenant, j.ID, nil)
			if err == nil {
				opened.Add(1)
			} else if !errors.Is(err, store.ErrState) {
				f.Errorf("Retry = %v, want ErrState where another was first", err)
			}
		}
		together(retry, retry, retry, retry)
		if n := opened.Load(); n != 1 {
			f.Fatalf("%d retries opened a run, want 1", n)
		}
		if got := f.wantState(j.ID, millrace.Queued); got.Run != 2 || got.Fence != j.Fence+1 {
			f.Fatalf("run %d, fence %d, want 2 and %d", got.Run, got.Fence, j.Fence+1)
		}
		f.cancel(j.ID)
	}
}

func raceRetryExpiry(f *fixture) {
	w := f.worker()
	for range rounds / 2 {
		in := f.file()
		j := f.end(f.running(w, inputs(in), func(j *millrace.Job) { j.Retention = time.Hour }), store.OutcomeFailed)
		f.Age(f, 2*time.Hour)
		f.raceRetryGone(j, func() error {
			_, err := f.Ledger.ExpireJobs(f.ctx, 100)
			return err
		}, nil)
	}
}

func raceRetryDelete(f *fixture) {
	w := f.worker()
	for range rounds {
		j := f.end(f.running(w, anyEnd(), unique("u", 0)), store.OutcomeFailed)
		f.raceRetryGone(j, func() error { return f.Ledger.Delete(f.ctx, f.tenant, j.ID) }, store.ErrState)
	}
}

// raceRetryGone lets a retry meet what removes the job: either it is gone, or it runs again and nothing is missing.
func (f *fixture) raceRetryGone(j *millrace.Job, remove func() error, refused error) {
	f.Helper()
	var retry, removed error
	together(func() { _, retry = f.Ledger.Retry(f.ctx, f.tenant, j.ID, nil) }, func() { removed = remove() })
	if removed != nil && !errors.Is(removed, refused) {
		f.Fatalf("remove: %v", removed)
	}
	if errors.Is(retry, store.ErrNotFound) {
		f.wantGone(j.ID)
		return
	}
	f.must(retry)
	got := f.wantState(j.ID, millrace.Queued)
	if got.Run != 2 || !got.ExpiresAt.IsZero() {
		f.Fatalf("run %d expires at %v, want run 2 and no end", got.Run, got.ExpiresAt)
	}
	c := f.claims(f.worker(), delivery(got))[0]
	if c.Job == nil || len(c.Inputs) != len(j.Inputs) || len(c.Inputs) > 0 && c.Inputs[0].ID == "" {
		f.Fatalf("claimed after all: %+v", c)
	}
	f.end(c.Job, store.OutcomeSucceeded)
}

func raceRetryInput(f *fixture) {
	w := f.worker()
	for range rounds {
		in := f.file()
		j := f.end(f.running(w, inputs(in)), store.OutcomeFailed)
		var retry, deleted error
		together(func() { _, retry = f.Ledger.Retry(f.ctx, f.tenant, j.ID, nil) },
			func() { deleted = f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID) })
		retried := retry == nil && errors.Is(deleted, store.ErrInUse)
		gone := errors.Is(retry, store.ErrInputMissing) && deleted == nil
		if !retried && !gone {
			f.Fatalf("Retry = %v, DeleteFile = %v: want one of them refused", retry, deleted)
		}
	}
}

// raceKeyExpiry: an old key is either heard once more or free; what is written under it is there.
func raceKeyExpiry(f *fixture) {
	for range rounds / 2 {
		old := &store.Idempotency{Key: "k", Hash: "old", Answer: []byte("old")}
		f.must(f.insertKeyed(f.job(), old))
		f.Age(f, 25*time.Hour)
		j := f.job()
		var inserted error
		together(func() { inserted = f.Ledger.Insert(f.ctx, []store.NewJob{{Job: j, Idempotency: key("k")}})[0] }, func() {
			if n, err := f.Ledger.ExpireKeys(f.ctx, 100); err != nil || n != 1 {
				f.Errorf("ExpireKeys = %d, %v, want 1", n, err)
			}
		})
		if inserted != nil {
			f.wantReplay("Insert before the expiry", inserted, old)
			f.wantGone(j.ID)
			f.wantAnswer("k", nil)
			continue
		}
		f.wantState(j.ID, millrace.Queued)
		f.wantAnswer("k", key("k"))
		f.Age(f, 25*time.Hour)
		f.count("ExpireKeys", 1)(f.Ledger.ExpireKeys(f.ctx, 100))
	}
}
