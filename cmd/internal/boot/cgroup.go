package boot

import (
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// mostLimitFile bounds what is read of a file that should hold a number, or a few lines.
const mostLimitFile = 64 << 10

// memoryLimit is the smallest memory limit of the control groups that this process is in, in bytes, as the files under root say; 0: there is none.
// A limit holds for a group and all below it, so each on the way up counts. A container may see its own group as the root of the hierarchy, or be
// told a path that only the host has: directories that are not there are passed over.
func memoryLimit(root fs.FS) int64 {
	least := int64(0)
	for _, h := range hierarchies(readLimit(root, "proc/self/cgroup")) {
		for group := path.Clean("/" + h.group); ; group = path.Dir(group) {
			for _, file := range h.files {
				least = lesser(least, limitOf(readLimit(root, path.Join(h.mount, group, file))))
			}
			if group == "/" {
				break
			}
		}
	}
	return least
}

// hierarchy is a tree of control groups, and the process's place in it.
type hierarchy struct {
	mount, group string
	files        []string // that state limits
}

// hierarchies reads proc/self/cgroup: a line is number:controllers:path, number and controllers being 0 and empty in version 2.
func hierarchies(text string) []hierarchy {
	v1 := hierarchy{mount: "sys/fs/cgroup/memory", group: "/", files: []string{"memory.limit_in_bytes"}}
	v2 := hierarchy{mount: "sys/fs/cgroup", group: "/", files: []string{"memory.max", "memory.high"}}
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		if fields[1] == "" {
			v2.group = fields[2]
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			if controller == "memory" {
				v1.group = fields[2]
			}
		}
	}
	return []hierarchy{v2, v1}
}

// noLimit is from where on version 1 means that there is none: it then states the largest number of pages.
const noLimit = 1 << 62

func limitOf(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n <= 0 || n >= noLimit { // "max" is no number
		return 0
	}
	return n
}

// lesser is the smaller of two limits, of which 0 is none.
func lesser(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

func readLimit(root fs.FS, name string) string {
	f, err := root.Open(strings.TrimPrefix(name, "/"))
	if err != nil {
		return ""
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, mostLimitFile))
	if err != nil {
		return ""
	}
	return string(raw)
}
