package storetest

import (
	"errors"
	"sync/atomic"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// crowd is more than the transaction of a leader's end takes along.
const crowd = 700

// states counts the jobs of rows by state.
func (f *fixture) states(rows []store.NewJob) map[millrace.State]int {
	f.Helper()
	count := map[millrace.State]int{}
	for _, r := range rows {
		count[f.get(r.ID).State]++
	}
	return count
}

func testEqualMany(f *fixture) {
	for _, kind := range []store.OutcomeKind{store.OutcomeSucceeded, store.OutcomeFailed, store.OutcomeCanceled} {
		leader, rows := f.led(crowd)
		var files []store.NewOutput
		if kind == store.OutcomeSucceeded {
			files = append(files, f.output("a"), f.output("b"))
		}
		f.end(leader, kind, outputs(files...))
		if kind == store.OutcomeCanceled {
			if count := f.states(rows); count[millrace.Queued] != 1 || count[millrace.Waiting] != crowd-1 {
				f.Errorf("after %s: %v", kind, count)
			}
			f.end(f.claim(f.worker(), rows[0].ID), store.OutcomeSucceeded)
			rows, kind = rows[1:], store.OutcomeSucceeded
		}
		if count := f.states(rows); count[millrace.Waiting] == 0 || count[millrace.Waiting] == len(rows) {
			f.Errorf("after %s: %v, want some released and some not", kind, count)
		}
		late := f.equals(leader.CacheKey, 2) // nobody joins those who wait for one that has ended
		f.insertRows(late...)
		f.wantState(late[0].ID, millrace.Queued)
		f.wantState(late[1].ID, millrace.Waiting)
		f.release()
		if count := f.states(rows); count[millrace.State(kind)] != len(rows) {
			f.Errorf("after %s and ReleaseWaiting: %v", kind, count)
		}
		if last := f.get(rows[len(rows)-1].ID); len(last.Outputs) != len(files) {
			f.Errorf("the last has the outputs %+v", last.Outputs)
		}
		f.wantState(late[1].ID, millrace.Waiting)
	}
}

func testEqualGone(f *fixture) {
	leader, rows := f.led(crowd)
	out := f.output("a")
	f.end(leader, store.OutcomeSucceeded, outputs(out))
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, out.File))
	f.release()
	f.wantOneLeads(rows)
}

func testEqualDeleted(f *fixture) {
	leader, rows := f.led(crowd)
	f.end(leader, store.OutcomeFailed)
	f.must(f.Ledger.Delete(f.ctx, f.tenant, leader.ID))
	f.release()
	f.wantOneLeads(rows)
}

func testEqualRetried(f *fixture) {
	leader, rows := f.led(crowd)
	f.end(leader, store.OutcomeFailed)
	late := f.equals(leader.CacheKey, 1)
	f.insertRows(late...)
	again, err := f.Ledger.Retry(f.ctx, f.tenant, leader.ID, nil)
	f.must(err)
	f.release()
	if count := f.states(rows); count[millrace.Queued] != 0 || count[millrace.Waiting] == 0 {
		f.Errorf("%v, want the others to wait for the one that leads by now", count)
	}
	f.end(f.claim(f.worker(), again.ID), store.OutcomeSucceeded) // a retry leads nobody
	f.end(f.claim(f.worker(), late[0].ID), store.OutcomeCanceled)
	f.wantOneLeads(rows)
}

// wantOneLeads wants the rest of a crowd to wait for the oldest of them, and to end with it.
func (f *fixture) wantOneLeads(rows []store.NewJob) {
	f.Helper()
	count := f.states(rows)
	if count[millrace.Queued] != 1 || count[millrace.Waiting] == 0 {
		f.Fatalf("%v, want one to lead and others to wait", count)
	}
	for _, r := range rows {
		if got := f.get(r.ID); got.State == millrace.Queued {
			f.end(f.claim(f.worker(), r.ID), store.OutcomeSucceeded)
			break
		} else if got.State == millrace.Waiting {
			f.Fatal("the oldest does not lead")
		}
	}
	f.release()
	if count := f.states(rows); count[millrace.Waiting]+count[millrace.Queued] != 0 {
		f.Errorf("in the end: %v", count)
	}
}

func testEqualAgain(f *fixture) {
	leader, _ := f.led(1)
	f.end(leader, store.OutcomeSucceeded)
	next := f.equals(leader.CacheKey, 2)
	f.insertRows(next...)
	f.wantState(next[0].ID, millrace.Queued)
	f.wantState(next[1].ID, millrace.Waiting)
}

func equalRaceTests() []test {
	return []test{
		{"a hundred equal jobs", raceEqualInserts},
		{"insert and finish", raceEqualFinish},
		{"cancel one that waits and finish", raceEqualCancel},
		{"cancel the leader and insert", raceEqualLead},
		{"two ends and two inserts in opposite orders", raceEqualOrders},
	}
}

func raceEqualInserts(f *fixture) {
	key := newSum()
	rows := f.equals(key, 100)
	var racers []func()
	for i := range 10 {
		racers = append(racers, func() {
			for n := range 10 {
				f.mustSoon(f.Ledger.Insert(f.ctx, rows[i*10+n:i*10+n+1])[0])
			}
		})
	}
	together(racers...)
	leader := ""
	for _, r := range rows {
		if f.get(r.ID).State != r.State {
			f.Errorf("Insert left the state %s, and it is %s", r.State, f.get(r.ID).State)
		}
		if r.State == millrace.Queued {
			leader = r.ID
		}
	}
	if count := f.states(rows); count[millrace.Queued] != 1 || count[millrace.Waiting] != 99 {
		f.Fatalf("%v, want one leader", count)
	}
	f.end(f.claim(f.worker(), leader), store.OutcomeSucceeded)
	if count := f.states(rows); count[millrace.Succeeded] != 100 {
		f.Errorf("after the leader's end: %v", count)
	}
}

// mustSoon is must for goroutines beside the test's own.
func (f *fixture) mustSoon(err error) {
	f.Helper()
	if err != nil {
		f.Errorf("unexpected error: %v", err)
	}
}

// raceEqualFinish: whoever comes while the leader ends is released with it or leads.
func raceEqualFinish(f *fixture) {
	for range rounds {
		leader, _ := f.led(1)
		rows := f.equals(leader.CacheKey, 3)
		o := f.outcome(leader, store.OutcomeSucceeded)
		o.Outputs = []store.NewOutput{f.output("a")}
		together(
			func() { _, err := f.Worker.Finish(f.ctx, []store.Outcome{o}); f.mustSoon(err) },
			func() { f.mustSoon(f.Ledger.Insert(f.ctx, rows[:1])[0]) },
			func() { f.mustSoon(errors.Join(f.Ledger.Insert(f.ctx, rows[1:])...)) },
		)
		count := f.states(rows)
		if count[millrace.Queued] > 1 || count[millrace.Waiting] > 0 && count[millrace.Queued] != 1 ||
			count[millrace.Queued]+count[millrace.Waiting]+count[millrace.Succeeded] != 3 {
			f.Fatalf("%v", count)
		}
	}
}

func raceEqualCancel(f *fixture) {
	for i := range rounds {
		leader, rows := f.led(2, everyEvent)
		kind := []store.OutcomeKind{store.OutcomeSucceeded, store.OutcomeFailed, store.OutcomeCanceled}[i%3]
		together(
			func() { _, err := f.Worker.Finish(f.ctx, []store.Outcome{f.outcome(leader, kind)}); f.mustSoon(err) },
			func() {
				if _, err := f.Ledger.Cancel(f.ctx, f.tenant, rows[0].ID); err != nil && !errors.Is(err, store.ErrState) {
					f.Errorf("Cancel: %v", err)
				}
			},
		)
		f.release()
		first, second := f.get(rows[0].ID), f.get(rows[1].ID)
		end := millrace.State(kind)
		switch {
		case !first.State.Final() || first.State != end && first.State != millrace.Canceled:
			f.Errorf("%s: the canceled one is %s", kind, first.State)
		case kind == store.OutcomeCanceled && second.State != millrace.Queued:
			f.Errorf("%s: the other one is %s, want queued", kind, second.State)
		case kind != store.OutcomeCanceled && second.State != end:
			f.Errorf("%s: the other one is %s", kind, second.State)
		}
		f.wantTold(first)
	}
}

func raceEqualLead(f *fixture) {
	for range rounds {
		key := newSum()
		rows := f.equals(key, 4)
		f.insertRows(rows[0])
		var inserted atomic.Int32
		racers := []func(){func() { _, err := f.Ledger.Cancel(f.ctx, f.tenant, rows[0].ID); f.mustSoon(err) }}
		for i := range rows[1:] {
			racers = append(racers, func() { f.mustSoon(f.Ledger.Insert(f.ctx, rows[i+1:i+2])[0]); inserted.Add(1) })
		}
		together(racers...)
		if count := f.states(rows[1:]); count[millrace.Queued] != 1 || count[millrace.Waiting] != 2 {
			f.Fatalf("%v after %d inserts, want one leader", count, inserted.Load())
		}
	}
}

func raceEqualOrders(f *fixture) {
	for range rounds {
		one, _ := f.led(1)
		two, _ := f.led(1)
		first, second := f.equals(one.CacheKey, 2), f.equals(two.CacheKey, 2)
		ends := []store.Outcome{f.outcome(one, store.OutcomeSucceeded), f.outcome(two, store.OutcomeSucceeded)}
		together(
			func() { _, err := f.Worker.Finish(f.ctx, ends); f.mustSoon(err) },
			func() { f.mustSoon(errors.Join(f.Ledger.Insert(f.ctx, []store.NewJob{first[0], second[0]})...)) },
			func() { f.mustSoon(errors.Join(f.Ledger.Insert(f.ctx, []store.NewJob{second[1], first[1]})...)) },
		)
		for _, rows := range [][]store.NewJob{first, second} {
			count := f.states(rows)
			if count[millrace.Waiting] > 0 && count[millrace.Queued] != 1 || count[millrace.Queued] > 1 {
				f.Fatalf("%v", count)
			}
		}
	}
}
