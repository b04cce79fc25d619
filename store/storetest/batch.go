package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func batchTests() []test {
	return []test{
		{"all or each by itself", testBatch},
		{"without a key", testBatchNoKey},
		{"replayed", testBatchReplay},
		{"repeated after a lost answer", testBatchRepeated},
		{"equal unique keys", testBatchUnique},
		{"10,000 jobs", testBatchMany},
		{"16 at once", raceBatches},
	}
}

// words is an answer that says what became of each job.
func words(errs []error) []byte {
	said := make([]string, len(errs))
	for i, err := range errs {
		switch {
		case err == nil:
			said[i] = "ok"
		case errors.Is(err, store.ErrInputMissing):
			said[i] = "input"
		default:
			if _, ok := errors.AsType[*store.HeldError](err); ok {
				said[i] = "held"
			} else {
				said[i] = err.Error()
			}
		}
	}
	answer, _ := json.Marshal(said)
	return answer
}

func (f *fixture) batch(k *store.Idempotency, jobs ...*millrace.Job) ([]error, error) {
	f.Helper()
	rows := make([]store.NewJob, len(jobs))
	for i, j := range jobs {
		rows[i].Job = j
	}
	errs, err := f.Ledger.InsertBatch(f.ctx, f.tenant, k, rows, words)
	if err == nil && len(errs) != len(jobs) {
		f.Fatalf("InsertBatch answered %d of %d jobs", len(errs), len(jobs))
	}
	return errs, err
}

// mixed are five jobs of which the second and the fourth are refused.
func (f *fixture) mixed() []*millrace.Job {
	f.Helper()
	holder := f.queued(unique(newID(), 0))
	bad := f.job(func(j *millrace.Job) { j.Inputs = []millrace.Input{{File: newID()}} })
	return []*millrace.Job{f.job(inputs(f.file())), bad, f.job(), f.job(unique(holder.Unique.Key, 0)), f.job(anyEnd())}
}

const mixedAnswer = `["ok","input","ok","held","ok"]`

// wantMixed checks which of the five are there.
func (f *fixture) wantMixed(jobs []*millrace.Job, written bool) {
	f.Helper()
	for i, j := range jobs {
		if written && i != 1 && i != 3 {
			f.wantState(j.ID, millrace.Queued)
		} else {
			f.wantGone(j.ID)
		}
	}
}

func testBatch(f *fixture) {
	jobs := f.mixed()
	k := &store.Idempotency{Key: "k", Hash: "h", Answer: []byte("not this")}
	errs, err := f.batch(k, jobs...)
	f.must(err)
	if got := string(words(errs)); got != mixedAnswer {
		f.Errorf("InsertBatch = %s, want %s", got, mixedAnswer)
	}
	f.wantMixed(jobs, true)
	f.wantAnswer("k", &store.Idempotency{Key: "k", Hash: "h", Answer: []byte(mixedAnswer)})
	if owed := f.owedIDs(); len(owed) != 4 { // with the holder of the unique key
		f.Errorf("owed = %v, want the three and the holder", owed)
	}
}

func testBatchNoKey(f *fixture) {
	jobs := f.mixed()
	errs, err := f.batch(nil, jobs...)
	f.must(err)
	if got := string(words(errs)); got != mixedAnswer {
		f.Errorf("InsertBatch = %s, want %s", got, mixedAnswer)
	}
	f.wantMixed(jobs, true)
}

func testBatchReplay(f *fixture) {
	first := f.mixed()
	_, err := f.batch(&store.Idempotency{Key: "k", Hash: "h"}, first...)
	f.must(err)
	want := &store.Idempotency{Key: "k", Hash: "h", Answer: []byte(mixedAnswer)}
	for _, hash := range []string{"h", "another"} {
		again := []*millrace.Job{f.job(), f.job()}
		_, err := f.batch(&store.Idempotency{Key: "k", Hash: hash}, again...)
		f.wantReplay("InsertBatch under a used key, hash "+hash, err, want)
		f.wantGone(again[0].ID)
		f.wantGone(again[1].ID)
	}
	// Keys of single jobs and of batches are the same ones.
	f.wantReplay("Insert under a batch's key", f.insertKeyed(f.job(), key("k")), want)
	f.must(f.insertKeyed(f.job(), key("single")))
	j := f.job()
	_, err = f.batch(&store.Idempotency{Key: "single", Hash: "h"}, j)
	f.wantReplay("InsertBatch under a job's key", err, key("single"))
	f.wantGone(j.ID)
	if _, err := f.Ledger.Answer(f.ctx, f.other, "k"); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Answer for another tenant = %v, want ErrNotFound", err)
	}
}

// testBatchRepeated is the caller whose answer was lost after the commit: it hears what it would have heard, from the jobs or from the key.
func testBatchRepeated(f *fixture) {
	jobs := f.mixed()
	k := &store.Idempotency{Key: "k", Hash: "h"}
	_, err := f.batch(k, jobs...)
	f.must(err)
	want := &store.Idempotency{Key: "k", Hash: "h", Answer: []byte(mixedAnswer)}
	errs, err := f.batch(k, jobs...)
	if err != nil {
		f.wantReplay("InsertBatch again", err, want)
	} else if got := string(words(errs)); got != mixedAnswer {
		f.Errorf("InsertBatch again = %s, want %s", got, mixedAnswer)
	}
	f.wantAnswer("k", want)
	f.wantMixed(jobs, true)

	bare := []*millrace.Job{f.job(), f.job(unique("bare", 0))}
	for range 2 {
		errs, err := f.batch(nil, bare...)
		f.must(err)
		if got := string(words(errs)); got != `["ok","ok"]` {
			f.Errorf("InsertBatch without a key = %s, want both ok, also again", got)
		}
	}
}

func testBatchUnique(f *fixture) {
	a, b, c := f.job(unique("u", 0)), f.job(unique("u", 0)), f.job(unique("v", 0))
	errs, err := f.batch(nil, a, b, c)
	f.must(err)
	if errs[0] != nil || errs[2] != nil {
		f.Errorf("InsertBatch = %v, want the second refused alone", errs)
	}
	f.wantHeld("the second row", errs[1], a.ID)
	f.wantGone(b.ID)
}

// testBatchMany is the largest batch there is, in one transaction.
func testBatchMany(f *fixture) {
	const many = 10_000
	jobs := make([]*millrace.Job, many)
	for i := range jobs {
		jobs[i] = f.job()
		switch {
		case i%1000 == 7:
			jobs[i].Inputs = []millrace.Input{{File: newID()}}
		case i%1000 == 8:
			jobs[i].Unique = &millrace.Unique{Key: "u"}
		}
	}
	k := &store.Idempotency{Key: "k", Hash: "h"}
	errs, err := f.batch(k, jobs...)
	f.must(err)
	refused := 0
	for i, err := range errs {
		_, held := errors.AsType[*store.HeldError](err)
		switch {
		case i%1000 == 7 && errors.Is(err, store.ErrInputMissing), i%1000 == 8 && i > 8 && held:
			refused++
		case err != nil:
			f.Fatalf("job %d: %v", i, err)
		}
	}
	if refused != 19 {
		f.Errorf("%d refused, want 10 without their input and 9 whose unique key is held", refused)
	}
	listed := f.pages(store.JobFilter{Limit: 2000}, func() {})
	if len(listed) != many-refused {
		f.Errorf("%d jobs listed, want %d", len(listed), many-refused)
	}
	_, err = f.batch(k, f.job())
	f.wantReplay("InsertBatch again", err, &store.Idempotency{Key: "k", Hash: "h", Answer: words(errs)})
}

// raceBatches: of batches under one key exactly one is written, whole.
func raceBatches(f *fixture) {
	const size = 20
	for round := range rounds / 5 {
		var written atomic.Int32
		var fs []func()
		tag := fmt.Sprint("round ", round)
		for range racers {
			jobs := make([]store.NewJob, size)
			for i := range jobs {
				jobs[i].Job = f.job(func(j *millrace.Job) { j.Tags = []string{tag} })
			}
			fs = append(fs, func() {
				_, err := f.Ledger.InsertBatch(f.ctx, f.tenant, &store.Idempotency{Key: tag, Hash: jobs[0].ID}, jobs, func([]error) []byte {
					return []byte(jobs[0].ID)
				})
				replayed, ok := errors.AsType[*store.ReplayedError](err)
				switch {
				case err == nil:
					written.Add(1)
				case !ok:
					f.Errorf("InsertBatch: %v", err)
				case replayed.Hash != string(replayed.Answer):
					f.Errorf("replayed the hash %q and the answer %q of two requests", replayed.Hash, replayed.Answer)
				}
			})
		}
		together(fs...)
		if n := written.Load(); n != 1 {
			f.Fatalf("%d of %d batches under one key were written, want 1", n, racers)
		}
		list, err := f.Ledger.List(f.ctx, f.tenant, store.JobFilter{Tag: tag, Limit: 1000})
		f.must(err)
		k, err := f.Ledger.Answer(f.ctx, f.tenant, tag)
		f.must(err)
		if len(list) != size || list[size-1].ID != k.Hash {
			f.Errorf("%d jobs, the first %s; want %d of the batch of %s", len(list), list[len(list)-1].ID, size, k.Hash)
		}
	}
}
