package boot

import (
	"cmp"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// defaultBudget is where the machine does not say how much it has.
	defaultBudget = 512 << 20
	// processMemory is what a process takes before it runs any job: the program, its tables, connections and buffers.
	processMemory = 64 << 20
	// coreShare is the part of all memory up to which the process with the embedded stores may let its garbage grow.
	coreShare = 4
)

// memoryBudget is what the jobs of one worker process may reserve together: half of the machine's memory, or of the container's, shared by the
// worker processes. The other half is for what the processes take without jobs, the api and the stores, the page cache and everybody else.
func memoryBudget(c Config) int64 {
	if c.Memory > 0 {
		return int64(c.Memory)
	}
	total := machineMemory()
	if total == 0 {
		return defaultBudget
	}
	return shareOf(total, c)
}

// shareOf is one worker process's part of the memory that there is. It is never too little for an ordinary picture.
func shareOf(total int64, c Config) int64 {
	processes := max(cmp.Or(c.Workers, c.Processes), 1) // of serve, which alone has Workers, or of the role by itself
	return max(total/2/int64(processes), minMemory)
}

// limitMemory makes the garbage collector work harder before the process takes more than its budget and what it needs itself. A limit set in the
// environment wins.
func limitMemory(c Config) { limitHeap(memoryBudget(c) + processMemory) }

// limitCore does the same for the process with the embedded stores: what grows there is garbage, so a machine with much memory changes nothing.
func limitCore() {
	if total := machineMemory(); total > 0 {
		limitHeap(max(total/coreShare, processMemory))
	}
}

func limitHeap(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}

// machineMemory is the memory of the container or the machine in bytes, the smaller one; 0 where it cannot be told.
func machineMemory() int64 {
	if runtime.GOOS != "linux" {
		return 0
	}
	return memoryUnder(os.DirFS("/"))
}

// memoryUnder is what the files of a machine say, of which root is the root directory.
func memoryUnder(root fs.FS) int64 {
	total := int64(0)
	for line := range strings.Lines(readLimit(root, "proc/meminfo")) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			total = kb << 10
		}
	}
	return lesser(total, memoryLimit(root))
}
