package storetest

import (
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func owedTests() []test {
	return []test{
		{"after the submitter's grace", testOwedGrace},
		{"when it is due", testOwedDue},
		{"oldest first, by queue, bounded", testOwedOrder},
		{"until it is marked, and in the next generation", testOwedGeneration},
		{"a mark that comes late is ignored", testMarkLate},
		{"unclaimed and refence", testRefence},
	}
}

func (f *fixture) generation() int64 {
	f.Helper()
	gen, err := f.Ledger.Generation(f.ctx)
	f.must(err)
	return gen
}

func testOwedGrace(f *fixture) {
	j := f.job()
	if err := f.Ledger.Insert(f.ctx, []store.NewJob{{Job: j, DispatchAfter: time.Hour}})[0]; err != nil {
		f.Fatal(err)
	}
	if owed := f.owedIDs(); len(owed) != 0 {
		f.Errorf("owed within the grace: %v", owed)
	}
	f.Age(f, 2*time.Hour)
	want := []store.Owed{{Delivery: delivery(j), Type: j.Type, Queue: j.Queue, Gen: f.generation()}}
	if diff := cmp.Diff(want, f.owed(map[string]int{"cpu.normal": 10})); diff != "" {
		f.Errorf("owed after the grace (-want +got):\n%s", diff)
	}
}

func testOwedDue(f *fixture) {
	j := f.queued(func(j *millrace.Job) { j.State, j.RunAt = millrace.Scheduled, f.Now().Add(time.Hour) })
	if owed := f.owedIDs(); len(owed) != 0 {
		f.Errorf("owed before its time: %v", owed)
	}
	f.Age(f, 2*time.Hour)
	if diff := cmp.Diff([]string{j.ID}, f.owedIDs()); diff != "" {
		f.Errorf("owed at its time (-want +got):\n%s", diff)
	}
}

func testOwedOrder(f *fixture) {
	at := func(queue string, ago time.Duration) string {
		return f.queued(func(j *millrace.Job) {
			j.Queue, j.State, j.RunAt = queue, millrace.Scheduled, f.Now().Add(-ago)
		}).ID
	}
	b, a, c := at("cpu.normal", 20*time.Minute), at("cpu.normal", 30*time.Minute), at("cpu.normal", 10*time.Minute)
	low, _ := at("cpu.low", 2*time.Hour), at("io.high", 3*time.Hour)
	byQueue := func(limits map[string]int) map[string][]string {
		got := map[string][]string{}
		for _, o := range f.owed(limits) {
			got[o.Queue] = append(got[o.Queue], o.Job)
		}
		return got
	}
	want := map[string][]string{"cpu.normal": {a, b}, "cpu.low": {low}}
	if diff := cmp.Diff(want, byQueue(map[string]int{"cpu.normal": 2, "cpu.low": 5, "io.high": 0, "io.low": 9})); diff != "" {
		f.Errorf("owed (-want +got):\n%s", diff)
	}
	// Those of an older generation and the new ones are one order.
	f.must(f.Ledger.MarkSent(f.ctx, []store.Delivery{{Job: b, Fence: 1}}, f.generation()))
	f.must(f.Ledger.NewGeneration(f.ctx, f.generation()))
	want = map[string][]string{"cpu.normal": {a, b, c}}
	if diff := cmp.Diff(want, byQueue(map[string]int{"cpu.normal": 3})); diff != "" {
		f.Errorf("owed over generations (-want +got):\n%s", diff)
	}
}

func testOwedGeneration(f *fixture) {
	gen := f.generation()
	if gen < 1 {
		f.Fatalf("Generation = %d, want 1 or more", gen)
	}
	j := f.queued()
	f.must(f.Ledger.MarkSent(f.ctx, []store.Delivery{delivery(j)}, gen))
	f.must(f.Ledger.MarkSent(f.ctx, nil, gen))
	if owed := f.owedIDs(); len(owed) != 0 {
		f.Errorf("owed although marked: %v", owed)
	}
	f.must(f.Ledger.NewGeneration(f.ctx, gen))
	f.must(f.Ledger.NewGeneration(f.ctx, gen)) // raised already: not again
	if got := f.generation(); got != gen+1 {
		f.Errorf("Generation = %d, want %d", got, gen+1)
	}
	want := []store.Owed{{Delivery: delivery(j), Type: j.Type, Queue: j.Queue, Gen: gen + 1}}
	if diff := cmp.Diff(want, f.owed(map[string]int{"cpu.normal": 10})); diff != "" {
		f.Errorf("owed in the next generation (-want +got):\n%s", diff)
	}
	f.must(f.Ledger.MarkSent(f.ctx, []store.Delivery{delivery(j)}, gen+1))
	if owed := f.owedIDs(); len(owed) != 0 {
		f.Errorf("owed although marked again: %v", owed)
	}
}

func testMarkLate(f *fixture) {
	j := f.queued()
	w := f.worker()
	back := f.end(f.claim(w, j.ID), store.OutcomeReleased)
	f.must(f.Ledger.MarkSent(f.ctx, []store.Delivery{delivery(j)}, f.generation()))
	if diff := cmp.Diff([]string{j.ID}, f.owedIDs()); diff != "" {
		f.Errorf("owed after a late mark (-want +got):\n%s", diff)
	}
	f.must(f.Ledger.MarkSent(f.ctx, []store.Delivery{delivery(back)}, f.generation()))
	if owed := f.owedIDs(); len(owed) != 0 {
		f.Errorf("owed although marked: %v", owed)
	}
}

func testRefence(f *fixture) {
	w := f.worker()
	idle, run, done := f.queued(), f.queued(), f.end(f.running(w), store.OutcomeSucceeded)
	f.claim(w, run.ID)
	stale := store.Delivery{Job: idle.ID, Fence: idle.Fence + 7}
	all := []store.Delivery{delivery(idle), delivery(run), delivery(f.get(run.ID)), delivery(done), stale, {Job: newID(), Fence: 1}}
	got, err := f.Ledger.Unclaimed(f.ctx, all)
	f.must(err)
	if diff := cmp.Diff([]store.Delivery{delivery(idle)}, got); diff != "" {
		f.Errorf("Unclaimed (-want +got):\n%s", diff)
	}
	f.must(f.Ledger.MarkSent(f.ctx, []store.Delivery{delivery(idle)}, f.generation()))
	f.must(f.Ledger.Refence(f.ctx, all))
	after := f.get(idle.ID)
	if after.Fence != idle.Fence+1 || after.State != millrace.Queued {
		f.Errorf("refenced job: fence %d state %s, want %d queued", after.Fence, after.State, idle.Fence+1)
	}
	if diff := cmp.Diff([]string{idle.ID}, f.owedIDs()); diff != "" {
		f.Errorf("owed after Refence (-want +got):\n%s", diff)
	}
	f.wantState(run.ID, millrace.Running)
	if c := f.claims(w, delivery(idle), delivery(after)); c[0].Job != nil || c[1].Job == nil {
		f.Error("after Refence the old delivery must be refused and the new one claimed")
	}
}
