package boot

import (
	"os"

	"golang.org/x/sys/unix"
)

// allocate takes room for a file, without writing it where the file system can do that.
func allocate(f *os.File, size int64) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.Fallocate(int(fd), 0, 0, size) }); err != nil {
		return err
	}
	if failed == unix.EOPNOTSUPP || failed == unix.ENOSYS {
		return fill(f, size)
	}
	return failed
}
