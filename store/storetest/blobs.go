package storetest

import (
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func blobTests() []test {
	return []test{
		{"kept while referred to", testBlobShared},
		{"collected in two phases", testBlobPhases},
		{"taken in time", testBlobTaken},
		{"bounded marking", testBlobLimit},
	}
}

func (f *fixture) dying(grace time.Duration) []string {
	f.Helper()
	keys, err := f.Ledger.DyingBlobs(f.ctx, grace, 100)
	f.must(err)
	return keys
}

func (f *fixture) wantKnown(key string, want bool) {
	f.Helper()
	got, err := f.Ledger.KnowsBlob(f.ctx, key)
	f.must(err)
	if got != want {
		f.Errorf("KnowsBlob(%s) = %v, want %v", key, got, want)
	}
}

func testBlobShared(f *fixture) {
	a := f.file()
	b := f.newFile()
	b.Blob, b.SHA256, b.Size = a.Blob, a.SHA256, a.Size
	f.must(f.Ledger.CreateFile(f.ctx, b, nil))
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, a.ID))
	f.Age(f, 2*time.Hour)
	if keys := f.dying(time.Hour); len(keys) != 0 {
		f.Errorf("dying = %v, want none: a file refers to it", keys)
	}
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, b.ID))
	if diff := cmp.Diff([]string{a.Blob}, f.dying(time.Hour)); diff != "" {
		f.Errorf("dying (-want +got):\n%s", diff)
	}
}

func testBlobPhases(f *fixture) {
	in := f.file()
	f.must(f.Ledger.ForgetBlob(f.ctx, in.Blob)) // live: stays
	f.wantKnown(in.Blob, true)
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID))
	if keys := f.dying(time.Hour); len(keys) != 0 {
		f.Errorf("dying within the grace = %v, want none", keys)
	}
	f.Age(f, 2*time.Hour)
	for range 2 { // until it is forgotten it is reported again
		if diff := cmp.Diff([]string{in.Blob}, f.dying(time.Hour)); diff != "" {
			f.Errorf("dying (-want +got):\n%s", diff)
		}
	}
	if key, ok, err := f.Ledger.TakeBlob(f.ctx, f.tenant, in.SHA256); err != nil || ok {
		f.Errorf("TakeBlob of a dying blob = %q, %v, %v, want none", key, ok, err)
	}
	reborn := f.newFile()
	reborn.Blob, reborn.SHA256 = in.Blob, in.SHA256
	if err := f.Ledger.CreateFile(f.ctx, reborn, nil); !errors.Is(err, store.ErrStaleResult) {
		f.Errorf("CreateFile on a dying blob = %v, want ErrStaleResult", err)
	}
	f.wantKnown(in.Blob, true)
	f.must(f.Ledger.ForgetBlob(f.ctx, in.Blob))
	f.must(f.Ledger.ForgetBlob(f.ctx, in.Blob))
	f.wantKnown(in.Blob, false)
	if keys := f.dying(0); len(keys) != 0 {
		f.Errorf("dying after ForgetBlob = %v, want none", keys)
	}
}

func testBlobTaken(f *fixture) {
	in := f.file()
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID))
	f.Age(f, 2*time.Hour)
	key, ok, err := f.Ledger.TakeBlob(f.ctx, f.tenant, in.SHA256)
	if err != nil || !ok || key != in.Blob {
		f.Fatalf("TakeBlob = %q, %v, %v, want %q", key, ok, err, in.Blob)
	}
	if keys := f.dying(time.Hour); len(keys) != 0 {
		f.Errorf("dying = %v, want none: it was taken a moment ago", keys)
	}
	again := f.newFile()
	again.Blob, again.SHA256, again.Size = in.Blob, in.SHA256, in.Size
	f.must(f.Ledger.CreateFile(f.ctx, again, nil))
	f.Age(f, 2*time.Hour)
	if keys := f.dying(time.Hour); len(keys) != 0 {
		f.Errorf("dying = %v, want none: a new file refers to it", keys)
	}
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, again.ID))
	if diff := cmp.Diff([]string{in.Blob}, f.dying(time.Hour)); diff != "" {
		f.Errorf("dying (-want +got):\n%s", diff)
	}
}

func testBlobLimit(f *fixture) {
	files := []millrace.File{f.file(), f.file(), f.file()}
	for _, file := range files {
		f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, file.ID))
	}
	f.Age(f, 2*time.Hour)
	for i, want := range []int{2, 3, 3} { // at most 2 more each time, and all that are dying already
		keys, err := f.Ledger.DyingBlobs(f.ctx, time.Hour, 2)
		f.must(err)
		if len(keys) != want {
			f.Errorf("call %d: %d dying, want %d", i+1, len(keys), want)
		}
	}
}
