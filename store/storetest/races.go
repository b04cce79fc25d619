package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// rounds is how often each race is run: enough that both orders happen, few enough for a slow disk.
const rounds = 25

func raceTests() []test {
	return []test{
		{"claim and claim", raceClaims},
		{"cancel and claim", raceCancelClaim},
		{"cancel and finish", raceCancelFinish},
		{"force cancel and finish", raceForceFinish},
		{"rescue and finish", raceRescueFinish},
		{"take a blob and collect it", raceTakeCollect},
		{"insert and delete the input", raceInsertDelete},
		{"insert and insert", raceInserts},
		{"lead and lead", raceLead},
	}
}

// together starts all functions at one moment and waits for them.
func together(fs ...func()) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for _, fn := range fs {
		wg.Go(func() { <-start; fn() })
	}
	close(start)
	wg.Wait()
}

func raceClaims(f *fixture) {
	var all []store.Delivery
	for range rounds {
		all = append(all, delivery(f.queued()))
	}
	owners := make([]atomic.Int32, len(all))
	var racers []func()
	for range 6 {
		w := f.worker()
		racers = append(racers, func() {
			claimed, err := f.Worker.Claim(f.ctx, w, all)
			if err != nil {
				f.Errorf("Claim: %v", err)
				return
			}
			for i, c := range claimed {
				if c.Job != nil {
					owners[i].Add(1)
				}
			}
		})
	}
	together(racers...)
	for i := range owners {
		if n := owners[i].Load(); n != 1 {
			f.Errorf("job %d has %d owners, want 1", i, n)
		}
	}
}

func raceCancelClaim(f *fixture) {
	w := f.worker()
	for range rounds {
		j := f.queued()
		var claimed bool
		together(func() {
			c, err := f.Worker.Claim(f.ctx, w, []store.Delivery{delivery(j)})
			claimed = err == nil && c[0].Job != nil
		}, func() {
			if _, err := f.Ledger.Cancel(f.ctx, f.tenant, j.ID); err != nil {
				f.Errorf("Cancel: %v", err)
			}
		})
		if claimed {
			if got := f.wantState(j.ID, millrace.Running); got.CancelAt.IsZero() {
				f.Error("the running job was not asked to stop")
			}
		} else {
			f.wantCanceled(j.ID)
		}
	}
}

func raceCancelFinish(f *fixture) {
	w := f.worker()
	for range rounds {
		j := f.running(w)
		o := f.outcome(j, store.OutcomeRetry)
		together(func() {
			if won, err := f.Worker.Finish(f.ctx, []store.Outcome{o}); err != nil || !won[0] {
				f.Errorf("Finish = %v, %v, want won: nobody took the job away", won, err)
			}
		}, func() {
			if _, err := f.Ledger.Cancel(f.ctx, f.tenant, j.ID); err != nil {
				f.Errorf("Cancel: %v", err)
			}
		})
		// Whoever was first: the job ends canceled and is not tried again.
		f.wantCanceled(j.ID)
	}
}

// wantOutcome checks that the job and its output stand or fall with the outcome.
func (f *fixture) wantOutcome(o store.Outcome, won bool, otherwise millrace.State) {
	f.Helper()
	want := otherwise
	if won {
		want = millrace.Succeeded
	}
	f.wantState(o.Job, want)
	_, err := f.Ledger.File(f.ctx, f.tenant, o.Outputs[0].File)
	if won != (err == nil) || (err != nil && !errors.Is(err, store.ErrNotFound)) {
		f.Errorf("won %v, but the output's File = %v", won, err)
	}
}

func raceForceFinish(f *fixture) {
	w := f.worker()
	for range rounds {
		j := f.running(w)
		f.cancel(j.ID)
		f.Age(f, time.Minute)
		o := f.outcome(j, store.OutcomeSucceeded)
		o.Outputs = []store.NewOutput{f.output("a.txt")}
		var won bool
		together(func() { won = f.finishRacing(o) }, func() {
			if _, err := f.Ledger.ForceCancel(f.ctx, time.Second); err != nil {
				f.Errorf("ForceCancel: %v", err)
			}
		})
		f.wantOutcome(o, won, millrace.Canceled)
	}
}

// finishRacing is finish for goroutines, which must not end the test.
func (f *fixture) finishRacing(o store.Outcome) bool {
	won, err := f.Worker.Finish(f.ctx, []store.Outcome{o})
	if err != nil {
		f.Errorf("Finish: %v", err)
		return false
	}
	return won[0]
}

func raceRescueFinish(f *fixture) {
	for range rounds {
		w := f.worker()
		j := f.running(w)
		f.must(f.Ledger.Bury(f.ctx, w, store.Death{Crash: true}))
		o := f.outcome(j, store.OutcomeSucceeded)
		o.Outputs = []store.NewOutput{f.output("a.txt")}
		var won bool
		together(func() { won = f.finishRacing(o) }, func() {
			if _, err := f.Ledger.Rescue(f.ctx); err != nil {
				f.Errorf("Rescue: %v", err)
			}
		})
		f.wantOutcome(o, won, millrace.Queued)
	}
}

func raceTakeCollect(f *fixture) {
	for range rounds {
		in := f.file()
		f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID))
		f.Age(f, 2*time.Hour)
		again := f.newFile()
		again.SHA256, again.Blob = in.SHA256, in.Blob
		var taken, collected bool
		together(func() {
			key, ok, err := f.Ledger.TakeBlob(f.ctx, f.tenant, in.SHA256)
			if err != nil || (ok && key != in.Blob) {
				f.Errorf("TakeBlob = %q, %v", key, err)
				return
			}
			if taken = ok; ok {
				if err := f.Ledger.CreateFile(f.ctx, again, nil); err != nil {
					f.Errorf("CreateFile on a blob just taken: %v", err)
				}
			}
		}, func() {
			keys, err := f.Ledger.DyingBlobs(f.ctx, time.Hour, 100)
			if err != nil {
				f.Errorf("DyingBlobs: %v", err)
			}
			for _, key := range keys {
				collected = collected || key == in.Blob
				if err := f.Ledger.ForgetBlob(f.ctx, key); err != nil {
					f.Errorf("ForgetBlob: %v", err)
				}
			}
		})
		if taken == collected {
			f.Fatalf("taken %v and collected %v: the bytes must be one's or the other's", taken, collected)
		}
		f.wantKnown(in.Blob, taken)
	}
}

func raceInsertDelete(f *fixture) {
	for range rounds {
		in := f.file()
		j := f.job(inputs(in))
		var inserted, deleted error
		together(
			func() { inserted = f.Ledger.Insert(f.ctx, []store.NewJob{{Job: j}})[0] },
			func() { deleted = f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID) },
		)
		jobFirst := inserted == nil && errors.Is(deleted, store.ErrInUse)
		fileFirst := errors.Is(inserted, store.ErrInputMissing) && deleted == nil
		if !jobFirst && !fileFirst {
			f.Fatalf("Insert = %v, DeleteFile = %v: want one of them refused", inserted, deleted)
		}
	}
}

func raceInserts(f *fixture) {
	var jobs []store.NewJob
	for range rounds {
		jobs = append(jobs, store.NewJob{Job: f.job(func(j *millrace.Job) { j.Tags = []string{"t"} })})
	}
	insert := func() {
		for i, err := range f.Ledger.Insert(f.ctx, jobs) {
			if err != nil {
				f.Errorf("Insert of job %d: %v", i, err)
			}
		}
	}
	together(insert, insert, insert)
	list, err := f.Ledger.List(f.ctx, f.tenant, store.JobFilter{Tag: "t", Limit: 1000})
	f.must(err)
	if len(list) != rounds {
		f.Errorf("List = %d jobs, want %d", len(list), rounds)
	}
}

func raceLead(f *fixture) {
	for range rounds {
		f.Age(f, time.Hour)
		var leaders atomic.Int32
		var racers []func()
		for range 4 {
			holder := newID()
			racers = append(racers, func() {
				_, leads, err := f.Ledger.Lead(f.ctx, "leader", holder, time.Minute)
				if err != nil {
					f.Errorf("Lead: %v", err)
				}
				if leads {
					leaders.Add(1)
				}
			})
		}
		together(racers...)
		if n := leaders.Load(); n != 1 {
			f.Fatalf("%d leaders, want 1", n)
		}
	}
}
