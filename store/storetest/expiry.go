package storetest

import (
	"errors"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func expiryTests() []test {
	return []test{
		{"jobs with their outputs", testExpireJobs},
		{"jobs whose output is needed stay", testExpireNeeded},
		{"files that nobody needs", testExpireFiles},
	}
}

func (f *fixture) expireJobs(limit, want int) {
	f.Helper()
	n, err := f.Ledger.ExpireJobs(f.ctx, limit)
	f.must(err)
	if n != want {
		f.Errorf("ExpireJobs(%d) = %d, want %d", limit, n, want)
	}
}

func (f *fixture) expireFiles(limit, want int) {
	f.Helper()
	n, err := f.Ledger.ExpireFiles(f.ctx, limit)
	f.must(err)
	if n != want {
		f.Errorf("ExpireFiles(%d) = %d, want %d", limit, n, want)
	}
}

func testExpireJobs(f *fixture) {
	w, out := f.worker(), f.output("a.txt")
	short := func(j *millrace.Job) { j.Retention, j.CacheKey, j.Tags = time.Hour, newSum(), []string{"t"} }
	a := f.end(f.running(w, short), store.OutcomeSucceeded, outputs(out))
	f.end(f.running(w, short), store.OutcomeFailed)
	gone := f.queued(short)
	f.cancel(gone.ID)
	long := f.end(f.running(w), store.OutcomeSucceeded)
	live := f.queued(short)
	f.expireJobs(10, 0)
	f.Age(f, 2*time.Hour)
	f.expireJobs(2, 2)
	f.expireJobs(10, 1)
	f.expireJobs(10, 0)
	f.wantState(long.ID, millrace.Succeeded)
	f.wantState(live.ID, millrace.Queued)
	if _, err := f.Ledger.File(f.ctx, f.tenant, out.File); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("File of an expired job = %v, want ErrNotFound", err)
	}
	if _, err := f.Ledger.Result(f.ctx, f.tenant, a.CacheKey); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Result of an expired job = %v, want ErrNotFound", err)
	}
	list, err := f.Ledger.List(f.ctx, f.tenant, store.JobFilter{Tag: "t", Limit: 10})
	f.must(err)
	if len(list) != 1 || list[0].ID != live.ID {
		f.Errorf("List by tag = %v, want the live one", ids(list))
	}
}

func testExpireNeeded(f *fixture) {
	w, out := f.worker(), f.output("a.txt")
	short := func(j *millrace.Job) { j.Retention = time.Hour }
	first := f.end(f.running(w, short), store.OutcomeSucceeded, outputs(out))
	free := f.end(f.running(w, short), store.OutcomeSucceeded)
	second := f.running(w, inputs(millrace.File{ID: out.File}))
	f.Age(f, 2*time.Hour)
	f.expireJobs(1, 1) // the needed one must not stand in the way of the other
	f.wantState(first.ID, millrace.Succeeded)
	if _, err := f.Ledger.Job(f.ctx, f.tenant, free.ID); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Job that nobody needs = %v, want ErrNotFound", err)
	}
	f.end(second, store.OutcomeSucceeded)
	f.expireJobs(10, 1)
}

func testExpireFiles(f *fixture) {
	upload := func(d time.Duration) millrace.File {
		file := f.newFile()
		file.ExpiresAt = f.Now().Add(d)
		if d == 0 {
			file.ExpiresAt = time.Time{}
		}
		f.must(f.Ledger.CreateFile(f.ctx, file, nil))
		return file
	}
	needed, a, b := upload(time.Minute), upload(time.Hour), upload(time.Hour)
	long, kept := upload(5*time.Hour), upload(0)
	j := f.queued(inputs(needed), func(j *millrace.Job) { j.Retention = 3 * time.Hour })
	f.expireFiles(10, 0)
	f.Age(f, 2*time.Hour)
	f.expireFiles(1, 1)
	f.expireFiles(10, 1)
	f.expireFiles(10, 0)
	for _, file := range []millrace.File{needed, long, kept} {
		_, err := f.Ledger.File(f.ctx, f.tenant, file.ID)
		f.must(err)
	}
	for _, file := range []millrace.File{a, b} {
		if _, err := f.Ledger.File(f.ctx, f.tenant, file.ID); !errors.Is(err, store.ErrNotFound) {
			f.Errorf("expired File = %v, want ErrNotFound", err)
		}
	}
	f.cancel(j.ID)
	f.expireFiles(10, 0) // kept as long as its job
	f.Age(f, 4*time.Hour)
	f.expireFiles(10, 2)
}
