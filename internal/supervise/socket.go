package supervise

import (
	"context"
	"fmt"
	"net"
	"os"
)

// Socket is a listening socket that the supervisor keeps open and never accepts from. While a child is being restarted new connections wait in its
// backlog; none is refused.
type Socket struct {
	file *os.File
	addr net.Addr
}

// Listen opens a socket to hand to children. A unix socket is for this user alone.
func Listen(ctx context.Context, network, address string) (*Socket, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s := &Socket{addr: l.Addr()}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the path goes when the Socket is closed
		if err := os.Chmod(address, 0o600); err != nil {
			l.Close()
			return nil, err
		}
	}
	s.file, err = detach(l)
	if closeErr := l.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return s, nil
}

// Addr is where the socket listens, with the port the kernel chose for port 0.
func (s *Socket) Addr() net.Addr { return s.addr }

// File is what Child.Files takes. It belongs to the Socket.
func (s *Socket) File() *os.File { return s.file }

// Close stops listening once the children have closed theirs too, and removes a unix socket's path.
func (s *Socket) Close() error {
	err := s.file.Close()
	if s.addr.Network() == "unix" {
		if rmErr := os.Remove(s.addr.String()); err == nil && !os.IsNotExist(rmErr) {
			err = rmErr
		}
	}
	return err
}

// maxSocketDir leaves room for a name in the 104 bytes that macOS allows a unix socket's path (Linux: 108).
const maxSocketDir = 80

// SocketDir makes a fresh directory for unix sockets that only this user can enter; the caller removes it. It is under the temporary directory and never
// in the data directory, whose path may be longer than a socket's path can be.
func SocketDir(name string) (string, error) {
	dir, err := os.MkdirTemp("", name+"-")
	if err != nil {
		return "", err
	}
	if len(dir) <= maxSocketDir {
		return dir, nil
	}
	if err := os.Remove(dir); err != nil {
		return "", err
	}
	return os.MkdirTemp("/tmp", name+"-")
}
