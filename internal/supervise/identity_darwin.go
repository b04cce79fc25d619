package supervise

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// bootID prefers the session's id to the time of boot, which moves when the clock is set.
func bootID() (string, error) {
	if id, err := unix.Sysctl("kern.bootsessionuuid"); err == nil && id != "" {
		return id, nil
	}
	boot, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return "", err
	}
	return fmt.Sprint(boot.Sec), nil
}

// numberSpace has nothing to tell apart: there is one.
func numberSpace() (string, error) { return "", nil }

// zombie is SZOMB of sys/proc.h: ended, not yet collected by its parent.
const zombie = 5

func processStart(pid int) (int64, bool) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || info.Proc.P_stat == zombie {
		return 0, false
	}
	t := info.Proc.P_starttime
	return t.Sec*1_000_000 + int64(t.Usec), true
}
