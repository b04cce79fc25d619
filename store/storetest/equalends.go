package storetest

import (
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func everyEvent(j *millrace.Job) {
	j.Webhook = &millrace.Webhook{URL: hookURL, Events: []string{"succeeded", "failed", "canceled"}}
}

// wantTold wants the one delivery that tells of the job's end.
func (f *fixture) wantTold(j *millrace.Job) {
	f.Helper()
	all, err := f.Ledger.WebhookDeliveries(f.ctx, f.tenant, j.ID)
	f.must(err)
	if len(all) != 1 || all[0].Event != string(j.State) {
		f.Errorf("deliveries of a job that is %s: %+v", j.State, all)
	}
}

func testEqualSuccess(f *fixture) {
	leader, rows := f.led(3, everyEvent, func(j *millrace.Job) { j.Unique = &millrace.Unique{Key: j.ID}; j.Retention = time.Hour })
	done := f.end(leader, store.OutcomeSucceeded)
	for _, r := range rows {
		got := f.wantState(r.ID, millrace.Succeeded)
		if !got.Cached || got.Starts != 0 || got.Attempt != 0 || len(got.Attempts) != 0 || !sameJSON(got.Result, done.Result) || got.Error != nil {
			f.Errorf("job that waited = %+v", got)
		}
		f.wantNear("StartedAt", got.StartedAt, f.Now())
		f.wantNear("FinishedAt", got.FinishedAt, f.Now())
		f.wantNear("ExpiresAt", got.ExpiresAt, f.Now().Add(time.Hour))
		f.wantTold(got)
		f.queued(func(j *millrace.Job) { j.Unique = r.Unique })
	}
	if won := f.finish(f.outcome(leader, store.OutcomeSucceeded)); !won { // again after a lost answer
		f.Error("the repetition of the outcome lost")
	}
	if n := f.release(); n != 0 {
		f.Errorf("ReleaseWaiting = %d after all are released", n)
	}
	f.wantTold(f.get(rows[0].ID))
}

func testEqualFiles(f *fixture) {
	leader, rows := f.led(2)
	a, b := f.output("a.zst"), f.output("b.txt")
	done := f.end(leader, store.OutcomeSucceeded, outputs(a, b))
	seen := []string{a.File, b.File}
	for _, r := range rows {
		got := f.wantState(r.ID, millrace.Succeeded)
		if len(got.Outputs) != 2 {
			f.Fatalf("outputs of a job that waited: %+v", got.Outputs)
		}
		for i, out := range got.Outputs {
			file, err := f.Ledger.File(f.ctx, f.tenant, out.File)
			f.must(err)
			want := []store.NewOutput{a, b}[i]
			if slices.Contains(seen, out.File) || file.Blob != want.Blob || file.Job != r.ID || file.Name != want.Name || file.Size != want.Size ||
				file.SHA256 != want.SHA256 || file.ContentType != want.ContentType || !file.ExpiresAt.Equal(got.ExpiresAt) {
				f.Errorf("file of output %d = %+v", i, file)
			}
			if seen = append(seen, out.File); !cmp.Equal(millrace.Output{Name: out.Name, File: want.File, Size: out.Size, ContentType: out.ContentType,
				SHA256: out.SHA256}, want.Output) {
				f.Errorf("output %d = %+v, want that of the leader, %+v", i, out, want.Output)
			}
		}
	}
	// Who deletes his takes nothing from the others.
	f.must(f.Ledger.Delete(f.ctx, f.tenant, done.ID))
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, f.get(rows[0].ID).Outputs[0].File))
	f.Age(f, 2*time.Hour)
	if keys := f.dying(time.Hour); len(keys) != 0 {
		f.Errorf("dying = %v, want none", keys)
	}
	if _, err := f.Ledger.File(f.ctx, f.tenant, f.get(rows[1].ID).Outputs[0].File); err != nil {
		f.Errorf("the other job's file: %v", err)
	}
}

func testEqualFailure(f *fixture) {
	leader, rows := f.led(2, everyEvent)
	corrupt := millrace.JobError{Code: millrace.CodeCorrupt, Message: "chaff"}
	f.end(leader, store.OutcomeFailed, func(o *store.Outcome) { o.Error = &corrupt })
	for _, r := range rows {
		got := f.wantState(r.ID, millrace.Failed)
		if got.Error == nil || *got.Error != corrupt || got.Cached || got.Attempt != 0 || got.Starts != 0 {
			f.Errorf("job that waited = %+v, error %+v", got, got.Error)
		}
		f.wantTold(got)
	}
	// Each is retried alone.
	again, err := f.Ledger.Retry(f.ctx, f.tenant, rows[0].ID, nil)
	f.must(err)
	if again.State != millrace.Queued {
		f.Errorf("retried job is %s, want queued", again.State)
	}
	f.end(f.claim(f.worker(), again.ID), store.OutcomeSucceeded)
	f.wantState(rows[1].ID, millrace.Failed)
}

// otherEnds are the ends of a leader that are its own affair.
func otherEnds() map[string]func(f *fixture, leader *millrace.Job) {
	failed := func(code millrace.Code, retryable bool) func(*fixture, *millrace.Job) {
		return func(f *fixture, j *millrace.Job) {
			f.end(j, store.OutcomeFailed, func(o *store.Outcome) { o.Error = &millrace.JobError{Code: code, Message: "m", Retryable: retryable} })
		}
	}
	released := func(f *fixture, j *millrace.Job) { f.end(j, store.OutcomeReleased) }
	return map[string]func(*fixture, *millrace.Job){
		"out of attempts":         failed(millrace.CodeInternal, true),
		"out of time":             failed(millrace.CodeTimeout, false),
		"poisoned by an old hand": failed(millrace.CodePoisoned, false),
		"its input is gone":       failed(millrace.CodeInputFailed, false),
		"canceled while it ran":   func(f *fixture, j *millrace.Job) { f.end(j, store.OutcomeCanceled) },
		"canceled while queued": func(f *fixture, j *millrace.Job) {
			released(f, j)
			_, err := f.Ledger.Cancel(f.ctx, f.tenant, j.ID)
			f.must(err)
		},
		"put back, though canceled": func(f *fixture, j *millrace.Job) {
			_, err := f.Ledger.Cancel(f.ctx, f.tenant, j.ID)
			f.must(err)
			released(f, j)
		},
		"canceled by force": func(f *fixture, j *millrace.Job) {
			_, err := f.Ledger.Cancel(f.ctx, f.tenant, j.ID)
			f.must(err)
			f.Age(f, time.Minute)
			if n, err := f.Ledger.ForceCancel(f.ctx, time.Second); n != 1 || err != nil {
				f.Fatalf("ForceCancel = %d, %v", n, err)
			}
		},
		"canceled and its owner is dead": func(f *fixture, j *millrace.Job) {
			_, err := f.Ledger.Cancel(f.ctx, f.tenant, j.ID)
			f.must(err)
			f.must(f.Ledger.Bury(f.ctx, j.WorkerID, store.Death{}))
			f.rescued(1)
		},
		"poisoned": func(f *fixture, j *millrace.Job) {
			for n := range millrace.PoisonCrashes {
				if n > 0 {
					j = f.claim(f.worker(), j.ID)
				}
				f.must(f.Ledger.Bury(f.ctx, j.WorkerID, store.Death{Crash: true}))
				f.rescued(1)
			}
			f.wantState(j.ID, millrace.Failed)
		},
		"overdue": func(f *fixture, j *millrace.Job) {
			released(f, j)
			f.Age(f, 2*time.Hour)
			if n, err := f.Ledger.FailOverdue(f.ctx, 10); n != 1 || err != nil {
				f.Fatalf("FailOverdue = %d, %v", n, err)
			}
		},
	}
}

func testEqualNext(f *fixture) {
	for name, end := range otherEnds() {
		key := newSum()
		first := f.equals(key, 1, f.deadline(time.Hour))
		f.insertRows(first...)
		rows := f.equals(key, 3)
		f.insertRows(rows...)
		leader := f.claim(f.worker(), first[0].ID)
		end(f, leader)
		next := f.wantState(rows[0].ID, millrace.Queued)
		if next.Fence <= 1 || next.Starts != 0 || next.Cached {
			f.Errorf("%s: the next is %+v", name, next)
		}
		if owed := f.owedIDs(); !slices.Contains(owed, next.ID) {
			f.Errorf("%s: owed = %v, want %s", name, owed, next.ID)
		}
		f.wantState(rows[1].ID, millrace.Waiting)
		late := f.equals(key, 1)
		f.insertRows(late...)
		f.wantState(late[0].ID, millrace.Waiting)
		if n := f.release(); n != 0 {
			f.Errorf("%s: ReleaseWaiting = %d though there is a leader", name, n)
		}
		f.end(f.claim(f.worker(), next.ID), store.OutcomeSucceeded)
		for _, r := range append(rows[1:], late...) {
			if got := f.wantState(r.ID, millrace.Succeeded); !got.Cached {
				f.Errorf("%s: %+v", name, got)
			}
		}
	}
}

func testEqualChain(f *fixture) {
	leader, rows := f.led(4)
	for i := range rows {
		f.end(leader, store.OutcomeCanceled)
		for _, r := range rows[i+1:] {
			f.wantState(r.ID, millrace.Waiting)
		}
		leader = f.claim(f.worker(), rows[i].ID)
	}
	f.end(leader, store.OutcomeCanceled)
	next := f.equals(leader.CacheKey, 1)
	f.insertRows(next...)
	f.wantState(next[0].ID, millrace.Queued)
}

func testEqualLeft(f *fixture) {
	leader, rows := f.led(3, everyEvent)
	got, err := f.Ledger.Cancel(f.ctx, f.tenant, rows[0].ID)
	if f.must(err); got.State != millrace.Canceled {
		f.Fatalf("Cancel of a waiting job = %s", got.State)
	}
	f.wantTold(got)
	again, err := f.Ledger.Retry(f.ctx, f.tenant, rows[0].ID, nil) // it runs by itself, beside the leader
	if f.must(err); again.State != millrace.Queued {
		f.Fatalf("Retry = %s", again.State)
	}
	f.end(leader, store.OutcomeCanceled)
	f.wantState(rows[0].ID, millrace.Queued)
	f.end(f.claim(f.worker(), rows[0].ID), store.OutcomeFailed)
	f.wantState(rows[2].ID, millrace.Waiting)
	f.end(f.claim(f.worker(), rows[1].ID), store.OutcomeSucceeded)
	f.wantState(rows[0].ID, millrace.Failed)
	f.wantState(rows[2].ID, millrace.Succeeded)
}
