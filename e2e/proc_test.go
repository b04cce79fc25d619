package e2e_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// pids are the server's processes with their children, and its Redis. PostgreSQL is not counted: it is a shared server in most places.
func (s *server) pids() []int {
	var all []int
	for _, p := range s.processes {
		all = append(all, p.cmd.Process.Pid)
	}
	if s.redis != "" {
		all = append(all, pidsOf("redis-server", strings.TrimSuffix(s.redis[strings.LastIndexByte(s.redis, ':')+1:], "/0"))...)
	}
	return withChildren(all)
}

// withChildren adds the processes that others have started.
func withChildren(all []int) []int {
	for i := 0; i < len(all); i++ {
		// A child belongs to the thread that forked it.
		lists, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(all[i]), "task", "*", "children"))
		for _, list := range lists {
			raw, _ := os.ReadFile(list)
			for _, field := range strings.Fields(string(raw)) {
				if pid, err := strconv.Atoi(field); err == nil {
					all = append(all, pid)
				}
			}
		}
	}
	return all
}

// pidsOf finds processes by their name and a part of their command line.
func pidsOf(name, part string) []int {
	var found []int
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		raw, err := os.ReadFile(path)
		line := strings.ReplaceAll(string(raw), "\x00", " ")
		if err == nil && strings.Contains(line, name) && strings.Contains(line, part) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				found = append(found, pid)
			}
		}
	}
	return found
}

// cpu is what the processes have used so far.
func (s *server) cpu() time.Duration { return cpuOf(s.pids()) }

func cpuOf(pids []int) time.Duration {
	var ticks int64
	for _, pid := range pids {
		raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
		for _, i := range []int{11, 12} { // utime and stime of proc(5), counted after the name
			n, _ := strconv.ParseInt(fields[i], 10, 64)
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on Linux
}

// memory sums a field of smaps_rollup over the processes, in bytes.
func (s *server) memory(field string) int64 { return memoryOf(s.pids(), field) }

func memoryOf(pids []int, field string) int64 {
	var sum int64
	for _, pid := range pids {
		f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
		if err != nil {
			continue
		}
		for scan := bufio.NewScanner(f); scan.Scan(); {
			if rest, ok := strings.CutPrefix(scan.Text(), field+":"); ok {
				kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
				sum += kb << 10
			}
		}
		_ = f.Close()
	}
	return sum
}
