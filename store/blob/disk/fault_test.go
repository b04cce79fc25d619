package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/store/blob"
	"github.com/millrace/millrace/store/blob/disk"
)

// files lists every file of the directory but the id.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "id" {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCommitOrder pins the order that survives a power cut: the file before its name, the name before the answer.
func TestCommitOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	var order []string
	s.Inject(disk.Faults{
		Sync: func(f *os.File) error {
			order = append(order, "sync "+filepath.Base(filepath.Dir(f.Name())))
			return f.Sync()
		},
		Rename: func(from, to string) error {
			order = append(order, "rename "+filepath.Base(filepath.Dir(to)))
			return os.Rename(from, to)
		},
		SyncDir: func(dir string) error {
			order = append(order, "syncdir "+filepath.Base(dir))
			return disk.SyncDir(dir)
		},
	})
	w, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("bytes"))
	key, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"sync tmp", "rename " + key[:2], "syncdir " + key[:2]}
	if !slices.Equal(order, want) {
		t.Errorf("Commit did %q, want %q", order, want)
	}
}

// TestFaultLeavesNothing fails each step in turn. No file may stay, and a full disk must be told from a broken one.
func TestFaultLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string]func(err error) disk.Faults{
		"write": func(err error) disk.Faults {
			return disk.Faults{Write: func(f *os.File, p []byte) (int, error) {
				n, _ := f.Write(p[:len(p)/2])
				return n, &fs.PathError{Op: "write", Path: f.Name(), Err: err}
			}}
		},
		"fsync":           func(err error) disk.Faults { return disk.Faults{Sync: func(*os.File) error { return err }} },
		"rename":          func(err error) disk.Faults { return disk.Faults{Rename: func(_, _ string) error { return err }} },
		"directory fsync": func(err error) disk.Faults { return disk.Faults{SyncDir: func(string) error { return err }} },
	} {
		for _, cause := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
			t.Run(name+"/"+cause.Error(), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				s := open(t, dir)
				s.Inject(faults(cause))
				w, err := s.Create(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_, writeErr := w.Write([]byte("some bytes"))
				if _, again := w.Write([]byte("more")); writeErr != nil && again == nil {
					t.Error("a write after a failed one was accepted")
				}
				key, err := w.Commit(t.Context())
				if !errors.Is(err, cause) || key != "" {
					t.Errorf("Commit = %q, %v, want an error with %v", key, err, cause)
				}
				if full := errors.Is(err, blob.ErrFull); full != (cause != syscall.EIO) {
					t.Errorf("Commit = %v: is ErrFull: %v", err, full)
				}
				if left := files(t, dir); len(left) != 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

func TestCreateWithoutRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	if err := os.RemoveAll(filepath.Join(dir, "tmp")); err != nil {
		t.Fatal(err)
	}
	if w, err := s.Create(t.Context()); err == nil {
		w.Abort()
		t.Error("Create without its directory is no error")
	}
}

// FuzzKey throws keys at a store whose neighbours are precious.
func FuzzKey(f *testing.F) {
	for _, key := range []string{"", "..", "../id", "../../secret", strings.Repeat("a", 64) + "/" + strings.Repeat("0", 32), "a/../../../secret"} {
		f.Add(key)
	}
	root := f.TempDir()
	secret := filepath.Join(root, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		f.Fatal(err)
	}
	dir := filepath.Join(root, "store")
	s := open(f, dir)
	f.Fuzz(func(t *testing.T, key string) {
		if r, err := s.Open(t.Context(), key); err == nil {
			r.Close()
			t.Errorf("Open(%q) opened something in an empty store", key)
		}
		s.Remove(t.Context(), key)
		for _, path := range []string{secret, filepath.Join(dir, "id")} {
			if _, err := os.Stat(path); err != nil {
				t.Fatalf("Remove(%q) took %s", key, path)
			}
		}
	})
}
