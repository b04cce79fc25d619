package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/internal/testenv"
)

// nowhere is a complete configuration whose servers do not answer.
func nowhere() []string {
	return []string{"REDIS_URL=redis://:hunter2@127.0.0.1:1/0", "DATABASE_URL=postgres://mill:hunter2@127.0.0.1:1/mill?connect_timeout=1"}
}

// role is a binary with what makes it that role, and what it needs besides.
type role struct {
	binary string
	args   []string
	env    []string
}

// with is a list and more, in memory of its own: parallel tests begin with the same list.
func with(list []string, more ...string) []string { return slices.Concat(list, more) }

func (r role) name() string { return strings.Join(append([]string{r.binary}, r.args...), " ") }

func roles() []role {
	anyPort := "MILLRACE_ADDR=127.0.0.1:0"
	return []role{
		{"millrace", []string{"serve"}, []string{anyPort}},
		{"api", nil, append(nowhere(), anyPort)}, {"worker", nil, nowhere()}, {"scheduler", nil, append(nowhere(), anyPort)},
	}
}

// ended is how a command ended that was started in an empty directory.
type ended struct {
	code           int
	stdout, stderr string
	left           []string // what it left in its directory and in the temporary one
}

// patience is how long a command that refuses to start may take on a busy machine; most take a tenth of a second.
const patience = 30 * time.Second

// invoke runs a binary to its end. Only what env says configures it.
func invoke(t *testing.T, stdin string, env []string, binary string, args ...string) ended {
	t.Helper()
	temp, err := os.MkdirTemp("", "mr") // short, unlike t.TempDir: the paths of unix sockets are bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, binary), args...)
	cmd.Dir, cmd.Env = dir, append(append(cleanEnv(), "TMPDIR="+temp), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out, log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &log
	err = cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited || ctx.Err() != nil {
		t.Fatalf("%s %s did not end by itself: %v\nstdout: %s\nstderr: %s", binary, strings.Join(args, " "), err, &out, &log)
	}
	return ended{cmd.ProcessState.ExitCode(), out.String(), log.String(), append(files(t, dir), files(t, temp)...)}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// checkRefused checks that a command ended as one with a wrong configuration must: exit code 2, nothing on stdout, one line on stderr that holds
// the words, no secret, nothing left behind.
func checkRefused(t *testing.T, e ended, binary string, words ...string) {
	t.Helper()
	if e.code != 2 {
		t.Errorf("exit code %d, want 2", e.code)
	}
	if e.stdout != "" {
		t.Errorf("stdout = %q, want nothing", e.stdout)
	}
	line, rest, ended := strings.Cut(e.stderr, "\n")
	if !ended || rest != "" || !strings.HasPrefix(line, binary+": ") || len(line) > 300 {
		t.Errorf("stderr is not one line that begins with %q:\n%s", binary+": ", e.stderr)
	}
	for _, word := range words {
		if !strings.Contains(e.stderr, word) {
			t.Errorf("stderr lacks %q:\n%s", word, e.stderr)
		}
	}
	for _, never := range []string{"hunter2", "strconv", "goroutine"} {
		if strings.Contains(e.stderr, never) {
			t.Errorf("stderr holds %q:\n%s", never, e.stderr)
		}
	}
	if len(e.left) > 0 {
		t.Errorf("left behind: %q", e.left)
	}
}

// refusedValues has for each flag a value that it must refuse, and what the refusal must say to help.
func refusedValues() map[string][2]string {
	return map[string][2]string{
		"addr": {"8080", "127.0.0.1:8080"}, "data-dir": {"/dev/null/data", "directory"}, "workers": {"-1", "between 1 and 512"},
		"processes": {"many", "whole number"}, "cpu": {"-1", "between"}, "io": {"1e3", "whole number"}, "memory": {"lots", "512MiB"},
		"grace": {"30", "30s"}, "max-upload": {"-5", "512MiB"}, "max-jobs": {"0", "between 1"}, "drain-delay": {"2m", "1m0s"}, "hosts": {"https://mill.example", "host names"},
		"dashboard-write": {"perhaps", "true or false"}, "public-metrics": {"2", "true or false"}, "log-format": {"xml", "text or json"},
		"log-level": {"loud", "debug, info, warn or error"}, "image-engine": {"gpu", "auto, go or vips"}, "vips": {"/dev/null/vips", "can be run"},
	}
}

var flagInHelp = regexp.MustCompile(`(?m)^\s+(?:-\w, )?--([a-z-]+)`)

// flagsOf are the flags that a role says it has.
func flagsOf(t *testing.T, r role) []string {
	t.Helper()
	help := invoke(t, "", nil, r.binary, with(r.args, "--help")...)
	var names []string
	for _, m := range flagInHelp.FindAllStringSubmatch(help.stdout, -1) {
		if m[1] != "help" && m[1] != "version" {
			names = append(names, m[1])
		}
	}
	if len(names) < 4 {
		t.Fatalf("%s --help shows the flags %q", r.name(), names)
	}
	return names
}

func TestEveryFlagRefusesABadValue(t *testing.T) {
	t.Parallel()
	for _, r := range roles() {
		for _, flag := range flagsOf(t, r) {
			bad, known := refusedValues()[flag]
			if !known {
				t.Errorf("%s has a flag --%s, and this test no bad value for it", r.name(), flag)
				continue
			}
			t.Run(r.name()+" --"+flag, func(t *testing.T) {
				t.Parallel()
				variable := "MILLRACE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
				env := with(r.env, "MILLRACE_DATA_DIR="+filepath.Join(t.TempDir(), "data"))
				e := invoke(t, "", env, r.binary, with(r.args, "--"+flag+"="+bad[0])...)
				checkRefused(t, e, r.binary, "--"+flag, bad[1])
				e = invoke(t, "", with(env, variable+"="+bad[0]), r.binary, r.args...)
				checkRefused(t, e, r.binary, variable, bad[1])
			})
		}
	}
}

func TestEveryRoleRefusesWrongSettings(t *testing.T) {
	t.Parallel()
	const long = "0123456789abcdef0123456789abcdef"
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		env   []string
		args  []string
		words []string
		roles string // "" for all
	}{
		{"unknown flag", nil, []string{"--bogus"}, []string{"--bogus", "--help"}, ""},
		{"unknown argument", nil, []string{"extra"}, []string{`"extra"`, "--help"}, ""},
		{"flag without its value", nil, []string{"--log-level"}, []string{"--log-level", "--help"}, ""},
		{"short admin key", []string{"MILLRACE_ADMIN_KEY=hunter2"}, nil, []string{"MILLRACE_ADMIN_KEY", "32 characters", "openssl rand"}, ""},
		{"short token secret", []string{"MILLRACE_JWT_SECRET=hunter2"}, nil, []string{"MILLRACE_JWT_SECRET", "32 characters"}, ""},
		{"issuer without secret", []string{"MILLRACE_JWT_ISSUER=me"}, nil, []string{"MILLRACE_JWT_ISSUER", "MILLRACE_JWT_SECRET"}, ""},
		{"open to the network", nil, []string{"--addr=0.0.0.0:0"}, []string{"--addr", "MILLRACE_ADMIN_KEY"}, "millrace api scheduler"},
		{"open to every address", nil, []string{"--addr=:0"}, []string{"--addr", "MILLRACE_ADMIN_KEY"}, "millrace api scheduler"},
		{"no such port", nil, []string{"--addr=127.0.0.1:99999"}, []string{"--addr", "99999"}, "millrace api scheduler"},
		{"another machine's address", []string{"MILLRACE_ADMIN_KEY=" + long}, []string{"--addr=203.0.113.5:0"},
			[]string{"--addr", "this machine does not have"}, "millrace api scheduler"},
		{"no slots", nil, []string{"--cpu=0", "--io=0"}, []string{"--cpu", "--io"}, "millrace worker"},
		{"little memory", nil, []string{"--memory=1MiB"}, []string{"--memory", "64MiB"}, "millrace worker"},
		{"no uploads", nil, []string{"--max-upload=0"}, []string{"--max-upload"}, "millrace api"},
		{"no grace", nil, []string{"--grace=0s"}, []string{"--grace", "1s"}, "millrace worker"},
		{"libvips that does not work", []string{"MILLRACE_IMAGE_ENGINE=vips", "MILLRACE_VIPS=/bin/true"}, nil, []string{"MILLRACE_IMAGE_ENGINE", "/bin/true", "auto"}, ""},
		{"no data directory", []string{"BLOB_URL="}, []string{"--data-dir="}, []string{"--data-dir"}, ""},

		{"no Redis", []string{"REDIS_URL="}, nil, []string{"REDIS_URL must be set", "millrace serve"}, "api worker scheduler"},
		{"no database", []string{"DATABASE_URL="}, nil, []string{"DATABASE_URL must be set", "millrace serve"}, "api worker scheduler"},
		{"Redis by HTTP", []string{"REDIS_URL=http://:hunter2@mill"}, nil, []string{"REDIS_URL", "redis://"}, ""},
		{"Redis without scheme", []string{"REDIS_URL=mill:6379"}, nil, []string{"REDIS_URL", "redis://"}, ""},
		{"Redis with a broken password", []string{"REDIS_URL=redis://:hunter2%zz@mill"}, nil, []string{"REDIS_URL", "redis://"}, ""},
		{"another database", []string{"DATABASE_URL=mysql://mill:hunter2@mill/mill"}, nil, []string{"DATABASE_URL", "postgres://"}, ""},
		{"database with a broken port", []string{"DATABASE_URL=postgres://mill:hunter2@mill:port/mill"}, nil, []string{"DATABASE_URL", "postgres://"}, ""},
		{"no database address", []string{"DATABASE_URL=hunter2"}, nil, []string{"DATABASE_URL", "postgres://"}, ""},
		{"S3", []string{"BLOB_URL=s3://bucket?secret=hunter2"}, nil, []string{"BLOB_URL", "s3", "file://"}, ""},
		{"relative blobs", []string{"BLOB_URL=file://blobs"}, nil, []string{"BLOB_URL", "file:///"}, ""},
		{"a path for a URL", []string{"BLOB_URL=/blobs"}, nil, []string{"BLOB_URL", "file:///"}, ""},
		{"blobs in a file", []string{"BLOB_URL=file:///dev/null/blobs"}, []string{}, []string{"BLOB_URL", "directory"}, ""},

		{"key twice", []string{"MILLRACE_ADMIN_KEY=" + long, "MILLRACE_ADMIN_KEY_FILE=" + empty}, nil, []string{"MILLRACE_ADMIN_KEY_FILE", "keep one"}, ""},
		{"Redis twice", []string{"REDIS_URL=redis://mill", "REDIS_URL_FILE=" + empty}, nil, []string{"REDIS_URL_FILE", "keep one"}, ""},
		{"database twice", []string{"DATABASE_URL=postgres://mill", "DATABASE_URL_FILE=" + empty}, nil, []string{"DATABASE_URL_FILE", "keep one"}, ""},
		{"file that is missing", []string{"MILLRACE_ADMIN_KEY_FILE=/dev/null/key"}, nil, []string{"MILLRACE_ADMIN_KEY_FILE", "check"}, ""},
		{"file that is a directory", []string{"MILLRACE_JWT_SECRET_FILE=/"}, nil, []string{"MILLRACE_JWT_SECRET_FILE", "check"}, ""},
		{"file that is empty", []string{"MILLRACE_JWT_SECRET_FILE=" + empty}, nil, []string{"MILLRACE_JWT_SECRET_FILE", "empty"}, ""},

		{"key set of a later release", []string{"MILLRACE_JWKS_URL=https://mill"}, nil, []string{"MILLRACE_JWKS_URL", "unset"}, ""},
		{"webhooks of a later release", []string{"MILLRACE_WEBHOOK_SECRET=hunter2"}, nil, []string{"MILLRACE_WEBHOOK_SECRET", "unset"}, ""},
		{"sources of a later release", []string{"MILLRACE_SOURCES=a"}, nil, []string{"MILLRACE_SOURCES", "unset"}, ""},
		{"URL inputs of a later release", []string{"MILLRACE_ALLOW=10.0.0.0/8"}, nil, []string{"MILLRACE_ALLOW", "unset"}, ""},
	}
	for _, test := range tests {
		for _, r := range roles() {
			if test.roles != "" && !strings.Contains(test.roles, r.binary) {
				continue
			}
			t.Run(r.binary+": "+test.name, func(t *testing.T) {
				t.Parallel()
				env := with(r.env, "MILLRACE_DATA_DIR="+filepath.Join(t.TempDir(), "data"))
				e := invoke(t, "", with(env, test.env...), r.binary, with(r.args, test.args...)...)
				checkRefused(t, e, r.binary, test.words...)
			})
		}
	}
}

func TestWrongUseOfTheCommandLine(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	tests := []struct {
		name  string
		args  []string
		words []string
	}{
		{"unknown subcommand", []string{"submitt"}, []string{`"submitt"`, "--help"}},
		{"help about nothing", []string{"help", "submitt"}, []string{`"submitt"`, "--help"}},
		{"unknown flag", []string{"--bogus"}, []string{"--bogus", "--help"}},
		{"submit without a type", []string{"submit"}, []string{"task type", "--help"}},
		{"submit with an unknown flag", []string{"submit", "--bogus", "image.resize"}, []string{"--bogus", "--help"}},
		{"params that are no JSON", []string{"submit", "--params", "{", "image.resize"}, []string{"--params", "JSON"}},
		{"a file that is missing", []string{"submit", "image.resize", missing}, []string{missing}},
		{"a directory as input", []string{"submit", "image.resize", "/"}, []string{"directory", "tar"}},
		{"standard input twice", []string{"submit", "image.resize", "-", "-"}, []string{"standard input"}},
		{"output into no directory", []string{"submit", "-o", missing + "/out", "image.resize"}, []string{"--output", "directory"}},
		{"output into a directory that is missing", []string{"submit", "-o", missing + "/", "image.resize"}, []string{"--output", "directory"}},
		{"server that is no URL", []string{"submit", "--server", "mill", "image.resize"}, []string{"--server", "http://"}},
		{"job without an id", []string{"job"}, []string{"id of a job", "--help"}},
		{"job with two ids", []string{"job", "a", "b"}, []string{"--help"}},
		{"job of a server that is no URL", []string{"job", "--server", "ftp://mill", "a"}, []string{"--server", "http://"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			checkRefused(t, invoke(t, "", nil, "millrace", test.args...), "millrace", test.words...)
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	commands := append(roles(), role{binary: "millrace"}, role{"millrace", []string{"submit"}, nil}, role{"millrace", []string{"job"}, nil})
	for _, r := range commands {
		t.Run(r.name(), func(t *testing.T) {
			t.Parallel()
			help := invoke(t, "", nil, r.binary, with(r.args, "--help")...)
			if help.code != 0 || help.stderr != "" || !strings.Contains(help.stdout, "Usage:\n  "+r.name()) {
				t.Errorf("--help: exit code %d, stderr %q, stdout:\n%s", help.code, help.stderr, help.stdout)
			}
			for line := range strings.Lines(help.stdout) {
				if len(line) > 160 {
					t.Errorf("--help has a line of %d characters: %s", len(line), line)
				}
			}
			if len(r.args) > 0 && r.args[0] != "serve" {
				return
			}
			version := invoke(t, "", []string{"MILLRACE_VERSION=1"}, r.binary, with(r.args, "--version")...)
			line, rest, _ := strings.Cut(version.stdout, "\n")
			last := strings.Fields(r.name())
			if version.code != 0 || version.stderr != "" || rest != "" || !strings.HasPrefix(line, last[len(last)-1]+" ") {
				t.Errorf("--version: exit code %d, stderr %q, stdout %q", version.code, version.stderr, version.stdout)
			}
		})
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for _, r := range roles() {
		if r.binary == "worker" {
			continue
		}
		t.Run(r.binary, func(t *testing.T) {
			t.Parallel()
			env := with(r.env, "BLOB_URL=file://"+t.TempDir())
			e := invoke(t, "", env, r.binary, with(r.args, "--addr="+l.Addr().String())...)
			checkRefused(t, e, r.binary, "--addr", l.Addr().String(), "another")
		})
	}
}

func TestDataDirectoryInUse(t *testing.T) {
	t.Parallel()
	s := start(t, "embedded")
	e := invoke(t, "", nil, "millrace", "serve", "--addr=127.0.0.1:0", "--data-dir="+filepath.Join(s.dir, "data"))
	checkRefused(t, e, "millrace", fmt.Sprint("in use by process ", s.processes["serve"].cmd.Process.Pid), "--data-dir")
	s.finish(s.submit(quickJob, s.upload("a.bin", []byte("a")).ID).ID) // the first server never noticed
}

func TestDataDirectoryThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	t.Run("read-only", func(t *testing.T) {
		t.Parallel()
		if os.Getuid() == 0 {
			t.Skip("root may write everywhere")
		}
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		checkRefused(t, invoke(t, "", nil, "millrace", "serve", "--addr=127.0.0.1:0", "--data-dir="+dir), "millrace", "--data-dir", "may write")
	})
	t.Run("ledger that is none", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "millrace.db"), bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
			t.Fatal(err)
		}
		checkRefused(t, invoke(t, "", nil, "millrace", "serve", "--addr=127.0.0.1:0", "--data-dir="+dir), "millrace", "--data-dir", "millrace.db")
	})
}

func TestStoresThatRefuse(t *testing.T) {
	t.Parallel()
	redisURL, dsn := testenv.Redis(t), testenv.Postgres(t)
	locked := testenv.Redis(t)
	lock(t, locked)
	blobs := "BLOB_URL=file://" + t.TempDir()
	tests := []struct {
		name  string
		env   []string
		words []string
	}{
		{"no such database", []string{"REDIS_URL=" + redisURL, "DATABASE_URL=" + alter(t, dsn, func(u *url.URL) { u.Path = "/nosuchdatabase" })},
			[]string{"DATABASE_URL", "nosuchdatabase"}},
		{"no such user", []string{"REDIS_URL=" + redisURL, "DATABASE_URL=" + alter(t, dsn, func(u *url.URL) { u.User = url.UserPassword("nobody-here", "hunter2") })},
			[]string{"DATABASE_URL", "nobody-here"}},
		{"no password for Redis", []string{"REDIS_URL=" + locked, "DATABASE_URL=" + dsn}, []string{"REDIS_URL", "password"}},
		{"wrong password for Redis", []string{"REDIS_URL=" + alter(t, locked, func(u *url.URL) { u.User = url.UserPassword("", "hunter2") }), "DATABASE_URL=" + dsn},
			[]string{"REDIS_URL", "password"}},
	}
	for _, test := range tests {
		for _, r := range roles() {
			t.Run(r.binary+": "+test.name, func(t *testing.T) {
				t.Parallel()
				data := t.TempDir() // there already, as serve makes one before it asks the stores
				e := invoke(t, "", with(with(r.env, blobs, "MILLRACE_DATA_DIR="+data, "MILLRACE_LOG_LEVEL=warn"), test.env...), r.binary, r.args...)
				checkRefused(t, e, r.binary, test.words...)
			})
		}
	}
}

// lock makes a Redis ask for a password.
func lock(t *testing.T, address string) {
	t.Helper()
	options, err := redis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(options)
	defer c.Close()
	if err := c.ConfigSet(t.Context(), "requirepass", "swordfish").Err(); err != nil {
		t.Fatal(err)
	}
}

func alter(t *testing.T, raw string, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

func TestFilesOfAnotherLedger(t *testing.T) {
	t.Parallel()
	s := start(t, "production") // the ledger belongs to this server's directory now
	for _, r := range roles() {
		t.Run(r.binary, func(t *testing.T) {
			env := with(r.env, "REDIS_URL="+s.redis, "BLOB_URL=file://"+t.TempDir(), "MILLRACE_DATA_DIR="+t.TempDir())
			for _, v := range s.env {
				if strings.HasPrefix(v, "DATABASE_URL=") {
					env = append(env, v)
				}
			}
			checkRefused(t, invoke(t, "", env, r.binary, r.args...), r.binary, "BLOB_URL", "not those of this ledger")
		})
	}
}
