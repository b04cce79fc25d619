package storetest

import (
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func deadlineTests() []test {
	return []test{
		{"the upkeep fails what waits", testDeadlineFails},
		{"a running job is its worker's affair", testDeadlineRunning},
		{"bounded", testDeadlineBounded},
		{"a retry by hand", testDeadlineRetry},
		{"retention after every end", testRetention},
	}
}

func (f *fixture) deadline(d time.Duration) func(*millrace.Job) {
	return func(j *millrace.Job) { j.Deadline = f.Now().Add(d) }
}

func testDeadlineClaim(f *fixture) {
	w := f.worker()
	late, never, far := f.queued(f.deadline(time.Hour)), f.queued(), f.queued(f.deadline(1000*time.Hour))
	if got := f.get(late.ID).Deadline; got.UnixMilli() != late.Deadline.UnixMilli() {
		f.Errorf("deadline read back = %v, want %v", got, late.Deadline)
	}
	f.Age(f, 2*time.Hour)
	c := f.claims(w, delivery(late), delivery(never), delivery(far))
	if c[0].Job != nil {
		f.Error("a job past its deadline was claimed")
	}
	if c[1].Job == nil || c[2].Job == nil {
		f.Error("the others were refused")
	}
	if got := f.wantState(late.ID, millrace.Queued); got.Starts != 0 || got.Attempt != 0 {
		f.Errorf("a refused claim left %d starts, %d attempts", got.Starts, got.Attempt)
	}
}

// wantOverdue checks what a job looks like that was not done in time.
func (f *fixture) wantOverdue(id string) *millrace.Job {
	f.Helper()
	j := f.wantState(id, millrace.Failed)
	if j.Error == nil || j.Error.Code != millrace.CodeTimeout || j.Error.Message != "the deadline passed before the job was done" {
		f.Errorf("error = %+v", j.Error)
	}
	f.wantNear("FinishedAt", j.FinishedAt, f.Now())
	f.wantNear("ExpiresAt", j.ExpiresAt, f.Now().Add(j.Retention))
	return j
}

func testDeadlineFails(f *fixture) {
	w, in := f.worker(), f.file()
	queued := f.queued(f.deadline(time.Hour), inputs(in))
	scheduled := f.queued(f.deadline(time.Hour), func(j *millrace.Job) { j.State, j.RunAt = millrace.Scheduled, f.Now().Add(3*time.Hour) })
	retrying := f.end(f.running(w, f.deadline(time.Hour)), store.OutcomeRetry)
	far, never := f.queued(f.deadline(1000*time.Hour)), f.queued()
	f.count("FailOverdue before the deadline", 0)(f.Ledger.FailOverdue(f.ctx, 10))
	f.Age(f, 2*time.Hour)
	f.count("FailOverdue", 3)(f.Ledger.FailOverdue(f.ctx, 10))
	f.count("FailOverdue again", 0)(f.Ledger.FailOverdue(f.ctx, 10))
	f.wantOverdue(queued.ID)
	f.wantOverdue(scheduled.ID)
	if got := f.wantOverdue(retrying.ID); got.Attempt != 1 || len(got.Attempts) != 1 || got.Attempts[0].Outcome != millrace.AttemptError {
		f.Errorf("attempt %d, history %+v, want the one that was spent untouched", got.Attempt, got.Attempts)
	}
	f.wantState(far.ID, millrace.Queued)
	f.wantState(never.ID, millrace.Queued)
	for _, o := range f.owed(map[string]int{"cpu.normal": 10}) {
		if o.Job != far.ID && o.Job != never.ID {
			f.Errorf("job %s is owed, and failed", o.Job)
		}
	}
	if c := f.claims(w, delivery(queued), delivery(f.get(queued.ID))); c[0].Job != nil || c[1].Job != nil {
		f.Error("a failed job was claimed")
	}
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID)) // its input is free
}

func testDeadlineRunning(f *fixture) {
	w := f.worker()
	j := f.running(w, f.deadline(time.Hour))
	f.Age(f, 2*time.Hour)
	f.count("FailOverdue", 0)(f.Ledger.FailOverdue(f.ctx, 10))
	f.wantState(j.ID, millrace.Running)
	f.end(j, store.OutcomeReleased)
	f.count("FailOverdue after the release", 1)(f.Ledger.FailOverdue(f.ctx, 10))
	if got := f.wantOverdue(j.ID); got.Attempt != 0 {
		f.Errorf("attempt = %d, want none spent", got.Attempt)
	}
	if f.finish(f.outcome(j, store.OutcomeSucceeded)) {
		f.Error("an outcome won after the deadline's")
	}
}

func testDeadlineBounded(f *fixture) {
	for range 5 {
		f.queued(f.deadline(time.Hour))
	}
	f.Age(f, 2*time.Hour)
	for _, want := range []int{2, 2, 1, 0} {
		f.count("FailOverdue(2)", want)(f.Ledger.FailOverdue(f.ctx, 2))
	}
}

func testDeadlineRetry(f *fixture) {
	w := f.worker()
	late, far := f.queued(f.deadline(time.Hour)), f.end(f.running(w, f.deadline(1000*time.Hour)), store.OutcomeFailed)
	f.Age(f, 2*time.Hour)
	f.count("FailOverdue", 1)(f.Ledger.FailOverdue(f.ctx, 10))
	if got := f.retry(late.ID); !got.Deadline.IsZero() || got.Error != nil {
		f.Errorf("the new run has the deadline %v and the error %+v, want neither", got.Deadline, got.Error)
	}
	if got := f.retry(far.ID); got.Deadline.IsZero() {
		f.Error("the new run lost a deadline that lies ahead")
	}
	f.count("FailOverdue", 0)(f.Ledger.FailOverdue(f.ctx, 10))
	f.end(f.claim(w, late.ID), store.OutcomeSucceeded)
}

func testRetention(f *fixture) {
	for i, e := range endings() {
		keep := time.Duration(i+1) * 10 * time.Hour
		j := f.queued(append(e.prepare(f), func(j *millrace.Job) { j.Retention = keep })...)
		e.end(f, j)
		got := f.wantState(j.ID, e.state)
		if d := got.ExpiresAt.Sub(got.FinishedAt); d != keep {
			f.Errorf("after %s the job is kept for %v, want %v", e.name, d, keep)
		}
	}
	if none := f.end(f.running(f.worker(), func(j *millrace.Job) { j.Retention = 0 }), store.OutcomeSucceeded); none.ExpiresAt.Sub(none.FinishedAt) != 0 {
		f.Errorf("without retention the job is kept until %v", none.ExpiresAt)
	}
}
