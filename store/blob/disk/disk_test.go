package disk_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/store/blob"
	"github.com/millrace/millrace/store/blob/blobtest"
	"github.com/millrace/millrace/store/blob/disk"
)

func TestStore(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, t.TempDir()) })
}

func open(t testing.TB, dir string) *disk.Store {
	t.Helper()
	s, err := disk.Open(disk.Config{Dir: dir})
	if err != nil {
		t.Fatalf("Open(%s): %v", dir, err)
	}
	return s
}

func id(t *testing.T, s *disk.Store) string {
	t.Helper()
	id, err := s.ID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestOpenAgainKeepsIDAndBlobs(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	first := open(t, dir)
	w, err := first.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("kept"))
	key, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second := open(t, dir)
	if a, b := id(t, first), id(t, second); a != b {
		t.Errorf("the id changed from %s to %s", a, b)
	}
	r, err := second.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if a, b := id(t, first), id(t, open(t, t.TempDir())); a == b {
		t.Errorf("two directories have the id %s", a)
	}
}

func TestOpenByManyAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ids := make([]string, 8)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			s, err := disk.Open(disk.Config{Dir: dir})
			if err != nil {
				t.Error(err)
				return
			}
			ids[i], _ = s.ID(context.Background())
		})
	}
	all.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Fatalf("processes that start together see the ids %q", ids)
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if len(left) != 0 || err != nil {
		t.Errorf("tmp holds %v (%v), want nothing", left, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, "id"), []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{"": "no directory", file: "file", damaged: "damaged"} {
		if _, err := disk.Open(disk.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q) = %v, want an error with %q", dir, err, want)
		}
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	s := open(t, dir)
	w, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	done, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := done.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			files++
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || files != 3 {
		t.Errorf("walked %d files, %v, want 3: the id, a temporary and a published one", files, err)
	}
}

func BenchmarkCommit(b *testing.B) {
	s := open(b, b.TempDir())
	p := make([]byte, 100_000)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		w, err := s.Create(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		w.Write(p)
		if _, err := w.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// What a killed process left goes long before what a slow one is still writing.
func TestSweepTellsTheDeadFromTheSlow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	slow, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Write([]byte("slow")); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	for _, path := range files(t, dir) {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	// A process that dies leaves a file that nobody holds.
	for name, written := range map[string]time.Time{"dead": old, "fresh": time.Now()} {
		path := filepath.Join(dir, "tmp", name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, written, written); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Sweep(t.Context(), time.Now().Add(-24*time.Hour)); n != 1 || err != nil {
		t.Errorf("Sweep = %d, %v, want the dead one", n, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "tmp", "dead")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a dead process left: %v, want it gone", err)
	}
	if _, err := slow.Commit(t.Context()); err != nil {
		t.Errorf("Commit of the slow writer: %v", err)
	}
}
