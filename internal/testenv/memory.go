package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// MemoryGroup is a control group with a memory limit. The kernel kills a process in it when they need more together.
type MemoryGroup struct {
	dir string
	v1  bool
}

// NewMemoryGroup makes a control group under the one of this process, or under the next above it that lets it have a limit. It is nil where the
// machine does not allow that, which takes root or a delegated group. The group goes with the test, whose processes in it must have ended.
func NewMemoryGroup(t testing.TB, bytes int64) *MemoryGroup {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(raw)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		g := &MemoryGroup{v1: fields[1] == "memory"}
		mount := "/sys/fs/cgroup"
		if g.v1 {
			mount += "/memory"
		}
		if (g.v1 || fields[1] == "") && g.make(t, mount, fields[2], bytes) {
			return g
		}
	}
	return nil
}

func (g *MemoryGroup) make(t testing.TB, mount, own string, bytes int64) bool {
	for path := filepath.Clean("/" + own); ; path = filepath.Dir(path) {
		dir, err := os.MkdirTemp(filepath.Join(mount, path), "millrace-test-")
		if err == nil {
			g.dir = dir
			if os.WriteFile(filepath.Join(dir, g.name("memory.max", "memory.limit_in_bytes")), strconv.AppendInt(nil, bytes, 10), 0) == nil {
				_ = os.WriteFile(filepath.Join(dir, "memory.swap.max"), []byte("0"), 0) // where there is swap
				t.Cleanup(func() { g.remove(t) })
				return true
			}
			_ = os.Remove(dir)
		}
		if path == "/" {
			return false
		}
	}
}

func (g *MemoryGroup) name(v2, v1 string) string {
	if g.v1 {
		return v1
	}
	return v2
}

// remove waits for the last process: one that has ended stays in the group until its parent has heard of it.
func (g *MemoryGroup) remove(t testing.TB) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		err := os.Remove(g.dir)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("the control group is left behind: %v", err)
			return
		}
	}
}

// Command is a program and arguments that run path with args in the group. The process is the same in the end.
func (g *MemoryGroup) Command(path string, args ...string) (string, []string) {
	script := []string{"-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(g.dir, "cgroup.procs"), path}
	return "/bin/sh", append(script, args...)
}

// Kills is how many processes the kernel has killed for the group's want of memory.
func (g *MemoryGroup) Kills(t testing.TB) int64 {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(g.dir, g.name("memory.events", "memory.oom_control")))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			kills, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kills
		}
	}
	t.Fatal(fmt.Errorf("%s does not count kills", g.dir))
	return 0
}

// Peak is the most that the group has used, caches of files included; 0 where the kernel does not say.
func (g *MemoryGroup) Peak() int64 {
	raw, _ := os.ReadFile(filepath.Join(g.dir, g.name("memory.peak", "memory.max_usage_in_bytes")))
	n, _ := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	return n
}
