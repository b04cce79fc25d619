package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
)

// A build of the next version is this one with one more migration, which build tags of the stores add: it only adds, as the rule for migrations
// says. After two of them this version must step back.
const (
	nextVersion  = "nextschema"
	afterVersion = "nextschema,afternext"
)

// buildVersion builds the binaries with those tags and returns their directory.
func buildVersion(t *testing.T, tags string) string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "millrace")
	build := exec.Command("go", "build", "-tags", "nodynamic,"+tags, "-o", program, "./cmd/millrace")
	build.Dir, build.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build with %s: %v\n%s", tags, err, out)
	}
	for _, name := range []string{"api", "worker", "scheduler"} { // as make build does
		if err := os.Link(program, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// startFrom starts a process from the binaries of a directory.
func (s *server) startFrom(dir, name, binary string, args ...string) *process {
	s.t.Helper()
	p, err := launch(s.env, filepath.Join(dir, binary), args...)
	if err != nil {
		s.t.Fatalf("start %s: %v", name, err)
	}
	s.processes[name] = p
	return p
}

// retire ends a process as a rolling upgrade does.
func (s *server) retire(name string) {
	s.t.Helper()
	if code := s.processes[name].terminate(); code != 0 {
		s.t.Errorf("%s ended with exit code %d; log:\n%s", name, code, s.processes[name].log.tail(4000))
	}
	delete(s.processes, name)
}

// stream submits jobs through whatever api is listed, as a balancer would choose it, until it is stopped.
type stream struct {
	mu   sync.Mutex
	apis []*client
	ids  []string
	stop atomic.Bool
	done sync.WaitGroup
}

func (l *stream) through(apis ...*client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apis = apis
}

func (l *stream) pick(n int) *client {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.apis[n%len(l.apis)]
}

func (l *stream) run(file string) {
	for range 4 {
		l.done.Go(func() {
			for n := 0; !l.stop.Load(); n++ {
				j := l.pick(n).submit(quickJob, file)
				l.mu.Lock()
				l.ids = append(l.ids, j.ID)
				l.mu.Unlock()
				time.Sleep(2 * time.Millisecond) // a pace, not a wait for anything
			}
		})
	}
}

func TestRollingUpgrade(t *testing.T) {
	next := buildVersion(t, nextVersion)
	s := start(t, "production")
	f := s.upload("tiny.bin", noise(64))
	old := s.client
	load := &stream{apis: []*client{old}}
	load.run(f.ID)
	defer load.done.Wait()
	defer load.stop.Store(true)

	reached := func(n int) func() bool {
		load.mu.Lock()
		want := len(load.ids) + n
		load.mu.Unlock()
		return func() bool {
			load.mu.Lock()
			defer load.mu.Unlock()
			return len(load.ids) >= want
		}
	}
	step := func(what string) { t.Helper(); eventually(t, time.Minute, "jobs accepted "+what, reached(200)) }

	step("by the old version alone")
	s.startFrom(next, "scheduler next", "scheduler", "--addr", "127.0.0.1:0").ready(t) // it migrates
	step("by the old api on the new schema")
	api := newClient(t, s.startFrom(next, "api next", "api", "--addr", "127.0.0.1:0").ready(t))
	load.through(old, api)
	s.startFrom(next, "worker next", "worker", "--processes", "2")
	s.waitWorkers(4)
	step("by both versions")

	// An old process that starts again on the new schema is part of every rolling upgrade.
	s.retire("worker")
	s.launch("worker", "worker", "--processes", "2")
	s.retire("scheduler")
	s.launch("scheduler", "scheduler", "--addr", "127.0.0.1:0")
	s.processes["scheduler"].ready(t)
	s.waitWorkers(4)
	load.through(api)
	s.retire("api")
	s.launch("api", "api", "--addr", "127.0.0.1:0")
	again := newClient(t, s.processes["api"].ready(t))
	load.through(again, api)
	step("after the old processes started again")

	load.through(api)
	s.client = api
	for _, name := range []string{"worker", "scheduler", "api"} {
		s.retire(name)
	}
	step("by the new version alone")
	load.stop.Store(true)
	load.done.Wait()
	for _, id := range load.ids {
		checkEnded(t, s.finish(id))
	}
	t.Logf("%d jobs accepted during the upgrade, all ended once", len(load.ids))
	for name := range s.processes {
		s.retire(name)
	}
}

func TestEmbeddedUpgradeAndBack(t *testing.T) {
	next := buildVersion(t, nextVersion)
	s := start(t, "embedded")
	var ids []string
	f := s.upload("tiny.bin", noise(64))
	for _, dir := range []string{next, binaries} {
		ids = append(ids, s.submit(quickJob, f.ID).ID)
		s.retire("serve")
		p := s.startFrom(dir, "serve", "millrace", "serve", "--addr", "127.0.0.1:0", "--workers", "2")
		s.client = newClient(t, p.ready(t))
		for _, id := range ids {
			checkEnded(t, s.finish(id))
		}
		if got := s.bytes("/v1/files/" + f.ID + "/content"); len(got) != 64 {
			t.Errorf("the file has %d bytes after the upgrade", len(got))
		}
	}
}

// A ledger that is two versions ahead may have changed its meaning: no process of this version touches it, and each says so in one line.
func TestNewerLedgerIsRefused(t *testing.T) {
	after := buildVersion(t, afterVersion)
	t.Run("embedded", func(t *testing.T) {
		s := start(t, "embedded")
		s.retire("serve")
		p := s.startFrom(after, "serve", "millrace", "serve", "--addr", "127.0.0.1:0", "--workers", "1")
		p.ready(t)
		s.retire("serve")
		e := invoke(t, "", []string{"MILLRACE_DATA_DIR=" + filepath.Join(s.dir, "data")}, "millrace", "serve", "--addr", "127.0.0.1:0")
		checkRefused(t, e, "millrace", "newer")
	})
	t.Run("production", func(t *testing.T) {
		env := []string{"MILLRACE_DATA_DIR=" + t.TempDir(), "REDIS_URL=" + testenv.Redis(t), "DATABASE_URL=" + testenv.Postgres(t)}
		p, err := launch(append(cleanEnv(), env...), filepath.Join(after, "scheduler"), "--addr", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p.ready(t)
		if code := p.terminate(); code != 0 {
			t.Errorf("the newer scheduler ended with %d", code)
		}
		for _, binary := range []string{"api", "scheduler", "worker"} {
			args := []string{"--addr", "127.0.0.1:0"}
			if binary == "worker" {
				args = nil
			}
			e := invoke(t, "", env, binary, args...)
			if e.code != 2 || strings.Count(e.stderr, "\n") != 1 || !strings.Contains(e.stderr, "newer") {
				t.Errorf("%s on a newer ledger ended with %d, stderr %q; want 2 and one line that says so", binary, e.code, e.stderr)
			}
		}
	})
}
