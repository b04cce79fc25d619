package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func idempotencyTests() []test {
	return []test{
		{"the second request hears the first", testKey},
		{"another request under the key hears what the key was for", testKeyOtherHash},
		{"equal keys in one insert", testKeysInOneInsert},
		{"a refused job takes no key", testKeyRefused},
		{"a key belongs to its tenant", testKeyForeign},
		{"repeating an insert is no second request", testKeyRepeated},
		{"looked at before the unique key", testKeyBeforeUnique},
		{"the key outlives its job", testKeyOutlives},
		{"expiry by the upkeep", testKeyExpiry},
		{"of a cached job", testKeyCached},
		{"of a file", testKeyFile},
		{"one key for jobs and files", testKeyJobFile},
		{"16 requests at once", raceKeys},
		{"16 files at once", raceKeysFiles},
	}
}

// key is an idempotency key as a request would make it.
func key(name string) *store.Idempotency {
	return &store.Idempotency{Key: name, Hash: "hash of " + name, Answer: []byte("answer to " + name)}
}

// insertKeyed inserts one job under a key and answers its error.
func (f *fixture) insertKeyed(j *millrace.Job, k *store.Idempotency) error {
	f.Helper()
	errs := f.Ledger.Insert(f.ctx, []store.NewJob{{Job: j, Idempotency: k}})
	if len(errs) != 1 {
		f.Fatalf("Insert answered %d of 1 jobs", len(errs))
	}
	return errs[0]
}

// wantReplay checks that err names what the key was used for.
func (f *fixture) wantReplay(what string, err error, want *store.Idempotency) {
	f.Helper()
	replayed, ok := errors.AsType[*store.ReplayedError](err)
	if !ok {
		f.Fatalf("%s = %v, want a ReplayedError", what, err)
	}
	if diff := cmp.Diff(*want, replayed.Idempotency); diff != "" {
		f.Errorf("%s replays (-want +got):\n%s", what, diff)
	}
}

func (f *fixture) wantGone(id string) {
	f.Helper()
	if _, err := f.Ledger.Job(f.ctx, f.tenant, id); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Job(%s) = %v, want ErrNotFound", id, err)
	}
}

// wantAnswer reads a key.
func (f *fixture) wantAnswer(name string, want *store.Idempotency) {
	f.Helper()
	got, err := f.Ledger.Answer(f.ctx, f.tenant, name)
	if want == nil {
		if !errors.Is(err, store.ErrNotFound) {
			f.Errorf("Answer(%s) = %+v, %v, want ErrNotFound", name, got, err)
		}
		return
	}
	f.must(err)
	if diff := cmp.Diff(*want, got); diff != "" {
		f.Errorf("Answer(%s) (-want +got):\n%s", name, diff)
	}
}

func testKey(f *fixture) {
	f.wantAnswer("k", nil)
	first, second := f.job(), f.job()
	f.must(f.insertKeyed(first, key("k")))
	f.wantAnswer("k", key("k"))
	f.wantReplay("Insert under a used key", f.insertKeyed(second, key("k")), key("k"))
	f.wantGone(second.ID)
	f.wantState(first.ID, millrace.Queued)
	f.must(f.insertKeyed(second, key("another"))) // the refused job itself is not spoiled
	f.wantState(second.ID, millrace.Queued)
}

func testKeyOtherHash(f *fixture) {
	f.must(f.insertKeyed(f.job(), key("k")))
	other := &store.Idempotency{Key: "k", Hash: "of another request", Answer: []byte("no")}
	f.wantReplay("Insert of another request", f.insertKeyed(f.job(), other), key("k"))
	f.wantAnswer("k", key("k"))
}

func testKeysInOneInsert(f *fixture) {
	a, b, c, d, e := f.job(), f.job(), f.job(), f.job(), f.job()
	differs := &store.Idempotency{Key: "k", Hash: "x", Answer: []byte("y")}
	errs := f.Ledger.Insert(f.ctx, []store.NewJob{
		{Job: a, Idempotency: key("k")}, {Job: b, Idempotency: key("k")}, {Job: c}, {Job: d, Idempotency: differs}, {Job: e, Idempotency: key("l")},
	})
	for i, err := range errs {
		if i == 1 || i == 3 {
			f.wantReplay(fmt.Sprintf("row %d", i), err, key("k"))
		} else if err != nil {
			f.Errorf("row %d = %v, want none", i, err)
		}
	}
	for _, j := range []*millrace.Job{a, c, e} {
		f.wantState(j.ID, millrace.Queued)
	}
	f.wantGone(b.ID)
	f.wantGone(d.ID)
	f.wantAnswer("k", key("k"))
	f.wantAnswer("l", key("l"))
}

func testKeyRefused(f *fixture) {
	bad := f.job(func(j *millrace.Job) { j.Inputs = []millrace.Input{{File: newID()}} })
	if err := f.insertKeyed(bad, key("k")); !errors.Is(err, store.ErrInputMissing) {
		f.Fatalf("Insert without its input = %v, want ErrInputMissing", err)
	}
	f.wantAnswer("k", nil)
	// In one call, the first row that is written has the key.
	good, late := f.job(), f.job()
	mine := &store.Idempotency{Key: "k", Hash: "mine", Answer: []byte("mine")}
	errs := f.Ledger.Insert(f.ctx, []store.NewJob{
		{Job: bad, Idempotency: key("k")}, {Job: good, Idempotency: mine}, {Job: late, Idempotency: key("k")},
	})
	if !errors.Is(errs[0], store.ErrInputMissing) || errs[1] != nil {
		f.Fatalf("Insert = %v, want [ErrInputMissing nil replayed]", errs)
	}
	f.wantReplay("the row after it", errs[2], mine)
	f.wantState(good.ID, millrace.Queued)
	f.wantGone(late.ID)
	f.wantAnswer("k", mine)
}

func testKeyForeign(f *fixture) {
	f.must(f.insertKeyed(f.job(), key("k")))
	if got, err := f.Ledger.Answer(f.ctx, f.other, "k"); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Answer for another tenant = %+v, %v, want ErrNotFound", got, err)
	}
	theirs := &store.Idempotency{Key: "k", Hash: "theirs", Answer: []byte("theirs")}
	f.must(f.insertKeyed(f.job(func(j *millrace.Job) { j.Tenant = f.other }), theirs))
	f.wantAnswer("k", key("k"))
}

// testKeyRepeated is the caller whose first answer was lost after the commit: it made the id, so it is the same request.
func testKeyRepeated(f *fixture) {
	j := f.job()
	for range 3 {
		f.must(f.insertKeyed(j, key("k")))
	}
	f.end(f.claim(f.worker(), j.ID), store.OutcomeSucceeded)
	f.must(f.insertKeyed(j, key("k")))
	f.wantState(j.ID, millrace.Succeeded)
}

func testKeyBeforeUnique(f *fixture) {
	unique := func(j *millrace.Job) { j.Unique = &millrace.Unique{Key: "u"} }
	holder := f.job(unique)
	f.must(f.insertKeyed(holder, key("k")))
	f.wantReplay("Insert with both keys in use", f.insertKeyed(f.job(unique), key("k")), key("k"))
	f.wantHeld("Insert with the unique key in use", f.insertKeyed(f.job(unique), key("new")), holder.ID)
	f.wantAnswer("new", nil) // a job refused for its unique key takes no idempotency key
}

func testKeyOutlives(f *fixture) {
	j := f.job(func(j *millrace.Job) { j.Retention = time.Hour })
	f.must(f.insertKeyed(j, key("k")))
	f.end(f.claim(f.worker(), j.ID), store.OutcomeSucceeded)
	f.must(f.Ledger.Delete(f.ctx, f.tenant, j.ID))
	again := f.job()
	f.wantReplay("Insert after the job was deleted", f.insertKeyed(again, key("k")), key("k"))
	f.wantGone(again.ID)
	f.wantAnswer("k", key("k"))
}

// expireKeys runs the upkeep until there is nothing left and answers how many it took.
func (f *fixture) expireKeys(limit int) int {
	f.Helper()
	for total := 0; ; {
		n, err := f.Ledger.ExpireKeys(f.ctx, limit)
		f.must(err)
		if total += n; n == 0 {
			return total
		}
	}
}

func testKeyExpiry(f *fixture) {
	for _, name := range []string{"a", "b", "c"} {
		f.must(f.insertKeyed(f.job(), key(name)))
	}
	f.Age(f, 12*time.Hour)
	f.must(f.insertKeyed(f.job(), key("young")))
	if n := f.expireKeys(10); n != 0 {
		f.Errorf("ExpireKeys took %d keys before their time", n)
	}
	f.Age(f, 12*time.Hour+time.Minute)
	// Nobody but the upkeep judges by the clock: until it ran, the keys count.
	f.wantReplay("Insert after the life of the key, before the upkeep", f.insertKeyed(f.job(), key("a")), key("a"))
	if n, err := f.Ledger.ExpireKeys(f.ctx, 2); err != nil || n != 2 {
		f.Errorf("ExpireKeys(2) = %d, %v, want 2", n, err)
	}
	if n := f.expireKeys(10); n != 1 {
		f.Errorf("ExpireKeys took %d more, want 1", n)
	}
	f.wantAnswer("a", nil)
	f.wantAnswer("young", key("young"))
	f.must(f.insertKeyed(f.job(), key("a")))
	f.wantAnswer("a", key("a"))
}

func testKeyCached(f *fixture) {
	first, _ := f.computed()
	hit, again := f.hit(first), f.hit(first)
	hit.Idempotency, again.Idempotency = key("k"), key("k")
	errs := f.Ledger.Insert(f.ctx, []store.NewJob{hit})
	f.must(errs[0])
	errs = f.Ledger.Insert(f.ctx, []store.NewJob{again})
	f.wantReplay("Insert of a cached job under a used key", errs[0], key("k"))
	f.wantGone(again.ID)
	if _, err := f.Ledger.File(f.ctx, f.tenant, again.Outputs[0].File); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("File of a cached job that was not written = %v, want ErrNotFound", err)
	}
}

func testKeyFile(f *fixture) {
	first, second := f.newFile(), f.newFile()
	f.must(f.Ledger.CreateFile(f.ctx, first, key("k")))
	f.wantAnswer("k", key("k"))
	f.wantReplay("CreateFile under a used key", f.Ledger.CreateFile(f.ctx, second, key("k")), key("k"))
	if _, err := f.Ledger.File(f.ctx, f.tenant, second.ID); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("File that was not written = %v, want ErrNotFound", err)
	}
	f.wantKnown(second.Blob, false)
	// A refused file takes no key: its blob is being collected.
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, first.ID))
	f.Age(f, 2*time.Hour)
	f.dying(time.Hour)
	stale := f.newFile()
	stale.SHA256, stale.Blob = first.SHA256, first.Blob
	if err := f.Ledger.CreateFile(f.ctx, stale, key("l")); !errors.Is(err, store.ErrStaleResult) {
		f.Fatalf("CreateFile on a dying blob = %v, want ErrStaleResult", err)
	}
	f.wantAnswer("l", nil)
	// Repeating after a lost answer hears either that all is well or its own answer.
	if err := f.Ledger.CreateFile(f.ctx, second, key("m")); err != nil {
		f.Fatalf("CreateFile: %v", err)
	}
	if err := f.Ledger.CreateFile(f.ctx, second, key("m")); err != nil {
		f.wantReplay("CreateFile again", err, key("m"))
	}
}

func testKeyJobFile(f *fixture) {
	f.must(f.insertKeyed(f.job(), key("of a job")))
	f.must(f.Ledger.CreateFile(f.ctx, f.newFile(), key("of a file")))
	upload := &store.Idempotency{Key: "of a job", Hash: "of an upload", Answer: []byte("file")}
	f.wantReplay("CreateFile under a job's key", f.Ledger.CreateFile(f.ctx, f.newFile(), upload), key("of a job"))
	f.wantReplay("Insert under a file's key", f.insertKeyed(f.job(), &store.Idempotency{Key: "of a file", Hash: "of a job"}), key("of a file"))
}

// raceKeys: of requests under one key exactly one is written, and all others hear its answer.
func raceKeys(f *fixture) {
	for round := range rounds {
		name := fmt.Sprint("k", round)
		f.raceForKey(name, func(k *store.Idempotency) (string, error) {
			j := f.job()
			return j.ID, f.Ledger.Insert(f.ctx, []store.NewJob{{Job: f.job()}, {Job: j, Idempotency: k}})[1]
		}, func(id string) error {
			_, err := f.Ledger.Job(f.ctx, f.tenant, id)
			return err
		})
	}
}

func raceKeysFiles(f *fixture) {
	for round := range rounds {
		f.raceForKey(fmt.Sprint("k", round), func(k *store.Idempotency) (string, error) {
			file := f.newFile()
			return file.ID, f.Ledger.CreateFile(f.ctx, file, k)
		}, func(id string) error {
			_, err := f.Ledger.File(f.ctx, f.tenant, id)
			return err
		})
	}
}

// racers is how many requests meet.
const racers = 16

// raceForKey lets requests meet under one key, each with an answer of its own, and checks that one was written and all hear that one.
func (f *fixture) raceForKey(name string, create func(*store.Idempotency) (id string, err error), read func(id string) error) {
	f.Helper()
	var mu sync.Mutex
	var written []*store.Idempotency
	heard := map[string]int{}
	ids := map[string]bool{}
	var fs []func()
	for n := range racers {
		k := &store.Idempotency{Key: name, Hash: fmt.Sprint("hash ", n), Answer: fmt.Append(nil, "answer ", n)}
		fs = append(fs, func() {
			id, err := create(k)
			mu.Lock()
			defer mu.Unlock()
			ids[id] = err == nil
			if replayed, ok := errors.AsType[*store.ReplayedError](err); ok {
				heard[replayed.Hash+" "+string(replayed.Answer)]++
			} else if err != nil {
				f.Errorf("request %d: %v", n, err)
			} else {
				written = append(written, k)
			}
		})
	}
	together(fs...)
	if len(written) != 1 {
		f.Fatalf("%d of %d requests under one key were written, want 1", len(written), racers)
	}
	k := written[0]
	if diff := cmp.Diff(map[string]int{k.Hash + " " + string(k.Answer): racers - 1}, heard); diff != "" {
		f.Errorf("the others heard (-want +got):\n%s", diff)
	}
	for id, want := range ids {
		if err := read(id); want != (err == nil) || err != nil && !errors.Is(err, store.ErrNotFound) {
			f.Errorf("%s: written %v, read %v", id, want, err)
		}
	}
	f.wantAnswer(name, k)
}
