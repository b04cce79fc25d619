package supervise

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolate gives the child a process group of its own, so that Ctrl-C in a terminal reaches the supervisor alone and counts once, and has the kernel
// kill it when the supervisor dies.
func isolate(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}

// yieldThread makes the calling thread nice. Where it may not (it would have to become less nice than it is) it stays as it is.
func yieldThread(nice int) {
	if nice != 0 {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, nice)
	}
}

// yieldProcess has nothing to do: the process was born nice.
func yieldProcess(int, int) {}
