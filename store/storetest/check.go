package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// Check reads everything of the tenants and reports each job that breaks an invariant of the ledger. It may be called at any moment at which
// nobody writes.
func Check(ctx context.Context, t testing.TB, ledger store.Ledger, tenants ...string) {
	t.Helper()
	for _, tenant := range tenants {
		filter := store.JobFilter{Limit: 500}
		for {
			page, err := ledger.List(ctx, tenant, filter)
			if err != nil {
				t.Errorf("check: List: %v", err)
				return
			}
			for _, j := range page {
				checkJob(ctx, t, ledger, j)
			}
			if len(page) < filter.Limit {
				break
			}
			filter.Before = page[len(page)-1].ID
		}
	}
}

// violation is one invariant of a job and whether it is broken.
type violation struct {
	broken bool
	what   string
}

func checkJob(ctx context.Context, t testing.TB, ledger store.Ledger, j *millrace.Job) {
	t.Helper()
	running := j.State == millrace.Running
	rules := []violation{
		{!j.State.Valid(), "unknown state"},
		{j.Fence < 1, "fence below 1"},
		{j.Run < 1, "run below 1"},
		{j.CreatedAt.IsZero(), "no creation time"},
		{j.State.Final() == j.FinishedAt.IsZero(), "a job is final exactly if it has an end (I2)"},
		{j.State.Final() == j.ExpiresAt.IsZero(), "a job expires exactly if it is final (I2)"},
		{running != (j.WorkerID != ""), "a job has an owner exactly while it runs (I5)"},
		{running && j.StartedAt.IsZero(), "runs without a start"},
		{j.Attempt < 0 || j.Attempt > j.Starts, "attempts spent are not within 0 and the starts (I5)"},
		{j.MaxAttempts > 0 && j.Attempt > j.MaxAttempts, "more attempts than allowed (I5)"},
		{j.State != millrace.Succeeded && (len(j.Outputs) > 0 || len(j.Result) > 0), "output without success (I6)"},
		{j.State == millrace.Succeeded && j.Error != nil, "success with an error"},
		{j.State == millrace.Failed && j.Error == nil, "failure without an error"},
		{len(j.Attempts) > millrace.MaxAttemptHistory, "history over its bound"},
	}
	for _, v := range append(rules, historyRules(j)...) {
		if v.broken {
			t.Errorf("check: %s: %+v", v.what, *j)
		}
	}
	for _, out := range j.Outputs {
		checkOutput(ctx, t, ledger, j, out)
	}
}

// historyRules compares the attempts with the counters.
func historyRules(j *millrace.Job) []violation {
	spent, open := 0, 0
	rules := []violation{{len(j.Attempts) < min(j.Starts, millrace.MaxAttemptHistory), "starts missing in the history"}}
	for i, a := range j.Attempts {
		if a.Run == j.Run && a.Spent {
			spent++
		}
		if a.Outcome == "" {
			open++
		}
		rules = append(rules,
			violation{a.N != j.Starts-len(j.Attempts)+1+i, "attempts are not numbered by starts"},
			violation{(a.Outcome == "") != a.EndedAt.IsZero(), "an attempt has an end exactly if it has an outcome"},
			violation{a.Outcome == "" && (j.State != millrace.Running || i != len(j.Attempts)-1), "an attempt is open and is not the running one (I5)"})
	}
	if j.State == millrace.Running {
		rules = append(rules, violation{open != 1, "runs without an open attempt (I5)"})
		spent++ // the running one is counted from its claim
	}
	if len(j.Attempts) < millrace.MaxAttemptHistory {
		rules = append(rules, violation{j.Attempt != spent, "attempts spent differ from the history (I12)"})
	}
	return rules
}

func checkOutput(ctx context.Context, t testing.TB, ledger store.Ledger, j *millrace.Job, out millrace.Output) {
	t.Helper()
	file, err := ledger.File(ctx, j.Tenant, out.File)
	if errors.Is(err, store.ErrNotFound) {
		return // its owner may delete an output before the job
	}
	if err != nil {
		t.Errorf("check: File: %v", err)
		return
	}
	if file.Job != j.ID || file.SHA256 != out.SHA256 || file.Size != out.Size {
		t.Errorf("check: output %q of %s and its file differ (I6): %+v and %+v", out.Name, j.ID, out, file)
	}
	if ok, err := ledger.KnowsBlob(ctx, file.Blob); err != nil || !ok {
		t.Errorf("check: blob of file %s is unknown: %v (I8)", file.ID, err)
	}
}
