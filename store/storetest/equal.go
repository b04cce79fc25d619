package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func equalTests() []test {
	return []test{
		{"the first leads", testEqualFirst},
		{"in one batch", testEqualBatch},
		{"who does not wait", testEqualAlone},
		{"a refused row leads nobody", testEqualRefused},
		{"what an idempotency key keeps", testEqualKeys},
		{"those who wait are counted and listed", testEqualCounts},
		{"those who wait hold their inputs and keys", testEqualHolds},
		{"their deadlines", testEqualDeadline},
		{"success is everybody's", testEqualSuccess},
		{"files of their own", testEqualFiles},
		{"failure for good is everybody's", testEqualFailure},
		{"any other end makes the next lead", testEqualNext},
		{"one after the other", testEqualChain},
		{"one that stopped waiting is passed over", testEqualLeft},
		{"many at once", testEqualMany},
		{"many, and an output that is gone", testEqualGone},
		{"many, and the leader is deleted", testEqualDeleted},
		{"many, and the leader is retried", testEqualRetried},
		{"after the end a new one leads", testEqualAgain},
	}
}

// equals makes rows of jobs that compute the same.
func (f *fixture) equals(key string, n int, change ...func(*millrace.Job)) []store.NewJob {
	rows := make([]store.NewJob, n)
	for i := range rows {
		rows[i] = store.NewJob{Job: f.job(append([]func(*millrace.Job){func(j *millrace.Job) { j.CacheKey = key }}, change...)...), Coalesce: true}
	}
	return rows
}

func (f *fixture) insertRows(rows ...store.NewJob) {
	f.Helper()
	for i, err := range f.Ledger.Insert(f.ctx, rows) {
		if err != nil {
			f.Fatalf("Insert of row %d: %v", i, err)
		}
	}
}

// led inserts a leader that runs and n jobs that wait for it.
func (f *fixture) led(n int, change ...func(*millrace.Job)) (leader *millrace.Job, rows []store.NewJob) {
	f.Helper()
	key := newSum()
	first := f.equals(key, 1)
	f.insertRows(first...)
	leader = f.claim(f.worker(), first[0].ID)
	rows = f.equals(key, n, change...)
	f.insertRows(rows...)
	for _, r := range rows {
		if r.State != millrace.Waiting {
			f.Fatalf("Insert left the state %s, want waiting", r.State)
		}
		if r.Webhook == nil && r.Deadline.IsZero() && len(r.Inputs) == 0 && n > 20 {
			break // they are all alike
		}
		f.wantState(r.ID, millrace.Waiting)
	}
	return leader, rows
}

// release does what the ends of leaders have left to do.
func (f *fixture) release() (total int) {
	f.Helper()
	for range 100 {
		n, err := f.Ledger.ReleaseWaiting(f.ctx, 100)
		f.must(err)
		if total += n; n == 0 {
			return total
		}
	}
	f.Fatal("ReleaseWaiting comes to no end")
	return 0
}

func testEqualFirst(f *fixture) {
	rows := f.equals(newSum(), 3)
	for i, r := range rows {
		for range 2 { // and again after a lost answer
			f.insertRows(r)
			if want := []millrace.State{millrace.Queued, millrace.Waiting, millrace.Waiting}[i]; r.State != want {
				f.Fatalf("job %d is %s, want %s", i, r.State, want)
			}
		}
	}
	for _, r := range rows[1:] {
		got := f.wantState(r.ID, millrace.Waiting)
		if got.Fence != 1 || got.Starts != 0 || got.Cached || !got.FinishedAt.IsZero() {
			f.Errorf("waiting job = %+v", got)
		}
		if c := f.claims(f.worker(), delivery(got))[0]; c.Job != nil {
			f.Error("a waiting job was claimed")
		}
	}
	if owed := f.owedIDs(); !cmp.Equal(owed, []string{rows[0].ID}) {
		f.Errorf("owed = %v, want the leader %s", owed, rows[0].ID)
	}
	f.must(f.Ledger.NewGeneration(f.ctx, 1))
	if owed := f.owedIDs(); !cmp.Equal(owed, []string{rows[0].ID}) {
		f.Errorf("owed in the next generation = %v, want the leader %s", owed, rows[0].ID)
	}
	if n := f.release(); n != 0 {
		f.Errorf("ReleaseWaiting = %d while the leader lives", n)
	}
}

func testEqualBatch(f *fixture) {
	key := newSum()
	rows := append(append(f.equals(key, 3), f.equals(newSum(), 2)...), store.NewJob{Job: f.job()})
	rows[0], rows[2] = rows[2], rows[0] // their ids are not in their order
	errs, err := f.Ledger.InsertBatch(f.ctx, f.tenant, nil, rows, words)
	f.must(errors.Join(append(errs, err)...))
	for i, want := range []millrace.State{millrace.Queued, millrace.Waiting, millrace.Waiting, millrace.Queued, millrace.Waiting, millrace.Queued} {
		f.wantState(rows[i].ID, want)
		if rows[i].State != want {
			f.Errorf("InsertBatch left row %d %s, want %s", i, rows[i].State, want)
		}
	}
	errs = f.Ledger.Insert(f.ctx, f.equals(key, 2))
	f.must(errors.Join(errs...))
	if got := f.end(f.claim(f.worker(), rows[0].ID), store.OutcomeSucceeded); got.Cached {
		f.Error("the leader came out of the cache")
	}
	f.wantState(rows[1].ID, millrace.Succeeded)
	f.wantState(rows[2].ID, millrace.Succeeded)
	f.wantState(rows[4].ID, millrace.Waiting)
}

func testEqualAlone(f *fixture) {
	key := newSum()
	f.insertRows(f.equals(key, 1)...)
	for name, row := range map[string]store.NewJob{
		"that does not coalesce": {Job: f.job(func(j *millrace.Job) { j.CacheKey = key })},
		"of another tenant":      {Job: f.job(func(j *millrace.Job) { j.CacheKey, j.Tenant = key, f.other }), Coalesce: true},
		"with another key":       f.equals(newSum(), 1)[0],
		"without a key":          {Job: f.job(), Coalesce: true},
	} {
		f.insertRows(row)
		if row.State != millrace.Queued {
			f.Errorf("a job %s is %s, want queued", name, row.State)
		}
	}
	later := f.equals(key, 1, func(j *millrace.Job) { j.State, j.RunAt = millrace.Scheduled, f.Now().Add(time.Hour) })
	f.insertRows(later...)
	f.wantState(later[0].ID, millrace.Scheduled)

	other := newSum()
	f.insertRows(store.NewJob{Job: f.job(func(j *millrace.Job) { j.CacheKey = other })})
	next := f.equals(other, 1)
	f.insertRows(next...)
	f.wantState(next[0].ID, millrace.Queued) // the one before it does not lead
}

func testEqualRefused(f *fixture) {
	f.queued(func(j *millrace.Job) { j.Unique = &millrace.Unique{Key: "u"} })
	rows := f.equals(newSum(), 3)
	rows[0].Unique = &millrace.Unique{Key: "u"}
	rows[1].Inputs = []millrace.Input{{File: newID()}}
	errs := f.Ledger.Insert(f.ctx, rows)
	if _, held := errors.AsType[*store.HeldError](errs[0]); !held || !errors.Is(errs[1], store.ErrInputMissing) || errs[2] != nil {
		f.Fatalf("Insert = %v", errs)
	}
	f.wantState(rows[2].ID, millrace.Queued)
}

func testEqualKeys(f *fixture) {
	key := newSum()
	rows := f.equals(key, 3)
	for i := range rows {
		rows[i].Idempotency = &store.Idempotency{Key: fmt.Sprint("k", i/2), Hash: "h", Answer: []byte("runs")}
		rows[i].AnswerWaiting = []byte("waits")
	}
	errs := f.Ledger.Insert(f.ctx, []store.NewJob{rows[0], rows[2], rows[1]})
	f.must(errors.Join(errs[0], errs[1]))
	if e, ok := errors.AsType[*store.ReplayedError](errs[2]); !ok || string(e.Answer) != "runs" {
		f.Errorf("second row under one key: %v", errs[2])
	}
	for name, want := range map[string]string{"k0": "runs", "k1": "waits"} {
		if got, err := f.Ledger.Answer(f.ctx, f.tenant, name); err != nil || string(got.Answer) != want {
			f.Errorf("Answer(%s) = %q, %v, want %q", name, got.Answer, err, want)
		}
	}
	again := f.equals(key, 2)
	for i := range again {
		again[i].Idempotency, again[i].AnswerWaiting = &store.Idempotency{Key: "k2", Hash: "h", Answer: []byte("runs")}, []byte("waits")
	}
	errs = f.Ledger.Insert(f.ctx, again)
	if e, ok := errors.AsType[*store.ReplayedError](errs[1]); errs[0] != nil || !ok || string(e.Answer) != "waits" {
		f.Errorf("Insert of a waiting job and its repetition = %v", errs)
	}
}

func testEqualCounts(f *fixture) {
	_, rows := f.led(3)
	f.insertRows(f.equals(rows[0].CacheKey, 1, func(j *millrace.Job) { j.Queue = "io.low" })...)
	depths, err := f.Ledger.Depths(f.ctx, 100)
	f.must(err)
	want := []store.Depth{{Queue: "cpu.normal", Running: 1, Waiting: 3}, {Queue: "io.low", Waiting: 1}}
	if !cmp.Equal(depths, want) {
		f.Errorf("Depths = %+v, want %+v", depths, want)
	}
	if depths, err = f.Ledger.Depths(f.ctx, 2); err != nil || depths[0].Waiting != 2 {
		f.Errorf("Depths up to 2 = %+v, %v", depths, err)
	}
	list, err := f.Ledger.List(f.ctx, f.tenant, store.JobFilter{State: millrace.Waiting, Limit: 10})
	if f.must(err); len(list) != 4 {
		f.Errorf("%d waiting jobs are listed, want 4", len(list))
	}
	for limit, want := range map[int]int{100: 4, 3: 3} {
		if n, err := f.Ledger.Backlog(f.ctx, limit); err != nil || n != want {
			f.Errorf("Backlog(%d) = %d, %v, want %d", limit, n, err, want)
		}
	}
}

func testEqualHolds(f *fixture) {
	in, more := f.file(), f.file()
	unique := func(j *millrace.Job) { j.Unique = &millrace.Unique{Key: "u"} }
	leader, rows := f.led(1, inputs(in, more), unique)
	for _, file := range []millrace.File{in, more} {
		if err := f.Ledger.DeleteFile(f.ctx, f.tenant, file.ID); !errors.Is(err, store.ErrInUse) {
			f.Errorf("DeleteFile of a waiting job's input = %v, want ErrInUse", err)
		}
	}
	f.Age(f, 100*time.Hour)
	if n, err := f.Ledger.ExpireFiles(f.ctx, 10); n != 0 || err != nil {
		f.Errorf("ExpireFiles = %d, %v, want none", n, err)
	}
	held := f.Ledger.Insert(f.ctx, []store.NewJob{{Job: f.job(unique)}})[0]
	if e, ok := errors.AsType[*store.HeldError](held); !ok || e.Job != rows[0].ID {
		f.Errorf("Insert under a waiting job's unique key = %v", held)
	}
	if err := f.Ledger.Delete(f.ctx, f.tenant, rows[0].ID); !errors.Is(err, store.ErrState) {
		f.Errorf("Delete of a waiting job = %v, want ErrState", err)
	}
	f.end(leader, store.OutcomeSucceeded)
	f.wantState(rows[0].ID, millrace.Succeeded)
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID))
	f.queued(unique)
}

func testEqualDeadline(f *fixture) {
	leader, rows := f.led(2, f.deadline(time.Hour))
	f.Age(f, 2*time.Hour)
	f.insertRows(f.equals(leader.CacheKey, 1, f.deadline(time.Hour))...)
	for _, want := range []int{1, 1, 0} {
		if n, err := f.Ledger.FailOverdue(f.ctx, 1); n != want || err != nil {
			f.Fatalf("FailOverdue = %d, %v, want %d", n, err, want)
		}
	}
	f.wantOverdue(rows[0].ID)
	f.wantOverdue(rows[1].ID)
	f.wantState(leader.ID, millrace.Running)
}
