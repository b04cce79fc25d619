package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
)

// server is a running Millrace in one of its modes.
type server struct {
	*client
	t         testing.TB
	mode      string
	dir       string
	env       []string
	redis     string
	processes map[string]*process
	group     *testenv.MemoryGroup // where processes run that have workers; nil: anywhere
}

// eachMode runs a test in both modes.
func eachMode(t *testing.T, test func(t *testing.T, s *server)) {
	for _, mode := range []string{"embedded", "production"} {
		t.Run(mode, func(t *testing.T) { test(t, start(t, mode)) })
	}
}

// start starts a server with an empty ledger and ends it, with whatever it started, when the test does.
func start(t testing.TB, mode string, env ...string) *server {
	t.Helper()
	return startIn(t, nil, mode, env...)
}

// startIn is start with a control group for the processes that have workers.
func startIn(t testing.TB, group *testenv.MemoryGroup, mode string, env ...string) *server {
	t.Helper()
	s := &server{t: t, mode: mode, dir: t.TempDir(), processes: make(map[string]*process), group: group}
	s.env = append(cleanEnv(), env...)
	s.env = append(s.env, "MILLRACE_DATA_DIR="+filepath.Join(s.dir, "data"), "MILLRACE_LOG_LEVEL=debug")
	if mode == "production" {
		s.redis = testenv.Redis(t)
		s.env = append(s.env, "REDIS_URL="+s.redis, "DATABASE_URL="+testenv.Postgres(t))
	}
	t.Cleanup(s.stop)
	s.up()
	return s
}

// up starts every process and waits until the API is ready and workers have registered.
func (s *server) up() {
	s.t.Helper()
	if s.mode == "embedded" {
		s.launch("serve", "millrace", "serve", "--addr", "127.0.0.1:0", "--workers", "2")
		s.client = newClient(s.t, s.processes["serve"].ready(s.t))
	} else {
		s.launch("api", "api", "--addr", "127.0.0.1:0")
		s.launch("scheduler", "scheduler", "--addr", "127.0.0.1:0")
		s.launch("worker", "worker", "--processes", "2")
		s.client = newClient(s.t, s.processes["api"].ready(s.t))
		s.processes["scheduler"].ready(s.t)
	}
	s.waitWorkers(2)
}

// waitWorkers waits until n worker processes are alive and returns them.
func (s *server) waitWorkers(n int) []workerInfo {
	s.t.Helper()
	var live []workerInfo
	eventually(s.t, 30*time.Second, "worker processes", func() bool {
		live = s.workers("worker")
		return len(live) == n
	})
	return live
}

func (s *server) launch(name, binary string, args ...string) {
	s.t.Helper()
	path := filepath.Join(binaries, binary)
	if s.group != nil && (name == "serve" || name == "worker") {
		path, args = s.group.Command(path, args...)
	}
	p, err := launch(s.env, path, args...)
	if err != nil {
		s.t.Fatalf("start %s: %v", name, err)
	}
	s.processes[name] = p
}

// stop ends everything by SIGTERM, workers first, and shows the logs of a failed test.
func (s *server) stop() {
	names := []string{"worker", "scheduler", "api", "serve"}
	for name := range s.processes {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if p := s.processes[name]; p != nil {
			code := p.terminate()
			if code != 0 {
				s.t.Errorf("%s ended with exit code %d after SIGTERM, want 0", name, code)
			}
			if s.t.Failed() {
				s.t.Logf("log of %s:\n%s", name, p.log.tail(8000))
			}
		}
	}
	s.processes = make(map[string]*process)
}

// killAll ends every process at once with SIGKILL, as a power cut would.
func (s *server) killAll() {
	s.t.Helper()
	for name, p := range s.processes {
		p.kill()
		delete(s.processes, name)
	}
}

// process is a started binary. It leads a process group, so that a test can leave nothing behind.
type process struct {
	cmd    *exec.Cmd
	out    *lines
	log    *tailBuffer
	exited chan struct{}
}

func launch(env []string, path string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), out: newLines(), log: &tailBuffer{}, exited: make(chan struct{})}
	p.cmd.Env, p.cmd.Stderr = env, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	read := make(chan struct{})
	go func() { defer close(read); p.out.read(stdout) }()
	go func() {
		defer close(p.exited)
		<-read
		_ = p.cmd.Wait()
	}()
	return p, nil
}

// ready returns the URL of the ready line.
func (p *process) ready(t testing.TB) string {
	t.Helper()
	line, ok := p.out.wait(60*time.Second, func(line string) bool { return strings.HasPrefix(line, "ready ") })
	if !ok {
		t.Fatalf("no ready line; log:\n%s", p.log.tail(4000))
	}
	return strings.Fields(line)[1]
}

func (p *process) terminate() int {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(60 * time.Second):
		p.kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

// kill ends the process and its whole group.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
}

// lines are the lines of a stream as they come.
type lines struct {
	mu   sync.Mutex
	cond *sync.Cond
	all  []string
	done bool
}

func newLines() *lines {
	l := &lines{}
	l.cond = sync.NewCond(&l.mu)
	return l
}

func (l *lines) read(r io.Reader) {
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		l.mu.Lock()
		l.all = append(l.all, scan.Text())
		l.cond.Broadcast()
		l.mu.Unlock()
	}
	l.mu.Lock()
	l.done = true
	l.cond.Broadcast()
	l.mu.Unlock()
}

func (l *lines) wait(patience time.Duration, match func(string) bool) (string, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	defer context.AfterFunc(ctx, l.cond.Broadcast)()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := 0; ; {
		for ; i < len(l.all); i++ {
			if match(l.all[i]) {
				return l.all[i], true
			}
		}
		if l.done || ctx.Err() != nil {
			return "", false
		}
		l.cond.Wait()
	}
}

// tailBuffer keeps what was written last.
type tailBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buf.Len() > 4<<20 {
		b.buf.Reset()
	}
	return b.buf.Write(p)
}

func (b *tailBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.buf.String()
	return s[max(0, len(s)-n):]
}

// cleanEnv is the environment without anything that configures Millrace.
func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "MILLRACE_") && name != "REDIS_URL" && name != "DATABASE_URL" && name != "BLOB_URL" {
			env = append(env, v)
		}
	}
	return env
}

// eventually polls until done answers true.
func eventually(t testing.TB, patience time.Duration, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
