package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The command line against a server: what scripts rely on.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	s := start(t, "embedded")
	picture := filepath.Join(t.TempDir(), "photo.jpg")
	if err := os.WriteFile(picture, photo(t, 640, 480), 0o600); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "words.txt")
	if err := os.WriteFile(text, []byte("some words\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(t *testing.T, stdin string, args ...string) ended {
		t.Helper()
		return checkPlain(t, invoke(t, stdin, []string{"MILLRACE_SERVER=" + s.url}, "millrace", args...))
	}
	subtests := map[string]func(t *testing.T){
		"submit without waiting": func(t *testing.T) {
			// The subtests run in any order; without --no-cache an earlier one may have computed this.
			e := run(t, "", "submit", "--no-cache", "compute.checksum", text)
			fields := strings.Fields(e.stdout)
			if e.code != 0 || e.stderr != "" || len(fields) != 3 || fields[1] != "compute.checksum" {
				t.Fatalf("ended with %d, stdout %q, stderr %q", e.code, e.stdout, e.stderr)
			}
			checkEnded(t, (&client{t: t, url: s.url, http: s.http}).finish(fields[0]))
		},
		"wait": func(t *testing.T) {
			e := run(t, "", "submit", "--wait", "--no-cache", "--tag", "a,b", "--priority", "high", "compute.checksum", text)
			if e.code != 0 || !strings.Contains(e.stdout, "succeeded") || !strings.Contains(e.stdout, `"sha256"`) {
				t.Errorf("ended with %d, stdout %q, stderr %q", e.code, e.stdout, e.stderr)
			}
		},
		"json": func(t *testing.T) {
			e := run(t, "", "submit", "--wait", "--json", "--params", `{"algorithms":["crc32"]}`, "compute.checksum", text)
			var j job
			if err := json.Unmarshal([]byte(e.stdout), &j); err != nil || e.code != 0 || j.State != "succeeded" || strings.Count(e.stdout, "\n") != 1 {
				t.Fatalf("ended with %d, %v, stdout %q", e.code, err, e.stdout)
			}
			again := run(t, "", "job", "--json", j.ID)
			var same job
			if err := json.Unmarshal([]byte(again.stdout), &same); err != nil || again.code != 0 || same.ID != j.ID || string(same.Result) != string(j.Result) {
				t.Errorf("job --json ended with %d, %v, stdout %q", again.code, err, again.stdout)
			}
			plain := run(t, "", "job", j.ID)
			if plain.code != 0 || !strings.HasPrefix(plain.stdout, j.ID+"  compute.checksum  succeeded\n") {
				t.Errorf("job ended with %d, stdout %q", plain.code, plain.stdout)
			}
		},
		"output to a file": func(t *testing.T) {
			dir := t.TempDir()
			target := filepath.Join(dir, "small.jpg")
			e := run(t, "", "submit", "--params", `{"width":64}`, "-o", target, "image.resize", picture)
			if e.code != 0 {
				t.Fatalf("ended with %d, stderr %q", e.code, e.stderr)
			}
			checkWidth(t, target, 64)
			mask := syscall.Umask(0)
			syscall.Umask(mask)
			if info, err := os.Stat(target); err != nil || info.Mode() != fs.FileMode(0o666&^mask) {
				t.Errorf("mode %v, %v; want what the umask %#o leaves of 0666", info.Mode(), err, mask)
			}
			if left := files(t, dir); len(left) != 1 {
				t.Errorf("the directory holds %q", left)
			}
		},
		"output to a directory": func(t *testing.T) {
			dir := t.TempDir()
			if e := run(t, "", "submit", "--params", `{"width":65}`, "--output", dir, "image.resize", picture); e.code != 0 {
				t.Fatalf("ended with %d, stderr %q", e.code, e.stderr)
			}
			left := files(t, dir)
			if len(left) != 1 {
				t.Fatalf("the directory holds %q, want one file", left)
			}
			checkWidth(t, filepath.Join(dir, left[0]), 65)
		},
		"output through a link": func(t *testing.T) {
			dir := t.TempDir()
			target, link := filepath.Join(dir, "target.jpg"), filepath.Join(dir, "link.jpg")
			if err := os.WriteFile(target, []byte("before"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("target.jpg", link); err != nil {
				t.Fatal(err)
			}
			if e := run(t, "", "submit", "--params", `{"width":66}`, "-o", link, "image.resize", picture); e.code != 0 {
				t.Fatalf("ended with %d, stderr %q", e.code, e.stderr)
			}
			checkWidth(t, target, 66)
			if info, err := os.Lstat(link); err != nil || info.Mode().Type() != fs.ModeSymlink {
				t.Errorf("the link became %v, %v", info.Mode(), err)
			}
		},
		// As -o /dev/null: what is no regular file is written to and not replaced.
		"output to a named pipe": func(t *testing.T) {
			pipe := filepath.Join(t.TempDir(), "pipe")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			read := make(chan []byte, 1)
			go func() {
				raw, _ := os.ReadFile(pipe)
				read <- raw
			}()
			if e := run(t, "", "submit", "--params", `{"codec":"gzip"}`, "-o", pipe, "file.compress", text); e.code != 0 {
				t.Fatalf("ended with %d, stderr %q", e.code, e.stderr)
			}
			if raw := <-read; !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
				t.Errorf("the pipe carried %d bytes that are no gzip", len(raw))
			}
			if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
				t.Errorf("the pipe became %v, %v", info.Mode(), err)
			}
		},
		"from standard input to standard output": func(t *testing.T) {
			packed := run(t, "a line\n", "submit", "--params", `{"codec":"zstd"}`, "-o", "-", "file.compress", "-")
			if packed.code != 0 || !strings.HasPrefix(packed.stdout, "\x28\xb5\x2f\xfd") {
				t.Fatalf("compress ended with %d, stdout %q, stderr %q", packed.code, packed.stdout, packed.stderr)
			}
			e := run(t, packed.stdout, "submit", "-o", "-", "file.decompress", "-")
			if e.code != 0 || e.stdout != "a line\n" {
				t.Errorf("decompress ended with %d, stdout %q, stderr %q", e.code, e.stdout, e.stderr)
			}
		},
		"a job that fails": func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "out.jpg")
			e := run(t, "", "submit", "-o", target, "--params", `{"width":10}`, "image.resize", text)
			id, _, _ := strings.Cut(e.stdout, " ")
			if e.code != 1 || !strings.Contains(e.stdout, "failed") || !strings.Contains(lastLine(e.stderr), "millrace: job "+id+" failed: ") {
				t.Fatalf("ended with %d, stdout %q, stderr %q", e.code, e.stdout, e.stderr)
			}
			if _, err := os.Stat(target); err == nil {
				t.Error("a failed job left an output file")
			}
			again := run(t, "", "job", id)
			if again.code != 1 || !strings.Contains(again.stdout, "unsupported_format") && !strings.Contains(again.stdout, "corrupt") {
				t.Errorf("job ended with %d, stdout %q, stderr %q", again.code, again.stdout, again.stderr)
			}
		},
		"what the server refuses": func(t *testing.T) {
			for _, args := range [][]string{
				{"submit", "image.resise", picture}, {"submit", "--params", `{"width":-1}`, "image.resize", picture},
				{"submit", "--priority", "urgent", "compute.checksum", text}, {"submit", "compute.checksum"},
				{"job", "00000000-0000-7000-8000-000000000000"}, {"job", "../../livez"},
			} {
				e := run(t, "", args...)
				if e.code != 1 || e.stdout != "" || strings.Count(e.stderr, "\n") != 1 || !strings.Contains(e.stderr, "(4") {
					t.Errorf("%q ended with %d, stdout %q, stderr %q", args, e.code, e.stdout, e.stderr)
				}
			}
		},
		"the flag wins over the variable": func(t *testing.T) {
			e := invoke(t, "", []string{"MILLRACE_SERVER=http://127.0.0.1:1"}, "millrace", "submit", "--server", s.url+"/", "--wait", "compute.checksum", text)
			if e.code != 0 {
				t.Errorf("ended with %d, stderr %q", e.code, e.stderr)
			}
		},
		"no server": func(t *testing.T) {
			e := invoke(t, "", []string{"MILLRACE_SERVER=http://mill:hunter2@127.0.0.1:1"}, "millrace", "job", "some-id")
			if e.code != 1 || strings.Count(e.stderr, "\n") != 1 || !strings.Contains(e.stderr, "127.0.0.1:1") || strings.Contains(e.stderr, "hunter2") {
				t.Errorf("ended with %d, stderr %q", e.code, e.stderr)
			}
		},
	}
	for name, test := range subtests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// checkPlain checks that what goes into a pipe or a file is plain lines.
func checkPlain(t *testing.T, e ended) ended {
	t.Helper()
	if strings.ContainsAny(e.stderr, "\r\x1b\b") {
		t.Errorf("stderr is for a terminal: %q", e.stderr)
	}
	return e
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return lines[len(lines)-1]
}

func checkWidth(t *testing.T, path string, want int) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := jpeg.DecodeConfig(bytes.NewReader(raw)); err != nil || c.Width != want {
		t.Errorf("%s is %d wide, %v; want %d", path, c.Width, err, want)
	}
}

func TestCommandLineWithKey(t *testing.T) {
	t.Parallel()
	s := startLocked(t, "embedded")
	if status, _, _, err := (&client{t: t, http: http.DefaultClient}).do("GET", s.url+"/v1/jobs", "", nil); err != nil || status != http.StatusUnauthorized {
		t.Errorf("without the key: %d, %v; want 401", status, err)
	}
	server := "MILLRACE_SERVER=" + s.url
	for _, env := range [][]string{{server}, {server, "MILLRACE_KEY=wrong"}} {
		e := checkPlain(t, invoke(t, "words", env, "millrace", "submit", "compute.checksum", "-"))
		if e.code != 1 || !strings.Contains(e.stderr, "(401)") || strings.Count(e.stderr, "\n") != 1 {
			t.Errorf("with %q: ended with %d, stderr %q", env, e.code, e.stderr)
		}
	}
	e := invoke(t, "words", []string{server, "MILLRACE_KEY=" + adminKey}, "millrace", "submit", "--wait", "compute.checksum", "-")
	if e.code != 0 || !strings.Contains(e.stdout, "succeeded") {
		t.Errorf("with the key: ended with %d, stdout %q, stderr %q", e.code, e.stdout, e.stderr)
	}
}

// badServer accepts a job that is done at once, and whose output it cannot deliver: after half of it the connection breaks, or hangs.
func badServer(t *testing.T, hang bool) (url string, half <-chan struct{}) {
	t.Helper()
	reached, release := make(chan struct{}), make(chan struct{})
	mux := http.NewServeMux()
	done := `{"id":"j","type":"t","state":"succeeded","outputs":[{"name":"out.bin","size":200000,"url":"/out"}]}`
	mux.HandleFunc("POST /v1/jobs", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, done) })
	mux.HandleFunc("GET /v1/jobs/j", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, done) })
	mux.HandleFunc("GET /out", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "200000")
		_, _ = w.Write(make([]byte, 100000))
		_ = http.NewResponseController(w).Flush()
		close(reached)
		if hang {
			<-release
		}
		panic(http.ErrAbortHandler)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() { close(release); server.Close() })
	return server.URL, reached
}

func TestOutputIsNeverHalfWritten(t *testing.T) {
	t.Parallel()
	t.Run("connection breaks", func(t *testing.T) {
		t.Parallel()
		url, _ := badServer(t, false)
		dir := t.TempDir()
		target := filepath.Join(dir, "out.bin")
		if err := os.WriteFile(target, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
		e := invoke(t, "", []string{"MILLRACE_SERVER=" + url}, "millrace", "submit", "-o", target, "t")
		if e.code != 1 || strings.Count(e.stderr, "\n") != 1 {
			t.Errorf("ended with %d, stderr %q", e.code, e.stderr)
		}
		checkUntouched(t, dir, target)
	})
	t.Run("interrupted", func(t *testing.T) {
		t.Parallel()
		url, half := badServer(t, true)
		dir := t.TempDir()
		target := filepath.Join(dir, "out.bin")
		if err := os.WriteFile(target, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := launch(append(cleanEnv(), "MILLRACE_SERVER="+url), filepath.Join(binaries, "millrace"), "submit", "-o", target, "t")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.kill)
		<-half
		eventually(t, patience, "the half beside the target", func() bool { return len(files(t, dir)) == 2 })
		if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		<-p.exited
		if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(p.log.tail(1000), "interrupted") {
			t.Errorf("ended with %d, stderr %q", code, p.log.tail(1000))
		}
		checkUntouched(t, dir, target)
	})
}

func checkUntouched(t *testing.T, dir, target string) {
	t.Helper()
	if raw, err := os.ReadFile(target); err != nil || string(raw) != "before" {
		t.Errorf("the target holds %d bytes, %v; want what was there before", len(raw), err)
	}
	if left := files(t, dir); len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
}

// A server that is restarted while somebody waits has not lost the job.
func TestWaitOutlastsARestart(t *testing.T) {
	t.Parallel()
	s := start(t, "embedded")
	input := filepath.Join(t.TempDir(), "big.bin")
	if err := os.WriteFile(input, noise(64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := launch(append(cleanEnv(), "MILLRACE_SERVER="+s.url), filepath.Join(binaries, "millrace"),
		"submit", "--wait", "--no-cache", "--params", `{"codec":"gzip","level":"best"}`, "file.compress", input)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	eventually(t, patience, "the job at work", func() bool {
		var running struct{ Items []job }
		s.call("GET", "/v1/jobs?state=running", "", nil, http.StatusOK, &running)
		return len(running.Items) == 1
	})
	core := s.workers("core")
	if len(core) != 1 {
		t.Fatalf("core processes: %+v", core)
	}
	if err := syscall.Kill(core[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(2 * time.Minute):
		t.Fatalf("submit --wait did not end; stderr:\n%s", p.log.tail(2000))
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("ended with %d, stderr:\n%s", code, p.log.tail(2000))
	}
}
