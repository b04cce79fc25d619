package testenv

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres creates an empty database and returns its DSN; it is dropped with the test. The server is the one at MILLRACE_TEST_DATABASE_URL, or
// one that this test binary starts at the first call and that ends with the binary.
func Postgres(t testing.TB) string {
	t.Helper()
	admin := os.Getenv("MILLRACE_TEST_DATABASE_URL")
	if admin == "" {
		shared := sharedPostgres()
		switch {
		case shared.absent != "":
			missing(t, "PostgreSQL is not here: %s", shared.absent)
		case shared.err != nil:
			t.Fatalf("start PostgreSQL: %v", shared.err)
		}
		admin = shared.dsn
	}
	name := fmt.Sprintf("millrace_test_%d_%d_%d", os.Getpid(), time.Now().UnixNano(), databases.Add(1))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := adminExec(ctx, admin, "create database "+name+" template template0"); err != nil {
		t.Fatalf("create a test database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := adminExec(ctx, admin, "drop database "+name+" with (force)"); err != nil {
			t.Errorf("drop the test database: %v", err)
		}
	})
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatalf("MILLRACE_TEST_DATABASE_URL is not a postgres:// URL: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}

// databases makes names unique within the process, which the clock alone does not.
var databases atomic.Int64

func adminExec(ctx context.Context, dsn, sql string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

// cluster is a started server, or why there is none.
type cluster struct {
	dsn    string
	absent string // what is missing on this machine
	err    error
	proc   *process // held for as long as the test binary lives: its pipe keeps the server alive
}

// sharedPostgres starts one server per test binary: initdb takes seconds, a database in it milliseconds.
var sharedPostgres = sync.OnceValue(startPostgres)

func startPostgres() *cluster {
	bin, ok := postgresBin()
	if !ok {
		return &cluster{absent: "no initdb in PATH, in `pg_config --bindir` or under /usr/lib/postgresql"}
	}
	var cred *syscall.Credential
	if os.Geteuid() == 0 { // the server refuses to run as root
		c, err := credential("postgres")
		if err != nil {
			return &cluster{absent: "running as root, and " + err.Error()}
		}
		cred = c
	}
	proc, err := runPostgres(bin, cred)
	if err != nil {
		return &cluster{err: err}
	}
	dsn := "postgres://postgres@/postgres?sslmode=disable&host=" + url.QueryEscape(proc.dir)
	err = proc.ready(func() error { return adminExec(context.Background(), dsn, "select 1") })
	if err != nil {
		proc.stop()
		return &cluster{err: err}
	}
	return &cluster{dsn: dsn, proc: proc}
}

// runPostgres makes a new cluster in a directory of its own and starts its server on a unix socket in it.
func runPostgres(bin string, cred *syscall.Credential) (*process, error) {
	dir, err := os.MkdirTemp("", "millrace-pg-")
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	if cred != nil {
		if err := os.Chown(dir, int(cred.Uid), int(cred.Gid)); err != nil {
			os.RemoveAll(dir)
			return nil, fmt.Errorf("directory: %w", err)
		}
	}
	data := filepath.Join(dir, "data")
	script := `"$0/initdb" -D "$1" -U postgres -A trust -E UTF8 --locale=C --no-sync >&2 &&
		exec "$0/postgres" -D "$1" -k "$2" -c listen_addresses= -c max_connections=300`
	// SIGQUIT is PostgreSQL's immediate shutdown: quick, and its shared memory is given back, which SIGKILL would not do.
	proc, err := start(dir, "QUIT", cred, "/bin/sh", "-c", script, bin, data, dir)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return proc, nil
}

// postgresBin finds the directory of the server's binaries, the newest version where there are several.
func postgresBin() (string, bool) {
	var dirs []string
	if p, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(p))
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for i := len(found) - 1; i >= 0; i-- {
		dirs = append(dirs, found[i])
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir, true
		}
	}
	return "", false
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("there is no user %s", name)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("uid of %s: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("gid of %s: %w", name, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
