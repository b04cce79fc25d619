package supervise

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(id)), err
}

// numberSpace is the PID namespace: containers of one machine have one boot id, and often one name, but numbers of their own.
func numberSpace() (string, error) { return os.Readlink("/proc/self/ns/pid") }

func processStart(pid int) (int64, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	return parseStat(stat)
}

// parseStat reads state and starttime, fields 3 and 22 of proc(5). Field 2 is the program's name in parentheses and may hold anything,
// parentheses and spaces too, so counting begins after the last one.
func parseStat(stat []byte) (start int64, alive bool) {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, false
	}
	fields := bytes.Fields(stat[i+1:])
	const first, startTime = 3, 22
	if len(fields) <= startTime-first {
		return 0, false
	}
	switch fields[0][0] {
	case 'Z', 'X', 'x': // ended, not yet collected by its parent
		return 0, false
	}
	start, err := strconv.ParseInt(string(fields[startTime-first]), 10, 64)
	return start, err == nil
}
