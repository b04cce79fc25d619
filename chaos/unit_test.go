//go:build linux

package chaos_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// unit is a program that a service manager keeps running: it is started again a tenth of a second after it has ended, however it did.
type unit struct {
	name, path string
	args, env  []string
	log        *os.File

	mu      sync.Mutex
	proc    *proc
	stopped bool     // ended for good
	asked   bool     // the end that comes next was asked for
	faults  []string // ends that nobody asked for
	over    chan struct{}
	url     string // of the first ready line; later starts take the same port
}

// proc is one run of a unit.
type proc struct {
	cmd    *exec.Cmd
	ready  chan struct{} // closed with the ready line
	exited chan struct{}
}

func newUnit(dir, name, binary string, env []string, args ...string) (*unit, error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(binary) {
		binary = filepath.Join(binaries, binary)
	}
	u := &unit{name: name, path: binary, args: args, env: env, log: log, over: make(chan struct{})}
	p, err := u.start()
	if err != nil {
		return nil, err
	}
	go u.keep(p)
	return u, nil
}

func (u *unit) start() (*proc, error) {
	p := &proc{cmd: exec.Command(u.path, u.args...), ready: make(chan struct{}), exited: make(chan struct{})}
	p.cmd.Env, p.cmd.Stderr = u.env, u.log
	// It ends with this process, and with it, by the pipe that they watch, its children.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		seen := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if line := lines.Text(); strings.HasPrefix(line, "ready ") && !seen {
				seen = true
				u.found(strings.Fields(line)[1])
				close(p.ready)
			}
		}
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.proc = p
	return p, nil
}

// found notes where the unit listens, so that it comes back at the same place.
func (u *unit) found(url string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.url != "" {
		return
	}
	u.url = url
	for i, arg := range u.args {
		if arg == "127.0.0.1:0" {
			u.args[i] = strings.TrimPrefix(url, "http://")
		}
	}
}

// keep is the service manager.
func (u *unit) keep(p *proc) {
	defer close(u.over)
	for {
		<-p.exited
		u.mu.Lock()
		state, stop := p.cmd.ProcessState, u.stopped
		if status, ok := state.Sys().(syscall.WaitStatus); !u.asked && !(ok && status.Signaled() && status.Signal() == syscall.SIGKILL) {
			u.faults = append(u.faults, fmt.Sprintf("%s ended by itself at %s: %v", u.name, time.Now().Format("15:04:05.000"), state))
		} else if u.asked && !stop && !state.Success() {
			u.faults = append(u.faults, fmt.Sprintf("%s ended with %v after SIGTERM at %s", u.name, state, time.Now().Format("15:04:05.000")))
		}
		u.asked = false
		u.mu.Unlock()
		if stop {
			return
		}
		<-time.After(100 * time.Millisecond)
		next, err := u.start()
		if err != nil {
			u.mu.Lock()
			u.faults = append(u.faults, fmt.Sprintf("start %s again: %v", u.name, err))
			u.mu.Unlock()
			return
		}
		p = next
	}
}

func (u *unit) current() *proc {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.proc
}

func (u *unit) pid() int { return u.current().cmd.Process.Pid }

// waitReady waits for the ready line of the present run.
func (u *unit) waitReady(t testing.TB) string {
	t.Helper()
	p := u.current()
	select {
	case <-p.ready:
	case <-p.exited:
		t.Fatalf("%s ended before it was ready; log:\n%s", u.name, tail(u.log.Name(), 4000))
	case <-time.After(time.Minute):
		t.Fatalf("%s is not ready; log:\n%s", u.name, tail(u.log.Name(), 4000))
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.url
}

// ask tells the present run to drain.
func (u *unit) ask() *proc {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = true
	_ = u.proc.cmd.Process.Signal(syscall.SIGTERM)
	return u.proc
}

// term asks the present run to drain and says how long that took; false when it had to be killed.
func (u *unit) term(patience time.Duration) (time.Duration, bool) {
	began := time.Now()
	p := u.ask()
	select {
	case <-p.exited:
		return time.Since(began), true
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
		return time.Since(began), false
	}
}

// stop ends the unit for good.
func (u *unit) stop() bool {
	u.mu.Lock()
	u.stopped = true
	u.mu.Unlock()
	_, ok := u.term(60 * time.Second)
	<-u.over
	_ = u.log.Close()
	return ok
}

func (u *unit) ownFaults() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.faults...)
}

// children are the processes that the unit supervises, by the part that each was told to play.
func (u *unit) children(part string) []int {
	var pids []int
	for _, pid := range childrenOf(u.pid()) {
		if partOf(pid) == part {
			pids = append(pids, pid)
		}
	}
	return pids
}

func childrenOf(parent int) []int {
	var pids []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent)) // a child belongs to the thread that forked it
	for _, list := range lists {
		raw, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(raw)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func partOf(pid int) string {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	for _, v := range strings.Split(string(raw), "\x00") {
		if part, ok := strings.CutPrefix(v, "MILLRACE_CHILD="); ok {
			return part
		}
	}
	return ""
}

func tail(path string, n int) string {
	raw, _ := os.ReadFile(path)
	return string(raw[max(0, len(raw)-n):])
}
