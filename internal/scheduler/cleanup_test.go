package scheduler_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/scheduler"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/blob"
	"github.com/millrace/millrace/store/blob/disk"
	"github.com/millrace/millrace/store/sqlite"
)

// aged is a fixture on a clock that tests set forward, and on a blob directory whose files they age.
func aged(t *testing.T) (f *fixture, later func(time.Duration), dir string) {
	t.Helper()
	f = newFixture(t)
	var ahead atomic.Int64
	dir = t.TempDir()
	ledger, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "ledger.db"), Log: f.Log,
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	f.must(err)
	t.Cleanup(func() { _ = ledger.Close() })
	blobs, err := disk.Open(disk.Config{Dir: filepath.Join(dir, "blobs")})
	f.must(err)
	f.Ledger, f.Blobs = ledger, blobs
	return f, func(d time.Duration) { ahead.Add(int64(d)) }, filepath.Join(dir, "blobs")
}

func (f *fixture) gone(id string) bool {
	_, err := f.Ledger.File(f.Context(), millrace.DefaultTenant, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		f.Fatal(err)
	}
	return err != nil
}

func (f *fixture) stored(key string) bool {
	r, err := f.Blobs.Open(f.Context(), key)
	if errors.Is(err, blob.ErrNotFound) {
		return false
	}
	f.must(err)
	f.must(r.Close())
	return true
}

func TestJobsAndFilesExpire(t *testing.T) {
	t.Parallel()
	f, later, _ := aged(t)
	unused, needed := f.File("unused.bin", []byte("unused")), f.File("needed.bin", []byte("needed"))
	live := f.submit(func(j *millrace.Job) { j.Inputs = []millrace.Input{{File: needed.ID}}; j.Retention = 100 * time.Hour })
	worker := f.worker()
	short := f.submit(func(j *millrace.Job) { j.Retention = time.Hour })
	long := f.submit(func(j *millrace.Job) { j.Retention = 72 * time.Hour })
	for _, job := range []*millrace.Job{short, long} {
		f.finish(f.claim(worker, job.ID), store.OutcomeSucceeded, millrace.AttemptSucceeded)
	}
	leader := f.leader()
	f.must(leader.Do(t.Context(), "expire jobs and files"))
	if f.gone(unused.ID) || f.Job(short.ID).State != millrace.Succeeded {
		t.Fatal("something went before its time")
	}
	later(2 * time.Hour)
	f.must(leader.Do(t.Context(), "expire jobs and files"))
	if !f.gone(unused.ID) {
		t.Error("a file whose time is over is still there")
	}
	if f.gone(needed.ID) || f.Job(live.ID).State != millrace.Queued {
		t.Error("a file that a live job needs is gone, or the job is")
	}
	if _, err := f.Ledger.Job(t.Context(), short.Tenant, short.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a job whose retention is over: %v, want it gone", err)
	}
	f.Job(long.ID)
}

// More than a page is cleared away in one round.
func TestManyExpireAtOnce(t *testing.T) {
	t.Parallel()
	f, later, _ := aged(t)
	var rows []store.NewJob
	var ids []string
	for range 600 { // a page is 500
		job := &millrace.Job{ID: newID(), Tenant: millrace.DefaultTenant, Type: "test.work", State: millrace.Succeeded, Cached: true,
			Priority: millrace.Normal, Queue: "cpu.normal", Params: []byte(`{}`), Run: 1, MaxAttempts: 1, Retention: time.Minute}
		rows, ids = append(rows, store.NewJob{Job: job}), append(ids, job.ID)
	}
	for _, err := range f.Ledger.Insert(t.Context(), rows) {
		f.must(err)
	}
	later(time.Hour)
	f.must(f.leader().Do(t.Context(), "expire jobs and files"))
	left, err := f.Ledger.List(t.Context(), millrace.DefaultTenant, store.JobFilter{Limit: 500})
	f.must(err)
	if len(left) != 0 {
		t.Errorf("%d of %d jobs are left", len(left), len(ids))
	}
}

func TestUnreferencedBlobsAreCollected(t *testing.T) {
	t.Parallel()
	f, later, _ := aged(t)
	kept, loose := f.File("kept.bin", []byte("kept")), f.File("loose.bin", []byte("loose"))
	// Two files with the same bytes under one blob: the blob lives as long as one of them.
	twin := kept
	twin.ID = newID()
	f.must(f.Ledger.CreateFile(t.Context(), twin, nil))
	f.must(f.Ledger.DeleteFile(t.Context(), millrace.DefaultTenant, loose.ID))
	f.must(f.Ledger.DeleteFile(t.Context(), millrace.DefaultTenant, twin.ID))
	leader := f.leader()
	f.must(leader.Do(t.Context(), "collect blobs"))
	if !f.stored(loose.Blob) {
		t.Error("a blob was removed while somebody may be about to refer to it")
	}
	later(2 * time.Hour)
	f.must(leader.Do(t.Context(), "collect blobs"))
	if f.stored(loose.Blob) {
		t.Error("a blob that nobody refers to is still there")
	}
	if known, err := f.Ledger.KnowsBlob(t.Context(), loose.Blob); err != nil || known {
		t.Errorf("the ledger still knows it: %v, %v", known, err)
	}
	if !f.stored(kept.Blob) {
		t.Error("a blob that a file refers to was removed")
	}
}

// stubborn is a blob store in which one blob cannot be removed.
type stubborn struct {
	blob.Store
	key string
}

func (s stubborn) Remove(ctx context.Context, key string) error {
	if key == s.key {
		return errors.New("permission denied")
	}
	return s.Store.Remove(ctx, key)
}

func TestBlobThatStaysHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	f, later, _ := aged(t)
	var keys []string
	for _, text := range []string{"one", "two", "three", "four"} {
		file := f.File(text, []byte(text))
		keys = append(keys, file.Blob)
		f.must(f.Ledger.DeleteFile(t.Context(), millrace.DefaultTenant, file.ID))
	}
	slices.Sort(keys) // the order in which they are collected
	later(2 * time.Hour)
	blobs := f.Blobs
	leader := f.leader(func(c *scheduler.Config) { c.Blobs = stubborn{blobs, keys[0]} })
	if err := leader.Do(t.Context(), "collect blobs"); err == nil {
		t.Error("the round says nothing of the blob that stays")
	}
	for _, key := range keys[1:] {
		if f.stored(key) {
			t.Errorf("blob %s is still there", key)
		}
	}
	if known, err := f.Ledger.KnowsBlob(t.Context(), keys[0]); err != nil || !known {
		t.Errorf("the ledger forgot a blob whose bytes are there: %v, %v", known, err)
	}
	f.must(f.leader().Do(t.Context(), "collect blobs")) // it can be removed now
	if f.stored(keys[0]) {
		t.Error("the blob stays for ever")
	}
}

func TestOrphansAreSwept(t *testing.T) {
	t.Parallel()
	f, _, dir := aged(t)
	kept := f.File("kept.bin", []byte("kept"))
	orphan := f.publish("orphan")
	half, err := f.Blobs.Create(t.Context())
	f.must(err)
	_, err = half.Write([]byte("half-written by a process that died"))
	f.must(err)
	t.Cleanup(func() { _ = half.Abort() })
	age(t, dir)
	fresh := f.publish("fresh: its row is about to be written")

	leader := f.leader()
	leader.Due("sweep the blob store")
	f.Go(leader.Run)
	testrig.Eventually(t, "the orphan removed", func() bool { return !f.stored(orphan) })
	if !f.stored(kept.Blob) || !f.stored(fresh) {
		t.Errorf("kept: %v, fresh: %v; want both there", f.stored(kept.Blob), f.stored(fresh))
	}
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	f.must(err)
	if len(left) > 0 {
		t.Errorf("%d half-written blobs are left", len(left))
	}
}

// publish stores bytes without a row in the ledger.
func (f *fixture) publish(text string) string {
	f.Helper()
	w, err := f.Blobs.Create(f.Context())
	f.must(err)
	_, err = w.Write([]byte(text))
	f.must(err)
	key, err := w.Commit(f.Context())
	f.must(err)
	return key
}

// age makes every file two days old.
func age(t *testing.T, dir string) {
	t.Helper()
	old := time.Now().Add(-48 * time.Hour)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			err = os.Chtimes(path, old, old)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The bytes of a job that has expired go with it, once nobody refers to them.
func TestOutputsGoWithTheirJob(t *testing.T) {
	t.Parallel()
	f, later, _ := aged(t)
	job := f.submit()
	attempt := f.claim(f.worker(), job.ID)
	key := f.publish("output")
	won, err := f.Ledger.Finish(t.Context(), []store.Outcome{{Job: job.ID, Tenant: job.Tenant, Fence: attempt.Fence, Kind: store.OutcomeSucceeded,
		Attempt: millrace.AttemptSucceeded, Outputs: []store.NewOutput{{Blob: key, Output: millrace.Output{Name: "out.txt", File: newID(), Size: 6,
			ContentType: "text/plain", SHA256: key[:64]}}}}})
	if err != nil || !won[0] {
		t.Fatalf("Finish = %v, %v", won, err)
	}
	leader := f.leader()
	later(2 * time.Hour) // beyond the job's retention
	f.must(leader.Do(t.Context(), "expire jobs and files"))
	if _, err := f.Ledger.Job(t.Context(), job.Tenant, job.ID); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("the job: %v, want it gone", err)
	}
	later(2 * time.Hour)
	f.must(leader.Do(t.Context(), "collect blobs"))
	if f.stored(key) {
		t.Error("the output's bytes are still there")
	}
}
