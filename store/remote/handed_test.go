//go:build unix

package remote_test

import (
	"net"
	"syscall"
	"testing"

	"github.com/millrace/millrace/store/remote"
)

// TestHandedListener: a listener from a parent process comes in blocking mode; Serve must still end while it waits for a connection.
func TestHandedListener(t *testing.T) {
	t.Parallel()
	path := socket(t)
	parent := listen(t, path)
	file, err := parent.File()
	if err != nil {
		t.Fatal(err)
	}
	handed, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	_ = file.Fd() // what os/exec does with a handed file
	raw, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = syscall.SetNonblock(int(fd), false) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, stop := serve(t, handed, openLedger(t, &clock{}))
	beatAs(t, path)
	stop()
	_ = file.Close()
	// The socket is the parent's: the next child serves on it.
	serve(t, parent, openLedger(t, &clock{}))
	if err := remote.Dial(remote.Config{Path: path}).Close(); err != nil {
		t.Error(err)
	}
	beatAs(t, path)
}
