//go:build unix

package graceful

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// acceptWaiting accepts without waiting, whatever the listener's deadline, or answers an error.
func acceptWaiting(l net.Listener) (net.Conn, error) {
	sc, ok := l.(syscall.Conn)
	if !ok {
		return nil, errEmpty
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	accepted, failed := -1, errEmpty
	if err := raw.Control(func(fd uintptr) { accepted, failed = accept(int(fd)) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	f := os.NewFile(uintptr(accepted), "connection")
	defer f.Close() // FileConn has its own
	return net.FileConn(f)
}

func accept(fd int) (int, error) {
	syscall.ForkLock.RLock() // nobody forks before the mark is set
	defer syscall.ForkLock.RUnlock()
	accepted, _, err := unix.Accept(fd)
	for err == unix.EINTR || err == unix.ECONNABORTED { // the next may wait
		accepted, _, err = unix.Accept(fd)
	}
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(accepted)
	if err := unix.SetNonblock(accepted, true); err != nil {
		unix.Close(accepted)
		return -1, err
	}
	return accepted, nil
}
