package supervise

import (
	"errors"
	"net"
	"os"
	"os/exec"
)

// There is no supervisor on Windows: the functions below let the package compile there, and what needs more says errUnsupported.
var (
	errUnsupported = errors.New("not supported on Windows")
	errLocked      = errors.New("locked by another")
)

func tryLock(*os.File) error                { return errUnsupported }
func detach(net.Listener) (*os.File, error) { return nil, errUnsupported }
func setNonblock(int) error                 { return errUnsupported }
func keepFromChildren(int) error            { return errUnsupported }
func hasTerminal() bool                     { return false }
func isolate(*exec.Cmd)                     {}
func yieldThread(int)                       {}
func yieldProcess(int, int)                 {}
