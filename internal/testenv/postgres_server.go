package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// PostgresServer is a private PostgreSQL on a loopback port that a test may stop in the middle of everything and start again.
type PostgresServer struct {
	URL  string // of its database postgres
	bin  string
	cred *syscall.Credential
	port int
	data string
	args []string
	keep *process // holds data until the test ends, or is killed
	proc *process
}

// StartPostgres makes a new cluster and starts its server; settings are further ones, such as "max_connections=100". It ends with the test.
func StartPostgres(t testing.TB, settings ...string) *PostgresServer {
	t.Helper()
	bin, ok := postgresBin()
	if !ok {
		missing(t, "PostgreSQL is not here: no initdb in PATH, in `pg_config --bindir` or under /usr/lib/postgresql")
	}
	s := &PostgresServer{bin: bin}
	if os.Geteuid() == 0 {
		cred, err := credential("postgres")
		if err != nil {
			missing(t, "PostgreSQL is not here: running as root, and %v", err)
		}
		s.cred = cred
	}
	t.Cleanup(func() {
		for _, p := range []*process{s.proc, s.keep} {
			if p != nil {
				p.stop()
			}
		}
	})
	if err := s.init(); err != nil {
		t.Fatalf("make a PostgreSQL cluster: %v", err)
	}
	for _, setting := range settings {
		s.args = append(s.args, "-c", setting)
	}
	for try := 0; ; try++ {
		s.port = freePort(t)
		s.URL = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
		err := s.run()
		if err == nil {
			return s
		}
		if !errors.Is(err, errExited) || try == 5 {
			t.Fatalf("start PostgreSQL: %v", err)
		}
	}
}

// init makes the cluster in a directory that outlives the server's stops.
func (s *PostgresServer) init() error {
	dir, err := s.dir("millrace-pgdata-")
	if err != nil {
		return err
	}
	if s.keep, err = start(dir, "TERM", s.cred, "sleep", "infinity"); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	s.data = filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "-D", s.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

func (s *PostgresServer) dir(pattern string) (string, error) {
	dir, err := os.MkdirTemp("", pattern)
	if err == nil && s.cred != nil {
		err = os.Chown(dir, int(s.cred.Uid), int(s.cred.Gid))
	}
	return dir, err
}

func (s *PostgresServer) run() error {
	dir, err := s.dir("millrace-pg-")
	if err != nil {
		return err
	}
	args := append([]string{"-D", s.data, "-k", dir, "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1"}, s.args...)
	proc, err := start(dir, "QUIT", s.cred, filepath.Join(s.bin, "postgres"), args...)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	if err := proc.ready(func() error { return adminExec(context.Background(), s.URL, "select 1") }); err != nil {
		proc.stop()
		return err
	}
	s.proc = proc
	return nil
}

// StopImmediate ends the server as `pg_ctl stop -m immediate` does: at once, without a checkpoint, so that the next start recovers from the log.
func (s *PostgresServer) StopImmediate() { s.proc.stop() }

// Start runs the server again on its port and its data.
func (s *PostgresServer) Start(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatalf("start PostgreSQL again: %v", err)
	}
}
