package storetest

import (
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func depthTests() []test {
	return []test{
		{"by queue", testDepths},
		{"bounded", testDepthsBounded},
		{"backlog", testBacklog},
	}
}

// depth is that of one queue; a queue with nothing in it may be absent.
func (f *fixture) depth(queue string, limit int) store.Depth {
	f.Helper()
	all, err := f.Ledger.Depths(f.ctx, limit)
	f.must(err)
	for _, d := range all {
		if d.Queue == queue {
			return d
		}
	}
	return store.Depth{Queue: queue}
}

func testDepths(f *fixture) {
	w := f.worker()
	if d := f.depth("cpu.normal", 100); d != (store.Depth{Queue: "cpu.normal"}) {
		f.Errorf("depth of an empty ledger = %+v", d)
	}
	sent := f.queued()
	f.must(f.Ledger.MarkSent(f.ctx, []store.Delivery{delivery(sent)}, f.generation()))
	f.Age(f, time.Hour)
	f.queued()
	fresh := f.job()
	if err := f.Ledger.Insert(f.ctx, []store.NewJob{{Job: fresh, DispatchAfter: time.Hour}})[0]; err != nil {
		f.Fatal(err)
	}
	f.queued(func(j *millrace.Job) { j.State, j.RunAt = millrace.Scheduled, f.Now().Add(2*time.Hour) })
	f.end(f.running(w), store.OutcomeRetry)
	f.running(w)
	f.end(f.running(w), store.OutcomeSucceeded)
	f.running(w, func(j *millrace.Job) { j.Queue = "io.low" })

	d := f.depth("cpu.normal", 100)
	if d.Ready != 3 || d.Delayed != 2 || d.Running != 1 {
		f.Errorf("depth = %+v, want 3 ready (one of them sent, one in its submitter's grace), 2 delayed, 1 running", d)
	}
	if d.Oldest < 59*time.Minute || d.Oldest > 70*time.Minute {
		f.Errorf("oldest = %v, want about an hour", d.Oldest)
	}
	if d := f.depth("io.low", 100); d.Ready != 0 || d.Running != 1 || d.Oldest != 0 {
		f.Errorf("depth of io.low = %+v, want 1 running alone", d)
	}
}

func testDepthsBounded(f *fixture) {
	for range 7 {
		f.queued()
		f.queued(func(j *millrace.Job) { j.State, j.RunAt = millrace.Scheduled, f.Now().Add(time.Hour) })
	}
	if d := f.depth("cpu.normal", 5); d.Ready != 5 || d.Delayed != 5 {
		f.Errorf("depth = %+v, want both bounded to 5", d)
	}
}

func testBacklog(f *fixture) {
	w := f.worker()
	want := func(what string, limit, want int) {
		f.Helper()
		if n, err := f.Ledger.Backlog(f.ctx, limit); err != nil || n != want {
			f.Errorf("backlog of %s = %d, %v, want %d", what, n, err, want)
		}
	}
	want("an empty ledger", 10, 0)
	done := f.running(w)
	f.queued(func(j *millrace.Job) { j.State, j.RunAt = millrace.Scheduled, f.Now().Add(2*time.Hour) })
	f.queued(func(j *millrace.Job) { j.Queue = "io.low" })
	f.queued()
	f.end(done, store.OutcomeSucceeded)
	want("three that wait", 10, 3)
	want("three, counted to two", 2, 2)
}
