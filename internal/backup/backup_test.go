package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/backup"
	"github.com/millrace/millrace/store/blob/disk"
	"github.com/millrace/millrace/store/sqlite"
)

// server is the state of a server with a few files.
type server struct {
	dir    string
	ledger *sqlite.Ledger
	blobs  *disk.Store
	files  []millrace.File
	held   atomic.Int32
}

func newServer(t *testing.T, contents ...string) *server {
	t.Helper()
	s := &server{dir: t.TempDir()}
	var err error
	if s.ledger, err = sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(s.dir, "millrace.db")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.ledger.Close() })
	if s.blobs, err = disk.Open(disk.Config{Dir: s.dir}); err != nil {
		t.Fatal(err)
	}
	id, err := s.blobs.ID(t.Context())
	if err := errors.Join(err, s.ledger.BlobStore(t.Context(), id)); err != nil {
		t.Fatal(err)
	}
	for _, c := range contents {
		s.files = append(s.files, s.upload(t, c))
	}
	return s
}

func (s *server) upload(t *testing.T, content string) millrace.File {
	t.Helper()
	w, err := s.blobs.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	sum, size := w.Sum()
	key, err := w.Commit(t.Context())
	f := millrace.File{ID: uuid.Must(uuid.NewV7()).String(), Tenant: "default", Name: "f", Size: size, SHA256: sum, Blob: key, CreatedAt: time.Now()}
	if err := errors.Join(err, s.ledger.CreateFile(t.Context(), f, nil)); err != nil {
		t.Fatal(err)
	}
	return f
}

func (s *server) source(t *testing.T) *backup.Source {
	return &backup.Source{
		Copy: s.ledger.Backup, Keys: sqlite.Blobs, Blobs: s.blobs, Scratch: t.TempDir(), Version: "test",
		Hold: func(context.Context) (func(), error) {
			s.held.Add(1)
			return func() { s.held.Add(-1) }, nil
		},
	}
}

func target(dir string) *backup.Target {
	return &backup.Target{Dir: dir, Verify: sqlite.Verify, Blobs: func(id string) (backup.Importer, error) {
		if err := disk.Adopt(dir, id); err != nil {
			return nil, err
		}
		return disk.Open(disk.Config{Dir: dir})
	}}
}

func (s *server) stream(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.source(t).Write(t.Context(), &b); err != nil {
		t.Fatalf("Write: %v", err)
	}
	if s.held.Load() != 0 {
		t.Error("the collector is held after the backup")
	}
	return b.Bytes()
}

func TestRestoredServerHasEverything(t *testing.T) {
	t.Parallel()
	s := newServer(t, "one", "two", "")
	dir := filepath.Join(t.TempDir(), "new")
	manifest, sum, err := target(dir).Restore(t.Context(), bytes.NewReader(s.stream(t)))
	if err != nil {
		t.Fatalf("Restore: %v", err)
	}
	if sum.Blobs != 3 || sum.Bytes != 6 || len(sum.Missing) != 0 || manifest.Version != "test" {
		t.Errorf("Restore = %+v, %+v", manifest, sum)
	}
	ledger, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "millrace.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	blobs, err := disk.Open(disk.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	id, err := blobs.ID(t.Context())
	if err := errors.Join(err, ledger.BlobStore(t.Context(), id)); err != nil {
		t.Errorf("the restored ledger and its bytes do not belong together: %v", err)
	}
	for i, want := range []string{"one", "two", ""} {
		f, err := ledger.File(t.Context(), "default", s.files[i].ID)
		if err != nil {
			t.Fatalf("File: %v", err)
		}
		r, err := blobs.Open(t.Context(), f.Blob)
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if string(got) != want || err != nil {
			t.Errorf("file %d = %q, %v, want %q", i, got, err, want)
		}
	}
}

func TestDamagedBackupLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t, "the first file", "the second file")
	whole := s.stream(t)
	flipped := bytes.Clone(whole)
	at := bytes.Index(flipped, []byte("the second file"))
	flipped[at] ^= 1
	newer := bytes.Replace(whole, []byte(`"format": 1`), []byte(`"format": 9`), 1)
	for name, tt := range map[string]struct {
		stream []byte
		want   error
	}{
		"empty":            {nil, backup.ErrNotBackup},
		"text":             {bytes.Repeat([]byte("hello "), 500), backup.ErrNotBackup},
		"newer":            {newer, backup.ErrNewer},
		"cut in a blob":    {whole[:at+3], backup.ErrCut},
		"cut at an entry":  {whole[:(at/512)*512-512], backup.ErrCut},
		"flipped bit":      {flipped, disk.ErrOtherBytes},
		"cut in the begin": {whole[:1500], backup.ErrCut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if _, _, err := target(dir).Restore(t.Context(), bytes.NewReader(tt.stream)); !errors.Is(err, tt.want) {
				t.Errorf("Restore = %v, want %v", err, tt.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestRestoreOnlyIntoEmptyDirectory(t *testing.T) {
	t.Parallel()
	s := newServer(t, "x")
	stream := s.stream(t)
	before, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := target(s.dir).Restore(t.Context(), bytes.NewReader(stream)); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("Restore over a server = %v, want ErrNotEmpty", err)
	}
	if after, err := os.ReadDir(s.dir); err != nil || len(after) != len(before) {
		t.Errorf("the directory changed from %v to %v, %v", before, after, err)
	}
}

// A blob that is not as long as its header would promise must not make the whole stream useless.
func TestBlobOfAnotherSizeIsNamed(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int64{"shorter": 3, "empty": 0, "longer": 30} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "kept", "damaged")
			files, err := filepath.Glob(filepath.Join(s.dir, "blobs", "*", s.files[1].SHA256+".*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("files of the blob = %q, %v", files, err)
			}
			if err := errors.Join(os.Chmod(files[0], 0o600), os.Truncate(files[0], size)); err != nil {
				t.Fatal(err)
			}
			_, sum, err := target(filepath.Join(t.TempDir(), "new")).Restore(t.Context(), bytes.NewReader(s.stream(t)))
			if err != nil || sum.Blobs != 1 || !slices.Equal(sum.Missing, []string{s.files[1].Blob}) {
				t.Errorf("Restore = %+v, %v, want the damaged blob named", sum, err)
			}
		})
	}
}

func TestLostBlobIsNamed(t *testing.T) {
	t.Parallel()
	s := newServer(t, "kept", "lost")
	if err := s.blobs.Remove(t.Context(), s.files[1].Blob); err != nil {
		t.Fatal(err)
	}
	_, sum, err := target(filepath.Join(t.TempDir(), "new")).Restore(t.Context(), bytes.NewReader(s.stream(t)))
	if err != nil || sum.Blobs != 1 || len(sum.Missing) != 1 || sum.Missing[0] != s.files[1].Blob {
		t.Errorf("Restore = %+v, %v, want the lost blob named", sum, err)
	}
}

// hurried ends the backup's time with the first bytes of the ledger's copy, as a reader that takes hours does.
type hurried struct {
	n       atomic.Int64
	expired <-chan struct{} // the limit
}

func (h *hurried) Write(p []byte) (int, error) {
	if h.n.Add(int64(len(p))) > 2<<10 {
		<-h.expired
	}
	return len(p), nil
}

// known is a store whose id is known, however late it is.
type known struct{ *disk.Store }

func (k known) ID(ctx context.Context) (string, error) { return k.Store.ID(context.WithoutCancel(ctx)) }

func TestSlowReaderHoldsTheCollectorForALimitedTime(t *testing.T) {
	t.Parallel()
	s := newServer(t, "one", "two")
	source := s.source(t)
	source.Limit = 300 * time.Millisecond
	source.Blobs = known{s.blobs}
	w := &hurried{}
	source.Copy = func(ctx context.Context, path string) error {
		w.expired = ctx.Done()
		return s.ledger.Backup(context.WithoutCancel(ctx), path)
	}
	_, err := source.Write(t.Context(), w)
	if err == nil || !strings.Contains(err.Error(), "took longer than it may") {
		t.Errorf("Write = %v, want that it took too long", err)
	}
	if n := w.n.Load(); n > 64<<10 {
		t.Errorf("%d bytes were written, want the beginning", n)
	}
	if s.held.Load() != 0 {
		t.Error("the collector is held although the time is over")
	}
}

func TestBackupWhileFilesComeAndGo(t *testing.T) {
	t.Parallel()
	s := newServer(t, "a", "b")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				s.upload(t, uuid.NewString())
			}
		}
	}()
	for range 5 {
		stream := s.stream(t)
		_, sum, err := target(filepath.Join(t.TempDir(), "new")).Restore(t.Context(), bytes.NewReader(stream))
		if err != nil || len(sum.Missing) > 0 || sum.Blobs < 2 {
			t.Errorf("Restore = %+v, %v", sum, err)
		}
	}
	close(stop)
	<-done
}

// TestSweepRemovesBrokenOff: a process that dies during a backup leaves a copy of its ledger; the next start removes it and nothing else.
func TestSweepRemovesBrokenOff(t *testing.T) {
	t.Parallel()
	s := newServer(t, "x")
	source := s.source(t)
	for _, name := range []string{"backup-mine", ".backup.tar"} {
		if err := os.MkdirAll(filepath.Join(source.Scratch, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	names := func() (all []string) {
		entries, err := os.ReadDir(source.Scratch)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return all
	}
	before := names()
	var left, after []string
	copyLedger := source.Copy
	source.Copy = func(ctx context.Context, path string) error {
		if err := copyLedger(ctx, path); err != nil {
			return err
		}
		left = names()
		if err := backup.Sweep(source.Scratch); err != nil { // as if the process had died here
			t.Errorf("Sweep: %v", err)
		}
		after = names()
		return io.ErrUnexpectedEOF
	}
	if _, err := source.Write(t.Context(), io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Write = %v, want the error of its copy", err)
	}
	if len(left) != len(before)+1 || !slices.Equal(after, before) {
		t.Errorf("scratch directory: before %v, during the backup %v, after Sweep %v", before, left, after)
	}
}

func FuzzRestore(f *testing.F) {
	f.Add([]byte("not a tar"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		dir := t.TempDir()
		if _, _, err := target(dir).Restore(t.Context(), bytes.NewReader(stream)); err == nil {
			return
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}
