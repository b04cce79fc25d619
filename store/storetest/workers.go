package storetest

import (
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func workerTests() []test {
	return []test{
		{"register and list", testRegister},
		{"beat", testBeat},
		{"progress", testProgress},
		{"what a worker has lost", testLost},
		{"buried", testBury},
		{"buried by host", testBuryHost},
		{"buried when silent", testBurySilent},
		{"leave", testLeave},
		{"take a blob", testWorkerTakeBlob},
	}
}

// workers are the live ones by id.
func (f *fixture) workers() map[string]millrace.Worker {
	f.Helper()
	list, err := f.Ledger.Workers(f.ctx)
	f.must(err)
	byID := map[string]millrace.Worker{}
	for _, w := range list {
		byID[w.ID] = w
	}
	return byID
}

func testRegister(f *fixture) {
	w := newWorker()
	f.must(f.Worker.Register(f.ctx, w))
	f.must(f.Worker.Register(f.ctx, w))
	all := f.workers()
	got, ok := all[w.ID]
	if !ok || len(all) != 1 {
		f.Fatalf("Workers = %+v, want the one", all)
	}
	f.wantNear("StartedAt", got.StartedAt, f.Now())
	f.wantNear("BeatAt", got.BeatAt, f.Now())
	got.StartedAt, got.BeatAt, got.Running = time.Time{}, time.Time{}, nil
	if diff := cmp.Diff(w, got); diff != "" {
		f.Errorf("worker (-want +got):\n%s", diff)
	}
}

func testBeat(f *fixture) {
	w := f.worker()
	j := f.running(w)
	f.Age(f, time.Hour)
	reply, err := f.Worker.Beat(f.ctx, store.Beat{
		Worker: w, MemoryUsed: 5, MemoryBudget: 10, Running: []store.Holding{{Job: j.ID, Fence: j.Fence}},
	})
	f.must(err)
	if len(reply.Cancel)+len(reply.Lost) != 0 {
		f.Errorf("Beat = %+v, want nothing to say", reply)
	}
	got := f.workers()[w]
	f.wantNear("BeatAt", got.BeatAt, f.Now())
	if got.MemoryUsed != 5 || got.MemoryBudget != 10 || !cmp.Equal(got.Running, []string{j.ID}) {
		f.Errorf("worker = %+v", got)
	}
}

func testProgress(f *fixture) {
	w := f.worker()
	a, b := f.running(w), f.running(w)
	beat := func(pa, pb *millrace.Progress) {
		f.Helper()
		_, err := f.Worker.Beat(f.ctx, store.Beat{Worker: w, Running: []store.Holding{
			{Job: a.ID, Fence: a.Fence, Progress: pa}, {Job: b.ID, Fence: b.Fence, Progress: pb},
		}})
		f.must(err)
	}
	p := millrace.Progress{Done: 3, Total: 9, Unit: "rows", Message: "half way, nearly"}
	beat(&p, nil)
	beat(nil, nil)
	if got := f.get(a.ID).Progress; got != p {
		f.Errorf("progress = %+v, want %+v", got, p)
	}
	if got := f.get(b.ID).Progress; got != (millrace.Progress{}) {
		f.Errorf("progress of the other = %+v, want none", got)
	}
}

func testLost(f *fixture) {
	w, other := f.worker(), f.worker()
	released, done, kept := f.running(w), f.running(w), f.running(w)
	foreign := f.running(other)
	f.end(released, store.OutcomeReleased)
	f.end(done, store.OutcomeSucceeded)
	p := &millrace.Progress{Done: 1}
	unknown := store.Delivery{Job: newID(), Fence: 2}
	reply, err := f.Worker.Beat(f.ctx, store.Beat{Worker: w, Running: []store.Holding{
		{Job: released.ID, Fence: released.Fence, Progress: p},
		{Job: kept.ID, Fence: kept.Fence},
		{Job: done.ID, Fence: done.Fence},
		{Job: foreign.ID, Fence: foreign.Fence, Progress: p},
		{Job: unknown.Job, Fence: unknown.Fence},
	}})
	f.must(err)
	lost := map[store.Delivery]bool{}
	for _, d := range reply.Lost {
		lost[d] = true
	}
	want := map[store.Delivery]bool{delivery(released): true, delivery(done): true, delivery(foreign): true, unknown: true}
	if diff := cmp.Diff(want, lost); diff != "" || len(reply.Cancel) != 0 {
		f.Errorf("lost (-want +got):\n%scancel %v", diff, reply.Cancel)
	}
	if got := f.get(foreign.ID).Progress; got != (millrace.Progress{}) {
		f.Errorf("a worker wrote progress of another's job: %+v", got)
	}
}

func testBury(f *fixture) {
	w := newWorker()
	f.must(f.Worker.Register(f.ctx, w))
	f.must(f.Ledger.Bury(f.ctx, w.ID, store.Death{Crash: true}))
	f.must(f.Ledger.Bury(f.ctx, w.ID, store.Death{Crash: true}))
	f.must(f.Ledger.Bury(f.ctx, newID(), store.Death{}))
	if err := f.Worker.Register(f.ctx, w); !errors.Is(err, store.ErrBuried) {
		f.Errorf("Register of a buried id = %v, want ErrBuried", err)
	}
	for _, id := range []string{w.ID, newID()} {
		if _, err := f.Worker.Beat(f.ctx, store.Beat{Worker: id}); !errors.Is(err, store.ErrBuried) {
			f.Errorf("Beat of a worker that is not alive = %v, want ErrBuried", err)
		}
	}
	if all := f.workers(); len(all) != 0 {
		f.Errorf("Workers = %+v, want none", all)
	}
	f.worker() // a new identity is welcome
}

func testBuryHost(f *fixture) {
	here, gone, elsewhere := newWorker(), newWorker(), newWorker()
	gone.BootID, elsewhere.Host = "an older boot", "weir"
	for _, w := range []millrace.Worker{here, gone, elsewhere} {
		f.must(f.Worker.Register(f.ctx, w))
	}
	n, err := f.Ledger.BuryHost(f.ctx, "mill", func(w millrace.Worker) bool {
		if w.PID != 4711 || w.PIDStart != 99 {
			f.Errorf("alive was asked about %+v", w)
		}
		return w.BootID == "boot"
	}, func(millrace.Worker) store.Death { return store.Death{} })
	f.must(err)
	all := f.workers()
	if _, dead := all[gone.ID]; n != 1 || dead || len(all) != 2 {
		f.Errorf("BuryHost = %d, left %+v, want the one of an older boot buried", n, all)
	}
}

func testBurySilent(f *fixture) {
	silent, beats := f.worker(), f.worker()
	f.Age(f, time.Minute)
	_, err := f.Worker.Beat(f.ctx, store.Beat{Worker: beats})
	f.must(err)
	n, err := f.Ledger.BurySilent(f.ctx, 30*time.Second)
	f.must(err)
	all := f.workers()
	if _, dead := all[silent]; n != 1 || dead || len(all) != 1 {
		f.Errorf("BurySilent = %d, left %+v, want the silent one buried", n, all)
	}
}

func testLeave(f *fixture) {
	w := f.worker()
	f.must(f.Worker.Leave(f.ctx, w))
	f.must(f.Worker.Leave(f.ctx, w))
	if all := f.workers(); len(all) != 0 {
		f.Errorf("Workers = %+v, want none", all)
	}
}

func testWorkerTakeBlob(f *fixture) {
	in := f.file()
	key, ok, err := f.Worker.TakeBlob(f.ctx, f.tenant, in.SHA256)
	if err != nil || !ok || key != in.Blob {
		f.Errorf("TakeBlob = %q, %v, %v, want %q", key, ok, err, in.Blob)
	}
	if key, ok, err := f.Worker.TakeBlob(f.ctx, f.tenant, newSum()); err != nil || ok {
		f.Errorf("TakeBlob of unknown bytes = %q, %v, %v, want none", key, ok, err)
	}
}
