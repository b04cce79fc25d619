package supervise

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolate gives the child a process group of its own, so that Ctrl-C in a terminal reaches the supervisor alone and counts once.
// There is no parent-death signal here; the lifeline does that work.
func isolate(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

// yieldThread has nothing to do: the nice value belongs to the whole process here.
func yieldThread(int) {}

// yieldProcess makes the process nice; failing to leaves it as it is.
func yieldProcess(pid, nice int) {
	if nice != 0 {
		_ = unix.Setpriority(unix.PRIO_PROCESS, pid, nice)
	}
}
