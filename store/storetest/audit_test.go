package storetest_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/storetest"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// world is a ledger's content and a history that fit; each test breaks one thing in it.
type world struct {
	storetest.Audit
	jobs       []*millrace.Job
	files      []millrace.File
	deliveries []millrace.WebhookDelivery
	known      map[string]bool // blobs by the ledger
	stored     map[string]time.Time
	leak       bool // Job answers whoever asks
	backlog    int
}

func (w *world) List(ctx context.Context, tenant string, f store.JobFilter) ([]*millrace.Job, error) {
	if w.leak {
		return w.jobs, nil
	}
	return storetest.NewSnapshot(w.jobs).List(ctx, tenant, f)
}

func (w *world) Job(ctx context.Context, tenant, id string) (*millrace.Job, error) {
	if w.leak {
		tenant = "a"
	}
	return storetest.NewSnapshot(w.jobs).Job(ctx, tenant, id)
}

func (w *world) File(_ context.Context, tenant, id string) (millrace.File, error) {
	for _, f := range w.files {
		if f.ID == id && f.Tenant == tenant {
			return f, nil
		}
	}
	return millrace.File{}, store.ErrNotFound
}

func (w *world) ListFiles(context.Context, string, string, int) ([]millrace.File, error) {
	return w.files, nil
}

func (w *world) WebhookDeliveries(_ context.Context, _, job string) ([]millrace.WebhookDelivery, error) {
	var of []millrace.WebhookDelivery
	for _, d := range w.deliveries {
		if d.Job == job {
			of = append(of, d)
		}
	}
	return of, nil
}

func (w *world) KnowsBlob(_ context.Context, key string) (bool, error) { return w.known[key], nil }

func (w *world) Backlog(context.Context, int) (int, error) { return w.backlog, nil }

func (w *world) Keys(_ context.Context, before time.Time, yield func(string) error) error {
	for key, at := range w.stored {
		if at.Before(before) {
			if err := yield(key); err != nil {
				return err
			}
		}
	}
	return nil
}

// job is one that succeeded at its first attempt.
func job(id string) *millrace.Job {
	return &millrace.Job{
		ID: id, Tenant: "a", State: millrace.Succeeded, Queue: "cpu.normal", Result: json.RawMessage(`1`), Run: 1, Attempt: 1, MaxAttempts: 3,
		Starts: 1, Fence: 2, CreatedAt: noon, RunAt: noon, StartedAt: noon, FinishedAt: noon.Add(time.Second), ExpiresAt: noon.Add(time.Hour),
		Attempts: []millrace.Attempt{
			{N: 1, Run: 1, Worker: "w", StartedAt: noon, EndedAt: noon.Add(time.Second), Outcome: millrace.AttemptSucceeded, Spent: true},
		},
	}
}

// Jobs of the world by what is special about them.
const (
	plain = iota
	failing
	running
)

func newWorld() *world {
	plainJob, bad, run := job("j0"), job("j1"), job("j2")
	plainJob.Outputs = []millrace.Output{{Name: "out", File: "f", Size: 7, SHA256: "sum"}}
	plainJob.Webhook = &millrace.Webhook{URL: "https://hook", Events: []string{"succeeded", "failed"}}
	plainJob.Unique = &millrace.Unique{Key: "u"}
	bad.State, bad.Result, bad.Error = millrace.Failed, nil, &millrace.JobError{Code: millrace.CodeInternal}
	bad.Attempts[0].Outcome = millrace.AttemptError
	run.State, run.Result, run.WorkerID, run.FinishedAt, run.ExpiresAt = millrace.Running, nil, "w", time.Time{}, time.Time{}
	run.Attempts[0] = millrace.Attempt{N: 1, Run: 1, Worker: "w", StartedAt: noon}

	h := &storetest.History{}
	for _, j := range []*millrace.Job{plainJob, bad, run} {
		h.Attempted(storetest.Submission{Token: j.ID, Tenant: "a", Idempotency: "key of " + j.ID, Spends: 1})
		h.Acknowledged(j.ID, j.ID)
		h.Saw("client", j)
	}
	h.Attempted(storetest.Submission{Token: "refused", Tenant: "a"})
	h.Refused("refused")
	h.Attempted(storetest.Submission{Token: "unknown", Tenant: "a"})
	h.Claimed("w", plainJob)
	h.Finished(store.Outcome{Job: "j0", Fence: 2, Kind: store.OutcomeSucceeded}, true)
	h.Ended("webhook", "j0", 1, millrace.Succeeded)

	w := &world{
		jobs:  []*millrace.Job{plainJob, bad, run},
		files: []millrace.File{{ID: "f", Tenant: "a", Size: 7, SHA256: "sum", Blob: "sum/1", Job: "j0", ExpiresAt: plainJob.ExpiresAt}},
		deliveries: []millrace.WebhookDelivery{
			{ID: millrace.WebhookID("j0", 1), Tenant: "a", Job: "j0", Run: 1, Event: "succeeded", URL: "https://hook"},
		},
		known:  map[string]bool{"sum/1": true},
		stored: map[string]time.Time{"sum/1": noon, "young/1": noon.Add(2 * time.Hour)},
	}
	w.Audit = storetest.Audit{
		Source: w, Tenants: []string{"a"}, History: h, Blobs: w, Grace: time.Hour, Now: noon.Add(150 * time.Minute),
	}
	return w
}

func (w *world) invariants(t *testing.T) []string {
	t.Helper()
	found, err := w.Violations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range found {
		names = append(names, v.Invariant)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestAuditOfASoundWorld(t *testing.T) {
	t.Parallel()
	w := newWorld()
	if found, err := w.Violations(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("Violations = %v, %v, want none", found, err)
	}
	want := storetest.Tally{Attempted: 5, Acknowledged: 3, Refused: 1, Unknown: 1, Ended: 2}
	if got := w.History.Tally(); got != want {
		t.Errorf("Tally = %+v, want %+v", got, want)
	}
}

// retried adds a second run that succeeded to the failing job.
func retried(w *world) *millrace.Job {
	j := w.jobs[failing]
	j.State, j.Error, j.Run, j.Starts, j.Fence = millrace.Succeeded, nil, 2, 2, 4
	j.Webhook = &millrace.Webhook{URL: "https://hook", Events: []string{"succeeded", "failed"}}
	for run, event := range map[int]string{1: "failed", 2: "succeeded"} {
		w.deliveries = append(w.deliveries, millrace.WebhookDelivery{
			ID: millrace.WebhookID(j.ID, run), Tenant: "a", Job: j.ID, Run: run, Event: event, URL: "https://hook",
		})
	}
	j.Attempts = append(j.Attempts, millrace.Attempt{
		N: 2, Run: 2, Worker: "w", StartedAt: noon.Add(time.Minute), EndedAt: noon.Add(time.Hour), Outcome: millrace.AttemptSucceeded, Spent: true,
	})
	return j
}

func TestAuditOfTwoRuns(t *testing.T) {
	t.Parallel()
	w := newWorld()
	retried(w)
	if got := w.invariants(t); len(got) > 0 {
		t.Errorf("broken: %v, want none", got)
	}
	w.deliveries = w.deliveries[:1]
	if got := w.invariants(t); !slices.Equal(got, []string{"I7"}) {
		t.Errorf("broken without deliveries of either run: %v, want I7", got)
	}
}

// TestAuditFinds breaks one thing at a time: an invariant that cannot fail proves nothing.
func TestAuditFinds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		spoil      func(w *world)
	}{
		{"a lost job", "I1", func(w *world) { w.jobs = w.jobs[:2] }},
		{"two ends of one run, by the ledger", "I2", func(w *world) { w.History.Ended("hook", "j1", 1, millrace.Canceled) }},
		{"two ends of one run, by a worker", "I2", func(w *world) {
			w.History.Finished(store.Outcome{Job: "j0", Fence: 2, Kind: store.OutcomeFailed}, true)
		}},
		{"two attempts that won", "I2", func(w *world) {
			j := *w.jobs[plain]
			j.Fence = 3
			w.jobs[plain].Starts, w.jobs[plain].Fence, w.jobs[plain].Attempts[0].N = 2, 3, 2
			w.jobs[plain].Attempts = append([]millrace.Attempt{
				{N: 1, Run: 1, StartedAt: noon, EndedAt: noon, Outcome: millrace.AttemptReleased},
			}, w.jobs[plain].Attempts...)
			w.History.Claimed("v", &j)
			w.History.Finished(store.Outcome{Job: "j0", Fence: 3, Kind: store.OutcomeSucceeded}, true)
		}},
		{"a worker was told otherwise", "I2", func(w *world) {
			w.History = &storetest.History{}
			w.History.Claimed("w", w.jobs[plain])
			w.History.Finished(store.Outcome{Job: "j0", Fence: 2, Kind: store.OutcomeFailed}, true)
		}},
		{"a final row that changed", "I2", func(w *world) { w.jobs[plain].Result = json.RawMessage(`2`) }},
		{"a run that lives again", "I2", func(w *world) {
			w.History.Saw("client", w.jobs[plain])
			again := *w.jobs[plain]
			again.State = millrace.Queued
			w.History.Saw("client", &again)
		}},
		{"a final job without an end", "I2", func(w *world) { w.History, w.jobs[failing].FinishedAt = nil, time.Time{} }},
		{"a live job that expires", "I2", func(w *world) { w.jobs[running].ExpiresAt = noon }},
		{"success after success", "I2", func(w *world) {
			w.History = nil
			w.jobs[failing].Attempts[0].Outcome = millrace.AttemptSucceeded
		}},
		{"a stray", "I3", func(w *world) { w.jobs = append(w.jobs, job("j9")) }},
		{"a refused job", "I3", func(w *world) { w.jobs = append(w.jobs, job("refused")) }},
		{"one submission, two jobs", "I3", func(w *world) {
			w.History = &storetest.History{Token: func(*millrace.Job) string { return "all" }}
			w.History.Attempted(storetest.Submission{Token: "all", Tenant: "a"})
		}},
		{"one idempotency key, two jobs", "I4", func(w *world) {
			w.History = &storetest.History{Token: func(*millrace.Job) string { return "all" }}
			w.History.Attempted(storetest.Submission{Token: "all", Tenant: "a", Idempotency: "k"})
		}},
		{"one idempotency key, two answers", "I4", func(w *world) { w.History.Acknowledged("j0", "j1") }},
		{"two live jobs with one unique key", "I4", func(w *world) {
			twin := *w.jobs[running]
			twin.ID = "unknown"
			twin.Unique = &millrace.Unique{Key: "u"}
			w.jobs[running].Unique, w.jobs = twin.Unique, append(w.jobs, &twin)
		}},
		{"two jobs that ran with one unique key", "I4", func(w *world) { w.jobs[failing].Unique = w.jobs[plain].Unique }},
		{"a fence that went back", "I5", func(w *world) { w.jobs[running].Fence = 1 }},
		{"starts that went back, to one observer", "I5", func(w *world) {
			old := *w.jobs[running]
			old.Starts, old.Attempts = 0, nil
			w.History.Saw("client", &old)
		}},
		{"two owners of one attempt", "I5", func(w *world) { w.History.Claimed("v", w.jobs[plain]) }},
		{"a claim that the ledger forgot", "I5", func(w *world) {
			j := *w.jobs[plain]
			j.Fence = 9
			w.History.Claimed("v", &j)
		}},
		{"a running job without an owner", "I5", func(w *world) { w.jobs[running].WorkerID = "" }},
		{"an idle job with an owner", "I5", func(w *world) { w.jobs[failing].WorkerID = "w" }},
		{"more attempts than allowed", "I5", func(w *world) { w.jobs[running].MaxAttempts, w.jobs[running].Attempt = 1, 2 }},
		{"an open attempt of a final job", "I5", func(w *world) {
			w.History, w.jobs[plain].Attempts[0].Outcome, w.jobs[plain].Attempts[0].EndedAt = nil, "", time.Time{}
		}},
		{"a start that is not in the history", "I5", func(w *world) { w.jobs[running].Starts = 2 }},
		{"output without success", "I6", func(w *world) { w.History, w.jobs[failing].Result = nil, json.RawMessage(`1`) }},
		{"an output unlike its file", "I6", func(w *world) { w.files[0].Size++ }},
		{"an output's file of another job", "I6", func(w *world) { w.files[0].Job = "j1" }},
		{"no delivery", "I7", func(w *world) { w.deliveries = nil }},
		{"two deliveries", "I7", func(w *world) { w.deliveries = append(w.deliveries, w.deliveries[0]) }},
		{"an unwanted delivery", "I7", func(w *world) { w.jobs[plain].Webhook.Events = []string{"failed"} }},
		{"a delivery for nobody", "I7", func(w *world) { w.jobs[plain].Webhook = nil }},
		{"a delivery of another end", "I7", func(w *world) { w.deliveries[0].Event = "failed" }},
		{"a delivery of another id", "I7", func(w *world) { w.deliveries[0].ID += "0" }},
		{"a delivery before the end", "I7", func(w *world) {
			w.jobs[running].Webhook = w.jobs[plain].Webhook
			d := w.deliveries[0]
			d.Job, d.ID = "j2", millrace.WebhookID("j2", 1)
			w.deliveries = append(w.deliveries, d)
		}},
		{"a lost blob", "I8", func(w *world) { delete(w.stored, "sum/1") }},
		{"a blob that the ledger does not know", "I8", func(w *world) { delete(w.known, "sum/1") }},
		{"garbage", "I8", func(w *world) { w.stored["old/1"] = noon }},
		{"a queue that does not empty", "I9", func(w *world) { w.backlog, w.Settled = 1, true }},
		{"a job that outlived its time", "I9", func(w *world) { w.Tidied, w.files = time.Hour, nil }},
		{"a file that outlived its time", "I9", func(w *world) { w.Tidied, w.History, w.jobs = time.Hour, nil, nil }},
		{"a file that only a job that is over needs", "I9", func(w *world) {
			w.Tidied, w.jobs[plain].ExpiresAt = time.Hour, noon.Add(24*time.Hour)
			w.jobs[failing].Inputs = []millrace.Input{{File: "f"}}
		}},
		{"a job that does not end", "I10", func(w *world) { w.Settled = true }},
		{"another tenant's job listed", "I11", func(w *world) { w.jobs[plain].Tenant, w.leak = "b", true }},
		{"another tenant's job read", "I11", func(w *world) { w.Tenants, w.leak, w.files = []string{"a", "b"}, true, nil }},
		{"another tenant's file listed", "I11", func(w *world) { w.files = append(w.files, millrace.File{ID: "g", Tenant: "b", Blob: "sum/1"}) }},
		{"a job that went to another tenant", "I11", func(w *world) { w.jobs[running].Tenant, w.Tenants = "b", []string{"a", "b"} }},
		{"a spent attempt that was no error", "I12", func(w *world) { w.jobs[failing].Attempts[0].Outcome = millrace.AttemptCrashed }},
		{"an error that was not spent", "I12", func(w *world) { w.jobs[failing].Attempts[0].Spent = false }},
		{"attempts that the history does not show", "I12", func(w *world) { w.History, w.jobs[failing].Attempt = nil, 0 }},
		{"attempts that were not the job's own", "I12", func(w *world) {
			w.History = &storetest.History{}
			for _, j := range w.jobs {
				w.History.Attempted(storetest.Submission{Token: j.ID, Tenant: "a", Spends: 2})
			}
		}},
		{"crashes that the history does not show", "I12", func(w *world) { w.jobs[failing].Crashes = 1 }},
		{"a crashing job in company", "I12", func(w *world) { w.jobs[running].Crashes = 2 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			tt.spoil(w)
			if got := w.invariants(t); !slices.Contains(got, tt.want) {
				t.Errorf("broken: %v, want %s among them", got, tt.want)
			}
		})
	}
}

// TestAuditOfWhatIsKept: nothing is too old that has time left, or that somebody needs.
func TestAuditOfWhatIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.Tidied = time.Hour
	w.jobs[running].Inputs = []millrace.Input{{File: "f"}}
	w.jobs[failing].ExpiresAt = noon.Add(100 * time.Minute)
	if got := w.invariants(t); len(got) > 0 {
		t.Errorf("broken: %v, want none", got)
	}
}

// TestAuditOfWhatClientsSee: a program that reads jobs over HTTP has no fences and no owners.
func TestAuditOfWhatClientsSee(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, j := range w.jobs {
		j.Fence, j.WorkerID, j.Starts = 0, "", 0
	}
	h := &storetest.History{}
	for _, j := range w.jobs {
		h.Attempted(storetest.Submission{Token: j.ID, Tenant: "a"})
		h.Acknowledged(j.ID, j.ID)
	}
	a := storetest.Audit{Source: storetest.NewSnapshot(w.jobs), Tenants: []string{"a"}, History: h, Public: true}
	if found, err := a.Violations(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("Violations = %v, %v, want none", found, err)
	}
	a.Source = storetest.NewSnapshot(w.jobs[1:])
	found, err := a.Violations(t.Context())
	if err != nil || len(found) != 1 || found[0].Invariant != "I1" || found[0].Job != "j0" {
		t.Errorf("Violations without a job = %v, %v, want it lost", found, err)
	}
}
