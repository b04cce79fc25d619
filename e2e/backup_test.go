package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A backup is taken while jobs come and run. What is restored from it holds each job that was accepted before, finished or not, and the
// unfinished ones run.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	s := start(t, "embedded")
	big := s.upload("big.bin", noise(16<<20))
	small := s.upload("small.txt", []byte("some words\n"))
	var ids []string
	for range 3 {
		ids = append(ids, s.submit(slowJob, big.ID).ID, s.submit(quickJob, small.ID).ID)
	}
	done := s.finish(s.submit(`{"type":"file.compress","input":{"file":%q},"params":{"codec":"gzip"},"cache":false}`, small.ID).ID)
	archive := filepath.Join(t.TempDir(), "millrace.tar")
	if e := invoke(t, "", []string{"MILLRACE_SERVER=" + s.url}, "millrace", "backup", "-o", archive); e.code != 0 || !strings.Contains(e.stdout, archive) {
		t.Fatalf("backup ended with %d, stdout %q, stderr %q", e.code, e.stdout, e.stderr)
	}
	for _, id := range ids { // the server went on
		checkEnded(t, s.finish(id))
	}

	dir := filepath.Join(t.TempDir(), "restored")
	if e := invoke(t, "", nil, "millrace", "restore", "--data-dir", dir, archive); e.code != 0 || e.stderr != "" {
		t.Fatalf("restore ended with %d, stdout %q, stderr %q", e.code, e.stdout, e.stderr)
	}
	r := &server{t: t, mode: "embedded", dir: t.TempDir(), processes: make(map[string]*process)}
	r.env = append(cleanEnv(), "MILLRACE_DATA_DIR="+dir)
	t.Cleanup(r.stop)
	r.up()
	for _, id := range ids {
		checkEnded(t, r.finish(id))
	}
	if got := r.bytes("/v1/files/" + big.ID + "/content"); !bytes.Equal(got, noise(16<<20)) {
		t.Errorf("the file has %d other bytes after the restore", len(got))
	}
	if got, want := r.bytes(done.Outputs[0].URL), s.bytes(done.Outputs[0].URL); !bytes.Equal(got, want) {
		t.Error("the output differs after the restore")
	}
	checkEnded(t, r.finish(r.submit(quickJob, small.ID).ID))
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	s := start(t, "embedded")
	s.upload("a.bin", noise(300<<10))
	var whole bytes.Buffer
	e := invoke(t, "", []string{"MILLRACE_SERVER=" + s.url}, "millrace", "backup", "-")
	whole.WriteString(e.stdout)
	if e.code != 0 || whole.Len() < 300<<10 {
		t.Fatalf("backup ended with %d after %d bytes, stderr %q", e.code, whole.Len(), e.stderr)
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		stdin string
		dir   string
		code  int
		word  string
	}{
		"into a directory with files": {whole.String(), full, 2, "not empty"},
		"over the running server":     {whole.String(), filepath.Join(s.dir, "data"), 2, "not empty"},
		"a stream that was cut":       {whole.String()[:whole.Len()/2], t.TempDir(), 1, "too early"},
		"what is no backup":           {"hello", t.TempDir(), 1, "no backup"},
		"a file that is not there":    {"", t.TempDir(), 2, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"restore", "--data-dir", tt.dir}
			if tt.stdin == "" {
				args = append(args, filepath.Join(t.TempDir(), "absent.tar"))
			}
			before := files(t, tt.dir)
			e := invoke(t, tt.stdin, nil, "millrace", args...)
			if e.code != tt.code || !strings.Contains(e.stderr, tt.word) || strings.Count(e.stderr, "\n") != 1 {
				t.Errorf("ended with %d, stderr %q; want %d and one line with %q", e.code, e.stderr, tt.code, tt.word)
			}
			if after := files(t, tt.dir); tt.dir != filepath.Join(s.dir, "data") && fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("the directory changed from %v to %v", before, after)
			}
		})
	}
}

func TestBackupNeedsAnAdministrator(t *testing.T) {
	t.Parallel()
	s := startLocked(t, "embedded")
	archive := filepath.Join(t.TempDir(), "millrace.tar")
	for _, key := range []string{"", "wrong-wrong-wrong-wrong-wrong-wrong"} {
		e := invoke(t, "", []string{"MILLRACE_SERVER=" + s.url, "MILLRACE_KEY=" + key}, "millrace", "backup", archive)
		if e.code != 1 || strings.Count(e.stderr, "\n") != 1 {
			t.Errorf("backup with the key %q ended with %d, stderr %q", key, e.code, e.stderr)
		}
		if _, err := os.Stat(archive); err == nil {
			t.Error("a refused backup left a file behind")
		}
	}
	if e := invoke(t, "", []string{"MILLRACE_SERVER=" + s.url, "MILLRACE_KEY=" + adminKey}, "millrace", "backup", archive); e.code != 0 {
		t.Errorf("backup with the key ended with %d, stderr %q", e.code, e.stderr)
	}
}
