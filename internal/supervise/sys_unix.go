//go:build unix

package supervise

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

var errLocked = errors.New("locked by another")

// tryLock does not wait. The lock belongs to the open file, so whoever inherits the descriptor holds it too.
func tryLock(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	if err := raw.Control(func(fd uintptr) { lockErr = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return err
	}
	if errors.Is(lockErr, unix.EWOULDBLOCK) {
		return errLocked
	}
	return lockErr
}

// detach copies a listener's descriptor out of the runtime's hands, so that the supervisor is not woken by every connection.
//
// The file is made while the descriptor blocks, and O_NONBLOCK is set after: os then neither polls it nor makes it blocking again when exec asks
// for its number, which it would do to the descriptors of running children too, all being one open file.
func detach(l net.Listener) (*os.File, error) {
	conn, ok := l.(syscall.Conn)
	if !ok {
		return nil, errors.New("not a socket")
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var file *os.File
	var dupErr error
	if err := raw.Control(func(fd uintptr) { file, dupErr = detachFD(int(fd), l.Addr().String()) }); err != nil {
		return nil, err
	}
	return file, dupErr
}

func detachFD(fd int, name string) (*os.File, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(dup, false); err != nil {
		unix.Close(dup)
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(dup), name)
	if err := unix.SetNonblock(dup, true); err != nil {
		file.Close()
		return nil, os.NewSyscallError("fcntl", err)
	}
	return file, nil
}

func setNonblock(fd int) error { return unix.SetNonblock(fd, true) }

// keepFromChildren marks a descriptor close-on-exec, and fails for one that is not open.
func keepFromChildren(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
	return err
}

// hasTerminal reports whether the process has a controlling terminal that still exists.
func hasTerminal() bool {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}
