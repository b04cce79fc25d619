package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// longJob takes many seconds of a core on 256 MiB of noise.
const longJob = slowJob

// running waits until the job has an owner.
func (s *server) running(id string) {
	s.t.Helper()
	eventually(s.t, patience, "job "+id+" running", func() bool { return s.job(id).State == "running" })
}

func TestTermLetsRunningJobsFinish(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		j := s.submit(slowJob, s.upload("big.bin", noise(64<<20)).ID)
		s.running(j.ID)
		s.stop() // checks for exit code 0
		s.up()
		done := s.finish(j.ID)
		checkEnded(t, done)
		if len(done.Attempts) != 1 {
			t.Errorf("attempts = %+v, want the one that was running", done.Attempts)
		}
	})
}

func TestTermHandsBackWhatTakesLonger(t *testing.T) {
	for _, mode := range []string{"embedded", "production"} {
		t.Run(mode, func(t *testing.T) {
			s := start(t, mode, "MILLRACE_GRACE=1s")
			j := s.submit(longJob, s.upload("big.bin", noise(256<<20)).ID)
			s.running(j.ID)
			s.stop()
			s.up()
			done := s.finish(j.ID)
			checkEnded(t, done)
			if len(done.Attempts) != 2 || done.Attempts[0].Outcome != "released" || done.Attempts[0].Spent {
				t.Errorf("attempts = %+v, want the first released and not spent", done.Attempts)
			}
		})
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		j := s.submit(longJob, s.upload("big.bin", noise(256<<20)).ID)
		s.running(j.ID)
		name := "serve"
		if s.mode == "production" {
			name = "worker"
		}
		p := s.processes[name]
		family := familyOf(p.cmd.Process.Pid)
		if len(family) < 3 {
			t.Fatalf("processes = %v, want the supervisor and its children", family)
		}
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		eventually(t, patience, "the drain", func() bool { return strings.Contains(p.log.tail(1<<20), "stopping") })
		<-time.After(600 * time.Millisecond) // a signal that comes sooner is taken for the same wish
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.exited
		if code := p.cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("%s ended with %d, want 1: it was cut short", name, code)
		}
		eventually(t, patience, "all of its processes gone", func() bool {
			return !slices.ContainsFunc(family, func(pid int) bool { return syscall.Kill(pid, 0) == nil })
		})
		delete(s.processes, name)
		s.killAll()
		s.up()
		checkEnded(t, s.finish(j.ID))
	})
}

// A server that waits for its stores, or for the lock of its directory, has nothing to drain.
func TestTermWhileItStarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close() })
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for _, r := range roles() {
		t.Run(r.binary, func(t *testing.T) {
			t.Parallel()
			env := with(cleanEnv(), with(r.env, "MILLRACE_DATA_DIR="+dir)...)
			p, err := launch(env, filepath.Join(binaries, r.binary), r.args...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.kill)
			if r.binary != "millrace" {
				eventually(t, patience, "the wait for PostgreSQL", func() bool { return strings.Contains(p.log.tail(1<<16), "PostgreSQL does not answer") })
			} else {
				eventually(t, patience, "the wait for the lock", func() bool { return holds(p.cmd.Process.Pid, lock.Name()) })
			}
			if code := p.terminate(); code != 0 {
				t.Errorf("ended with %d, want 0; stderr:\n%s", code, p.log.tail(2000))
			}
			if log := p.log.tail(1 << 16); strings.Contains(log, r.binary+": ") || strings.Contains(log, "canceled") {
				t.Errorf("its end is told as an error:\n%s", log)
			}
		})
	}
}

// holds says whether a process has a file open.
func holds(pid int, path string) bool {
	fds, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "fd", "*"))
	return slices.ContainsFunc(fds, func(fd string) bool {
		target, err := os.Readlink(fd)
		return err == nil && target == path
	})
}

// familyOf is a process with all that it started.
func familyOf(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, childrenOf(all[i])...)
	}
	return all
}

// childrenOf are the processes that one has started. Each belongs to the thread that forked it.
func childrenOf(pid int) []int {
	var children []int
	lists, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "children"))
	for _, list := range lists {
		raw, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(raw)) {
			if child, err := strconv.Atoi(field); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

func TestHangUpRollsWhileRequestsGoOn(t *testing.T) {
	for _, mode := range []string{"embedded", "production"} {
		t.Run(mode, func(t *testing.T) {
			s := start(t, mode, "MILLRACE_PROCESSES=2") // of api and of worker
			f := s.upload("tiny.bin", noise(64))
			load := s.load(fmt.Sprintf(quickJob, f.ID))
			roll := []string{"serve"}
			if mode == "production" {
				roll = []string{"api", "worker"}
			}
			for _, name := range roll {
				p := s.processes[name]
				before := childrenOf(p.cmd.Process.Pid)
				if len(before) < 2 {
					t.Fatalf("%s has the children %v, want some", name, before)
				}
				if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
				eventually(t, 2*time.Minute, "the children of "+name+" rolled", func() bool {
					return strings.Contains(p.log.tail(4<<20), "all children rolled")
				})
				after := childrenOf(p.cmd.Process.Pid)
				if len(after) != len(before) || slices.ContainsFunc(after, func(pid int) bool { return slices.Contains(before, pid) }) {
					t.Errorf("%s had the children %v and has %v, want as many others", name, before, after)
				}
			}
			load.end(t)
			for _, id := range load.accepted {
				checkEnded(t, s.finish(id))
			}
			t.Logf("%d requests, %d jobs", load.requests.Load(), len(load.accepted))
		})
	}
}

// load is clients that submit and read without a pause: some on connections that they keep, some on a new one each time.
type load struct {
	stop     chan struct{}
	clients  sync.WaitGroup
	requests atomic.Int64

	mu       sync.Mutex
	accepted []string
	failures []string
}

func (s *server) load(spec string) *load {
	l := &load{stop: make(chan struct{})}
	for i := range 4 {
		c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		l.clients.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				if id := l.post(c, s.url, spec); id != "" {
					l.get(c, s.url+"/v1/jobs/"+id)
				}
			}
		})
	}
	return l
}

func (l *load) post(c *http.Client, url, spec string) (id string) {
	l.requests.Add(1)
	res, err := c.Post(url+"/v1/jobs", "application/json", strings.NewReader(spec))
	if err != nil {
		l.fail("POST: %v", err)
		return ""
	}
	defer res.Body.Close()
	var j job
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusAccepted || json.Unmarshal(raw, &j) != nil {
		l.fail("POST = %d, %v: %.200s", res.StatusCode, err, raw)
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted = append(l.accepted, j.ID)
	return j.ID
}

func (l *load) get(c *http.Client, url string) {
	l.requests.Add(1)
	res, err := c.Get(url)
	if err != nil {
		l.fail("GET: %v", err)
		return
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !bytes.Contains(raw, []byte(`"id"`)) {
		l.fail("GET = %d, %v: %.200s", res.StatusCode, err, raw)
	}
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, fmt.Sprintf(format, args...))
}

// end stops the clients and reports what failed.
func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.clients.Wait()
	if n := len(l.failures); n > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", n, l.requests.Load(), l.failures[0])
	}
}
