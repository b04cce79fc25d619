//go:build unix

package remote

import (
	"fmt"
	"net"
	"syscall"
)

// unblock makes a listener that was handed over by a parent process close at once. os/exec leaves handed files blocking, and closing one on
// which somebody waits in accept would wait for the next connection.
func unblock(ln net.Listener) error {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("make the workers' socket non-blocking: %w", err)
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = syscall.SetNonblock(int(fd), true) }); err != nil {
		return fmt.Errorf("make the workers' socket non-blocking: %w", err)
	}
	return set
}
