package storetest

import (
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func fileTests() []test {
	return []test{
		{"round trip", testFile},
		{"list", testListFiles},
		{"delete", testDeleteFile},
		{"of another tenant", testForeignFile},
	}
}

func fileDiff(got, want millrace.File) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b time.Time) bool {
		return a.Truncate(time.Millisecond).Equal(b.Truncate(time.Millisecond))
	}))
}

func testFile(f *fixture) {
	want := f.newFile()
	want.Name = "ünïcode \"quoted\" 'name'.txt"
	f.must(f.Ledger.CreateFile(f.ctx, want, nil))
	f.must(f.Ledger.CreateFile(f.ctx, want, nil)) // the repetition after a lost answer
	got, err := f.Ledger.File(f.ctx, f.tenant, want.ID)
	f.must(err)
	if diff := fileDiff(got, want); diff != "" {
		f.Errorf("file (-want +got):\n%s", diff)
	}
	kept := f.newFile()
	kept.ExpiresAt = time.Time{}
	f.must(f.Ledger.CreateFile(f.ctx, kept, nil))
	if got, err = f.Ledger.File(f.ctx, f.tenant, kept.ID); err != nil || !got.ExpiresAt.IsZero() {
		f.Errorf("a file without an end expires at %v, %v", got.ExpiresAt, err)
	}
	if _, err := f.Ledger.File(f.ctx, f.tenant, newID()); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("File of nothing = %v, want ErrNotFound", err)
	}
}

func testListFiles(f *fixture) {
	var want []string
	for range 5 {
		want = append([]string{f.file().ID}, want...)
	}
	foreign := f.newFile()
	foreign.Tenant = f.other
	f.must(f.Ledger.CreateFile(f.ctx, foreign, nil))
	var got []string
	for before := ""; ; {
		page, err := f.Ledger.ListFiles(f.ctx, f.tenant, before, 2)
		f.must(err)
		for _, file := range page {
			got = append(got, file.ID)
		}
		if len(page) < 2 {
			break
		}
		before = page[len(page)-1].ID
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("files (-want +got):\n%s", diff)
	}
}

func testDeleteFile(f *fixture) {
	free, needed := f.file(), f.file()
	j := f.queued(inputs(needed))
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, free.ID))
	if err := f.Ledger.DeleteFile(f.ctx, f.tenant, free.ID); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("DeleteFile again = %v, want ErrNotFound", err)
	}
	if err := f.Ledger.DeleteFile(f.ctx, f.tenant, needed.ID); !errors.Is(err, store.ErrInUse) {
		f.Errorf("DeleteFile of a queued job's input = %v, want ErrInUse", err)
	}
	f.cancel(j.ID)
	f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, needed.ID))
}

func testForeignFile(f *fixture) {
	file := f.file()
	_, err := f.Ledger.File(f.ctx, f.other, file.ID)
	for name, err := range map[string]error{"File": err, "DeleteFile": f.Ledger.DeleteFile(f.ctx, f.other, file.ID)} {
		if !errors.Is(err, store.ErrNotFound) {
			f.Errorf("%s by another tenant = %v, want ErrNotFound", name, err)
		}
	}
	if key, ok, err := f.Ledger.TakeBlob(f.ctx, f.other, file.SHA256); err != nil || ok {
		f.Errorf("TakeBlob by another tenant = %q, %v, %v, want none: it tells who has a file", key, ok, err)
	}
}
