package sqlite_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/sqlite"
	"github.com/millrace/millrace/store/storetest"
)

// TestBackup: a copy taken while others write is whole, has all that was acknowledged before, and is a ledger.
func TestBackup(t *testing.T) {
	t.Parallel()
	l := open(t, &clock{})
	before := insert(t, l, 500)
	w := register(t, l)
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	running := make(chan struct{}, 4)
	for range cap(running) {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				abuse(ctx, t, l, w)
				if n == 3 {
					running <- struct{}{}
				}
			}
		})
	}
	for range cap(running) {
		<-running
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "copy.db")
	err := l.Backup(t.Context(), path)
	stop()
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}

	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("Stat = %v, %v, want mode 0600", info, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("files = %v, %v, want the copy alone", left, err)
	}
	copied := openAt(t, path, &clock{})
	if got, err := copied.Check(t.Context()); err != nil || got != "ok" {
		t.Errorf("integrity_check = %q, %v", got, err)
	}
	for _, d := range before {
		if _, err := copied.Job(t.Context(), "t", d.Job); err != nil {
			t.Fatalf("job from before the backup: %v", err)
		}
	}
	storetest.Check(t.Context(), t, copied, "t")
	storetest.Check(t.Context(), t, l, "t")
	insert(t, copied, 1)
}

// abuse lets a job live from insert to outcome.
func abuse(ctx context.Context, t *testing.T, l *sqlite.Ledger, worker string) {
	j := newJob()
	j.Unique = &millrace.Unique{Key: j.ID}
	err := l.Insert(ctx, []store.NewJob{{Job: j}})[0]
	var claimed []store.Claimed
	if err == nil {
		claimed, err = l.Claim(ctx, worker, []store.Delivery{{Job: j.ID, Fence: j.Fence}})
	}
	if err == nil {
		_, err = l.Finish(ctx, []store.Outcome{{Job: j.ID, Tenant: "t", Fence: claimed[0].Job.Fence, Kind: store.OutcomeSucceeded}})
	}
	if err != nil && ctx.Err() == nil {
		t.Error(err)
	}
}

// TestBackupNeedsNoWriter: a copy is made while a transaction is open, so it cannot be the one that waits, nor the one that others wait for.
func TestBackupNeedsNoWriter(t *testing.T) {
	t.Parallel()
	l := open(t, &clock{})
	d := insert(t, l, 1)[0]
	path := filepath.Join(t.TempDir(), "copy.db")
	grouped(t, l, func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() { _ = l.Ping(ctx) }() // what the group waits for, behind the open transaction
		if err := l.Backup(context.Background(), path); err != nil {
			t.Errorf("Backup while the writer is busy: %v", err)
		}
	})
	if _, err := openAt(t, path, &clock{}).Job(t.Context(), "t", d.Job); err != nil {
		t.Error(err)
	}
}

func TestBackupFails(t *testing.T) {
	t.Parallel()
	l := open(t, &clock{})
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.WriteFile(taken, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Backup(t.Context(), taken); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Backup onto a file = %v, want ErrExist", err)
	}
	if got, err := os.ReadFile(taken); err != nil || string(got) != "mine" {
		t.Errorf("the file holds %q, %v, want it left alone", got, err)
	}
	if err := l.Backup(t.Context(), filepath.Join(dir, "missing", "copy.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Backup into no directory = %v, want ErrNotExist", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Backup(ctx, filepath.Join(dir, "late.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("Backup of a caller that has gone = %v, want Canceled", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("files = %v, %v, want none of a failed backup", left, err)
	}
}

// TestCopyByRelativePath: the command that restores is given what somebody typed, most often ./data.
func TestCopyByRelativePath(t *testing.T) {
	t.Parallel()
	l := open(t, &clock{})
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := l.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(here, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := sqlite.Verify(t.Context(), relative); err != nil {
		t.Errorf("Verify(%s) = %v", relative, err)
	}
	if err := sqlite.Blobs(t.Context(), relative, func(string, int64) error { return nil }); err != nil {
		t.Errorf("Blobs(%s) = %v", relative, err)
	}
}
