package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/millrace/millrace/internal/supervise"
)

// socketsPrefix begins the name of a directory of sockets.
const socketsPrefix = "millrace"

// sockets are what must stay open while any single child is away.
type sockets struct {
	dir, note              string
	http, ledger, dispatch *supervise.Socket
}

// socketsNote is the file in the data directory that says where the sockets of its server are.
const socketsNote = "sockets"

// openSockets listens. The directory of a server that was killed before it could clean up goes first.
func (p *process) openSockets(ctx context.Context, dataDir string) (*sockets, error) {
	note := filepath.Join(dataDir, socketsNote)
	if old, err := os.ReadFile(note); err == nil && strings.HasPrefix(filepath.Base(string(old)), socketsPrefix+"-") {
		_ = os.RemoveAll(string(old))
	}
	dir, err := supervise.SocketDir(socketsPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a directory for sockets: %w", err)
	}
	s := &sockets{dir: dir, note: note}
	if err := os.WriteFile(note, []byte(dir), 0o600); err != nil {
		s.Close()
		return nil, configError("%s: the directory cannot be written to: %v", p.config.names["data-dir"], err)
	}
	if s.http, err = supervise.Listen(ctx, "tcp", p.config.Addr); err != nil {
		s.Close()
		return nil, listenError(p.config, err)
	}
	if s.ledger, err = supervise.Listen(ctx, "unix", filepath.Join(dir, ledgerSocket)); err == nil {
		s.dispatch, err = supervise.Listen(ctx, "unix", filepath.Join(dir, dispatchSocket))
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close closes what is open and removes the directory.
func (s *sockets) Close() {
	for _, open := range []*supervise.Socket{s.http, s.ledger, s.dispatch} {
		if open != nil {
			_ = open.Close()
		}
	}
	_ = os.RemoveAll(s.dir)
	_ = os.Remove(s.note)
}

func (s *sockets) url() string { return "http://" + s.http.Addr().String() }

// listenError says why nothing can listen there, and what to do.
func listenError(c Config, err error) error {
	what := fmt.Sprintf("%s: cannot listen on %s", c.names["addr"], c.Addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return configError("%s: another program does; stop it, or choose another address", what)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return configError("%s: this machine does not have that address; choose one of its own", what)
	case errors.Is(err, syscall.EACCES):
		return configError("%s: this user may not; choose a port above 1023", what)
	}
	return configError("%s: %v; choose another address, such as 127.0.0.1:8080", what, err)
}
