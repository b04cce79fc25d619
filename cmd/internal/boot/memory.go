package boot

import (
	"cmp"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	defaultBudget = 512 << 20 // where the machine does not say how much it has
	minBudget     = 128 << 20
)

// memoryBudget is what the jobs of one worker process may reserve together: half of the machine's memory, or of the container's, shared by the
// processes. The other half is for the garbage collector, the page cache and everybody else.
func memoryBudget(c Config) int64 {
	if c.Memory > 0 {
		return int64(c.Memory)
	}
	total := machineMemory()
	if total == 0 {
		return defaultBudget
	}
	processes := max(cmp.Or(c.Workers, c.Processes), 1) // of serve, which alone has Workers, or of the role by itself
	return max(total/2/int64(processes), minBudget)
}

// limitMemory makes the garbage collector work harder before the process takes much more than its budget. A limit set in the environment wins.
func limitMemory(c Config) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryBudget(c)*5/4 + 64<<20)
	}
}

// machineMemory is the memory of the container or the machine in bytes, the smaller one; 0 where it cannot be told.
func machineMemory() int64 {
	if runtime.GOOS != "linux" {
		return 0
	}
	total := int64(0)
	if raw, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(raw)) {
			if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
				kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
				total = kb << 10
			}
		}
	}
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if raw, err := os.ReadFile(path); err == nil {
			if limit, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64); err == nil && limit > 0 && (total == 0 || limit < total) {
				total = limit
			}
		}
	}
	return total
}
