package storetest

import (
	"encoding/json"
	"errors"
	"reflect"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func jobTests() []test {
	return []test{
		{"round trip", testRoundTrip},
		{"zero times become now", testZeroTimes},
		{"insert again changes nothing", testInsertAgain},
		{"a bad job spares its neighbours", testBadNeighbour},
		{"another tenant's file is no input", testForeignInput},
		{"another tenant's job does not exist", testForeignJob},
		{"many jobs in one insert", testInsertMany},
		{"delete", testDelete},
		{"delete while its output is needed", testDeleteInUse},
		{"ping and the blob store's id", testPing},
	}
}

// jobDiff compares jobs as users see them: times in milliseconds, JSON by meaning, nil and empty lists alike.
func jobDiff(got, want *millrace.Job) string {
	return cmp.Diff(want, got,
		cmp.FilterPath(func(p cmp.Path) bool { return p.Last().Type() != reflect.TypeFor[json.RawMessage]() }, cmpopts.EquateEmpty()),
		cmp.Comparer(func(a, b time.Time) bool { return a.Truncate(time.Millisecond).Equal(b.Truncate(time.Millisecond)) }),
		cmp.Comparer(func(a, b json.RawMessage) bool { return sameJSON(a, b) }))
}

func sameJSON(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && cmp.Equal(x, y)
}

func testRoundTrip(f *fixture) {
	in := f.file()
	at := f.Now().Add(-time.Minute)
	want := f.job(inputs(in, in), func(j *millrace.Job) {
		j.Priority, j.Queue = millrace.High, "io.high"
		j.Params = json.RawMessage(`{"a":[1,2.5,"ü"],"b":{"c":null}}`)
		j.Tags = []string{"b", "a", "b c"}
		j.Metadata = json.RawMessage(`{"order":"42"}`)
		j.MaxAttempts, j.Timeout, j.Retention = 8, 1500*time.Millisecond, 36*time.Hour
		j.Backoff = millrace.Backoff{Initial: 1500 * time.Millisecond, Max: time.Hour, Factor: 1.5, Jitter: 0.125}
		j.CacheKey = newSum()
		j.CreatedAt, j.RunAt = at, at
	})
	f.insert(want)
	if diff := jobDiff(f.get(want.ID), want); diff != "" {
		f.Errorf("job read back (-want +got):\n%s", diff)
	}

	later := f.job(func(j *millrace.Job) {
		j.State, j.CreatedAt, j.RunAt = millrace.Scheduled, at, at.Add(time.Hour)
	})
	f.insert(later)
	if diff := jobDiff(f.get(later.ID), later); diff != "" {
		f.Errorf("scheduled job read back (-want +got):\n%s", diff)
	}
}

func testZeroTimes(f *fixture) {
	j := f.get(f.queued().ID)
	f.wantNear("CreatedAt", j.CreatedAt, f.Now())
	f.wantNear("RunAt", j.RunAt, f.Now())
	for name, at := range map[string]time.Time{
		"StartedAt": j.StartedAt, "FinishedAt": j.FinishedAt, "ExpiresAt": j.ExpiresAt, "CancelAt": j.CancelAt,
	} {
		if !at.IsZero() {
			f.Errorf("%s of a new job = %v, want zero", name, at)
		}
	}
}

func testInsertAgain(f *fixture) {
	in := f.file()
	j := f.queued(inputs(in), func(j *millrace.Job) { j.Tags = []string{"t"} })
	claimed := f.claim(f.worker(), j.ID)
	f.insert(j)
	if diff := jobDiff(f.get(j.ID), claimed); diff != "" {
		f.Errorf("inserted again, the job changed (-want +got):\n%s", diff)
	}
	// The lost answer may be asked for when the job is over and its input gone.
	f.end(claimed, store.OutcomeSucceeded)
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID))
	f.insert(j)
	f.wantState(j.ID, millrace.Succeeded)
}

func testBadNeighbour(f *fixture) {
	good, bad, last := f.job(), f.job(), f.job(inputs(f.file()))
	bad.Inputs = []millrace.Input{{File: newID()}}
	bad.Tags = []string{"t"}
	errs := f.Ledger.Insert(f.ctx, []store.NewJob{{Job: good}, {Job: bad}, {Job: last}})
	if len(errs) != 3 || errs[0] != nil || !errors.Is(errs[1], store.ErrInputMissing) || errs[2] != nil {
		f.Fatalf("Insert = %v, want [nil ErrInputMissing nil]", errs)
	}
	f.get(good.ID)
	f.get(last.ID)
	if _, err := f.Ledger.Job(f.ctx, f.tenant, bad.ID); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Job of the refused one = %v, want ErrNotFound", err)
	}
	if list, err := f.Ledger.List(f.ctx, f.tenant, store.JobFilter{Tag: "t", Limit: 10}); err != nil || len(list) != 0 {
		f.Errorf("List by the refused one's tag = %d jobs, %v, want none", len(list), err)
	}
}

func testForeignInput(f *fixture) {
	in := f.newFile()
	in.Tenant = f.other
	f.must(f.Ledger.CreateFile(f.ctx, in, nil))
	errs := f.Ledger.Insert(f.ctx, []store.NewJob{{Job: f.job(inputs(in))}})
	if !errors.Is(errs[0], store.ErrInputMissing) {
		f.Errorf("Insert with another tenant's file = %v, want ErrInputMissing", errs[0])
	}
}

func testForeignJob(f *fixture) {
	j := f.queued(func(j *millrace.Job) { j.Tags = []string{"t"} })
	_, read := f.Ledger.Job(f.ctx, f.other, j.ID)
	_, cancel := f.Ledger.Cancel(f.ctx, f.other, j.ID)
	_, retry := f.Ledger.Retry(f.ctx, f.other, j.ID, nil)
	for name, err := range map[string]error{
		"Job": read, "Cancel": cancel, "Retry": retry, "Delete": f.Ledger.Delete(f.ctx, f.other, j.ID),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			f.Errorf("%s by another tenant = %v, want ErrNotFound", name, err)
		}
	}
	list, err := f.Ledger.List(f.ctx, f.other, store.JobFilter{Limit: 10})
	f.must(err)
	byTag, err := f.Ledger.List(f.ctx, f.other, store.JobFilter{Tag: "t", Limit: 10})
	f.must(err)
	if len(list)+len(byTag) != 0 {
		f.Errorf("List by another tenant = %d + %d jobs, want none", len(list), len(byTag))
	}
	f.wantState(j.ID, millrace.Queued)
}

func testInsertMany(f *fixture) {
	var jobs []*millrace.Job
	for range 700 {
		jobs = append(jobs, f.job())
	}
	f.insert(jobs...)
	list, err := f.Ledger.List(f.ctx, f.tenant, store.JobFilter{Limit: 1000})
	f.must(err)
	if len(list) != len(jobs) {
		f.Errorf("List = %d jobs, want %d", len(list), len(jobs))
	}
}

func testDelete(f *fixture) {
	j := f.running(f.worker(), func(j *millrace.Job) { j.Tags, j.CacheKey = []string{"t"}, newSum() })
	if err := f.Ledger.Delete(f.ctx, f.tenant, j.ID); !errors.Is(err, store.ErrState) {
		f.Errorf("Delete of a running job = %v, want ErrState", err)
	}
	out := f.output("a.zst")
	f.end(j, store.OutcomeSucceeded, outputs(out))
	f.must(f.Ledger.Delete(f.ctx, f.tenant, j.ID))

	if _, err := f.Ledger.Job(f.ctx, f.tenant, j.ID); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Job after Delete = %v, want ErrNotFound", err)
	}
	if _, err := f.Ledger.File(f.ctx, f.tenant, out.File); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("File of a deleted job = %v, want ErrNotFound", err)
	}
	if _, err := f.Ledger.Result(f.ctx, f.tenant, j.CacheKey); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Result of a deleted job = %v, want ErrNotFound", err)
	}
	if list, err := f.Ledger.List(f.ctx, f.tenant, store.JobFilter{Tag: "t", Limit: 10}); err != nil || len(list) != 0 {
		f.Errorf("List by a deleted job's tag = %d, %v, want none", len(list), err)
	}
	if err := f.Ledger.Delete(f.ctx, f.tenant, j.ID); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Delete again = %v, want ErrNotFound", err)
	}
}

func testDeleteInUse(f *fixture) {
	w := f.worker()
	out := f.output("a.zst")
	first := f.end(f.running(w), store.OutcomeSucceeded, outputs(out))
	second := f.running(w, inputs(millrace.File{ID: out.File}))
	if err := f.Ledger.Delete(f.ctx, f.tenant, first.ID); !errors.Is(err, store.ErrInUse) {
		f.Fatalf("Delete while a live job reads the output = %v, want ErrInUse", err)
	}
	f.wantState(first.ID, millrace.Succeeded)
	f.end(second, store.OutcomeSucceeded)
	f.must(f.Ledger.Delete(f.ctx, f.tenant, first.ID))
}

func testPing(f *fixture) {
	f.must(f.Ledger.Ping(f.ctx))
	f.must(f.Ledger.BlobStore(f.ctx, "one"))
	f.must(f.Ledger.BlobStore(f.ctx, "one"))
	if err := f.Ledger.BlobStore(f.ctx, "two"); !errors.Is(err, store.ErrOtherBlobStore) {
		f.Errorf("BlobStore of another = %v, want ErrOtherBlobStore", err)
	}
}
