package remote

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// Listen makes the socket, for the owner of the process alone. Paths of sockets are short (104 bytes on macOS): use a directory of your own
// under the temporary one, mode 0700, which also closes the moment before the mode of the socket is set.
func Listen(path string) (*net.UnixListener, error) {
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for workers: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for workers: %w", err), ln.Close())
	}
	return ln, nil
}
