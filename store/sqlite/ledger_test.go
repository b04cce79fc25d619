package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/sqlite"
	"github.com/millrace/millrace/store/storetest"
)

// TestReopen: rows survive, who lived does not, and the nonce tells a restart within one run from a fresh start.
func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := openAt(t, path, &clock{})
	if same, err := l.Resume(t.Context(), "run 1"); err != nil || same {
		t.Errorf("Resume of a new ledger = %v, %v, want false", same, err)
	}
	w := register(t, l)
	deliveries := insert(t, l, 2)
	if _, err := l.Claim(t.Context(), w, deliveries[:1]); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l = openAt(t, path, &clock{})
	if same, err := l.Resume(t.Context(), "run 1"); err != nil || !same {
		t.Errorf("Resume in the same run = %v, %v, want true", same, err)
	}
	if same, err := l.Resume(t.Context(), "run 2"); err != nil || same {
		t.Errorf("Resume in another run = %v, %v, want false", same, err)
	}
	if _, err := l.Beat(t.Context(), store.Beat{Worker: w}); !errors.Is(err, store.ErrBuried) {
		t.Errorf("Beat before registering again = %v, want ErrBuried", err)
	}
	if err := l.Register(t.Context(), millrace.Worker{ID: w}); err != nil {
		t.Fatal(err)
	}
	if n, err := l.Rescue(t.Context()); err != nil || n != 0 {
		t.Errorf("Rescue with the owner back = %d, %v, want 0", n, err)
	}
	reply, err := l.Beat(t.Context(), store.Beat{Worker: w, Running: []store.Holding{{Job: deliveries[0].Job, Fence: 2}}})
	if err != nil || len(reply.Lost) != 0 {
		t.Errorf("Beat after registering again = %+v, %v, want the attempt kept", reply, err)
	}
	for i, want := range []millrace.State{millrace.Running, millrace.Queued} {
		if j, err := l.Job(t.Context(), "t", deliveries[i].Job); err != nil || j.State != want {
			t.Errorf("job %d = %+v, %v, want %s", i, j, err, want)
		}
	}
	storetest.Check(t.Context(), t, l, "t")
}

func TestOpenAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			l, err := sqlite.Open(context.Background(), sqlite.Config{Path: path})
			if err != nil {
				t.Errorf("Open: %v", err)
				return
			}
			if err := l.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	wg.Wait()
	insert(t, openAt(t, path, &clock{}), 1)
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("this is no database, however long one looks at it: not at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "missing", "ledger.db"), text} {
		if l, err := sqlite.Open(t.Context(), sqlite.Config{Path: path}); err == nil {
			t.Errorf("Open(%s) = %v, nil, want an error", path, l)
		}
	}
}

// TestOddPath: nothing in a directory's name is an option of SQLite's, and the ledger is readable for its owner alone.
func TestOddPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), `a b?mode=memory&x#y%20%zz 'ü"`)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ledger.db")
	insert(t, openAt(t, path, &clock{}), 1)
	for _, name := range []string{path, path + "-wal"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() == 0 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: size %d, mode %v, want some bytes and 0600", info.Name(), info.Size(), info.Mode())
		}
	}
}

// TestFull: a full disk is told as such, spoils nothing, and is over when there is room again.
func TestFull(t *testing.T) {
	t.Parallel()
	l := open(t, &clock{})
	first := insert(t, l, 1)[0]
	if err := l.Pragma(t.Context(), "max_page_count = 1"); err != nil { // SQLite takes the present size at least
		t.Fatal(err)
	}
	big := newJob()
	big.Params = []byte(`"` + string(make([]byte, 1<<20)) + `"`)
	for i := range 3 {
		if err := l.Insert(t.Context(), []store.NewJob{{Job: big}})[0]; !errors.Is(err, store.ErrFull) {
			t.Fatalf("Insert %d on a full disk = %v, want ErrFull", i, err)
		}
	}
	if _, err := l.Cancel(t.Context(), "t", first.Job); err != nil {
		t.Errorf("Cancel on a full disk: %v", err)
	}
	if err := l.Pragma(t.Context(), "max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	if err := l.Insert(t.Context(), []store.NewJob{{Job: big}})[0]; err != nil {
		t.Errorf("Insert with room again: %v", err)
	}
	storetest.Check(t.Context(), t, l, "t")
}

// TestIdle: what happens each second on an idle server leaves no trace on the disk.
func TestIdle(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := openAt(t, path, &clock{})
	w := register(t, l)
	sizes := func() [2]int64 {
		var s [2]int64
		for i, name := range []string{path, path + "-wal"} {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			s[i] = info.Size()
		}
		return s
	}
	insert(t, l, 1)
	before := sizes()
	for range 3 {
		_, beat := l.Beat(t.Context(), store.Beat{Worker: w, MemoryUsed: 1})
		_, _, lead := l.Lead(t.Context(), "leader", "me", time.Minute)
		_, silent := l.BurySilent(t.Context(), time.Minute)
		_, rescue := l.Rescue(t.Context())
		_, force := l.ForceCancel(t.Context(), time.Second)
		_, workers := l.Workers(t.Context())
		_, dying := l.DyingBlobs(t.Context(), time.Hour, 10)
		_, overdue := l.FailOverdue(t.Context(), 10)
		_, keys := l.ExpireKeys(t.Context(), 10)
		_, _, due := l.DueSchedules(t.Context(), store.Due{}, 10)
		pause := l.PauseQueue(t.Context(), "cpu.normal", false)
		_, jobs := l.ExpireJobs(t.Context(), 10)
		_, files := l.ExpireFiles(t.Context(), 10)
		if err := errors.Join(beat, lead, silent, rescue, force, workers, dying, overdue, keys, due, pause, jobs, files, l.Ping(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, sizes()); diff != "" {
		t.Errorf("sizes of the ledger's files changed (-before +after):\n%s", diff)
	}
	insert(t, l, 1)
	if sizes() == before {
		t.Error("sizes are unchanged after an insert: this test sees nothing")
	}
}
