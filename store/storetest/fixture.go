package storetest

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// fixture is a ledger with the short words that tests are written in. Each ends the test on an error that the test did not ask for.
type fixture struct {
	Backend
	*testing.T
	ctx           context.Context
	tenant, other string
}

// job makes a valid queued job of the fixture's tenant; change alters it.
func (f *fixture) job(change ...func(*millrace.Job)) *millrace.Job {
	j := &millrace.Job{
		ID: newID(), Tenant: f.tenant, Type: "file.compress", State: millrace.Queued, Priority: millrace.Normal, Queue: "cpu.normal",
		Params: json.RawMessage(`{"codec":"zstd"}`), Run: 1, MaxAttempts: 5, Timeout: time.Minute,
		Backoff:   millrace.Backoff{Initial: time.Second, Max: time.Minute, Factor: 2, Jitter: 0.25},
		Retention: 72 * time.Hour, Fence: 1,
	}
	for _, c := range change {
		c(j)
	}
	return j
}

func inputs(files ...millrace.File) func(*millrace.Job) {
	return func(j *millrace.Job) {
		for _, file := range files {
			j.Inputs = append(j.Inputs, millrace.Input{File: file.ID})
		}
	}
}

// insert commits jobs that are due at once.
func (f *fixture) insert(jobs ...*millrace.Job) {
	f.Helper()
	rows := make([]store.NewJob, len(jobs))
	for i, j := range jobs {
		rows[i].Job = j
	}
	for i, err := range f.Ledger.Insert(f.ctx, rows) {
		if err != nil {
			f.Fatalf("Insert job %d: %v", i, err)
		}
	}
}

// queued inserts one job and returns it.
func (f *fixture) queued(change ...func(*millrace.Job)) *millrace.Job {
	f.Helper()
	j := f.job(change...)
	f.insert(j)
	return j
}

func (f *fixture) get(id string) *millrace.Job {
	f.Helper()
	j, err := f.Ledger.Job(f.ctx, f.tenant, id)
	if err != nil {
		f.Fatalf("Job(%s): %v", id, err)
	}
	return j
}

// wantState reads the job and checks its state.
func (f *fixture) wantState(id string, want millrace.State) *millrace.Job {
	f.Helper()
	j := f.get(id)
	if j.State != want {
		f.Fatalf("state of %s = %s, want %s", id, j.State, want)
	}
	return j
}

func delivery(j *millrace.Job) store.Delivery { return store.Delivery{Job: j.ID, Fence: j.Fence} }

func newWorker() millrace.Worker {
	return millrace.Worker{
		ID: newID(), Host: "mill", BootID: "boot", PID: 4711, PIDStart: 99, Role: "worker", CPUSlots: 1, IOSlots: 16, MemoryBudget: 1 << 30,
	}
}

// worker registers a new worker and returns its id.
func (f *fixture) worker() string {
	f.Helper()
	w := newWorker()
	f.must(f.Worker.Register(f.ctx, w))
	return w.ID
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatalf("unexpected error: %v", err)
	}
}

// claims asks for deliveries and returns the jobs, nil where the claim was refused.
func (f *fixture) claims(worker string, deliveries ...store.Delivery) []store.Claimed {
	f.Helper()
	claimed, err := f.Worker.Claim(f.ctx, worker, deliveries)
	if err != nil {
		f.Fatalf("Claim: %v", err)
	}
	if len(claimed) != len(deliveries) {
		f.Fatalf("Claim answered %d of %d deliveries", len(claimed), len(deliveries))
	}
	return claimed
}

// claim takes the job as it stands in the ledger and must get it.
func (f *fixture) claim(worker, id string) *millrace.Job {
	f.Helper()
	c := f.claims(worker, delivery(f.get(id)))[0]
	if c.Job == nil {
		f.Fatalf("Claim(%s) was refused", id)
	}
	return c.Job
}

// running inserts a job and lets a worker claim it.
func (f *fixture) running(worker string, change ...func(*millrace.Job)) *millrace.Job {
	f.Helper()
	return f.claim(worker, f.queued(change...).ID)
}

// outcome is one for the attempt that the claimed job stands for.
func (f *fixture) outcome(j *millrace.Job, kind store.OutcomeKind) store.Outcome {
	o := store.Outcome{Job: j.ID, Tenant: j.Tenant, Fence: j.Fence, Kind: kind}
	switch kind {
	case store.OutcomeSucceeded:
		o.Attempt, o.Result = millrace.AttemptSucceeded, json.RawMessage(`{"ratio":2}`)
	case store.OutcomeFailed, store.OutcomeRetry:
		o.Attempt = millrace.AttemptError
		o.Error = &millrace.JobError{Code: millrace.CodeInternal, Message: "gear slipped", Retryable: kind == store.OutcomeRetry}
		o.Delay = time.Hour
	case store.OutcomeReleased:
		o.Attempt = millrace.AttemptReleased
	case store.OutcomeCanceled:
		o.Attempt = millrace.AttemptCanceled
	}
	return o
}

// finish writes one outcome and says whether it won.
func (f *fixture) finish(o store.Outcome) bool {
	f.Helper()
	won, err := f.Worker.Finish(f.ctx, []store.Outcome{o})
	if err != nil {
		f.Fatalf("Finish: %v", err)
	}
	if len(won) != 1 {
		f.Fatalf("Finish answered %d of 1 outcomes", len(won))
	}
	return won[0]
}

// end finishes a claimed job in the given way and must win.
func (f *fixture) end(j *millrace.Job, kind store.OutcomeKind, change ...func(*store.Outcome)) *millrace.Job {
	f.Helper()
	o := f.outcome(j, kind)
	for _, c := range change {
		c(&o)
	}
	if !f.finish(o) {
		f.Fatalf("Finish(%s) lost", kind)
	}
	return f.get(j.ID)
}

func outputs(outs ...store.NewOutput) func(*store.Outcome) {
	return func(o *store.Outcome) { o.Outputs = outs }
}

// output is a new output with bytes of its own.
func (f *fixture) output(name string) store.NewOutput {
	sum := newSum()
	return store.NewOutput{
		Output: millrace.Output{Name: name, File: newID(), Size: 7, ContentType: "text/plain", SHA256: sum},
		Blob:   sum + "/" + newID(),
	}
}

// newFile is an upload of the tenant, not yet written, with bytes of its own.
func (f *fixture) newFile() millrace.File {
	sum := newSum()
	return millrace.File{
		ID: newID(), Tenant: f.tenant, Name: "grain.txt", Size: 12, SHA256: sum, ContentType: "text/plain", Blob: sum + "/" + newID(),
		CreatedAt: f.Now(), ExpiresAt: f.Now().Add(24 * time.Hour),
	}
}

// file writes an upload.
func (f *fixture) file() millrace.File {
	f.Helper()
	file := f.newFile()
	f.must(f.Ledger.CreateFile(f.ctx, file, nil))
	return file
}

// newSum is the hex of some SHA-256 that no other blob has.
func newSum() string {
	return strings.ReplaceAll(uuid.NewString()+uuid.NewString(), "-", "")
}

// wantNear checks that a stored time is about what it should be; a busy machine may be slow, hence the width.
func (f *fixture) wantNear(what string, got, want time.Time) {
	f.Helper()
	if d := got.Sub(want); d < -time.Minute || d > time.Minute {
		f.Errorf("%s = %v, want about %v", what, got, want)
	}
}

func (f *fixture) owed(limits map[string]int) []store.Owed {
	f.Helper()
	owed, err := f.Ledger.Owed(f.ctx, limits)
	f.must(err)
	return owed
}

// owedIDs are the jobs owed to the one queue that most tests use.
func (f *fixture) owedIDs() []string {
	f.Helper()
	var ids []string
	for _, o := range f.owed(map[string]int{"cpu.normal": 1000}) {
		ids = append(ids, o.Job)
	}
	return ids
}
