//go:build linux || darwin

package disk

import (
	"errors"
	"os"
	"syscall"
)

// syncDir makes the names in a directory durable. A file system that cannot sync directories (some network ones) says EINVAL; there the
// rename is as durable as it gets.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// hold marks a temporary file as one that somebody writes, until it is closed or the process dies. Where locks do not work nothing is marked, and
// Sweep goes by age alone.
func hold(f *os.File) { _ = flock(f) }

// abandoned says whether nobody holds a file any more. In doubt somebody does.
func abandoned(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return flock(f) == nil
}

func flock(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var locked error
	if err := conn.Control(func(fd uintptr) { locked = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB) }); err != nil {
		return err
	}
	return locked
}

func free(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
