package vips

import (
	"os/exec"
	"syscall"
)

// tieToParent has the kernel end the helper when this process ends, however that happens. A helper that rests also notices that its pipe ends.
func tieToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
