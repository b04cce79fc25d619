package boot_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/cmd/internal/boot"
)

const secret = "0123456789abcdef0123456789abcdef"

// stores is what the roles by themselves need.
func stores() map[string]string {
	return map[string]string{"REDIS_URL": "redis://127.0.0.1:1/0", "DATABASE_URL": "postgres://127.0.0.1:1/mill", "BLOB_URL": "file:///srv/mill"}
}

func load(t *testing.T, role boot.Role, env map[string]string, args ...string) boot.Config {
	t.Helper()
	c, err := boot.Load(role, args, env)
	if err != nil {
		t.Fatalf("%s %q: %v", role, args, err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	serve := load(t, boot.Serve, nil)
	if serve.Addr != "127.0.0.1:8080" || serve.Workers != runtime.NumCPU() || serve.CPU != 1 || serve.IO != 16 || serve.Grace != 25*time.Second ||
		serve.MaxUpload != 10<<30 || serve.BlobDir() != "data/blobs" {
		t.Errorf("serve = %+v", serve)
	}
	worker := load(t, boot.Workers, stores())
	if worker.Processes != runtime.NumCPU() || worker.BlobDir() != "/srv/mill" {
		t.Errorf("worker = %+v", worker)
	}
	api := load(t, boot.API, stores())
	if api.Processes != 1 {
		t.Errorf("api = %+v", api)
	}
	if scheduler := load(t, boot.Scheduler, stores()); scheduler.Addr == api.Addr {
		t.Errorf("api and scheduler both listen on %s where nobody says anything else", api.Addr)
	}
}

func TestFlagWinsOverVariable(t *testing.T) {
	t.Parallel()
	env := map[string]string{"MILLRACE_WORKERS": "3", "MILLRACE_LOG_LEVEL": "debug", "MILLRACE_HOSTS": "a.example,b.example:8080", "MILLRACE_GRACE": "90s",
		"MILLRACE_MEMORY": "1GiB", "MILLRACE_PUBLIC_METRICS": "true", "MILLRACE_PROCESSES": "of another role"}
	c := load(t, boot.Serve, env, "--workers=5", "--public-metrics=false")
	if c.Workers != 5 || c.PublicMetrics {
		t.Errorf("workers = %d, public metrics = %v; want those of the flags", c.Workers, c.PublicMetrics)
	}
	if c.LogLevel != "debug" || !slices.Equal(c.Hosts, []string{"a.example", "b.example:8080"}) || c.Grace != 90*time.Second || c.Memory != 1<<30 {
		t.Errorf("config = %+v, want what the variables say", c)
	}
	if _, err := boot.Load(boot.Serve, []string{"--log-level=info"}, map[string]string{"MILLRACE_CPU": ""}); err != nil {
		t.Errorf("an empty variable: %v, want it to count as not set", err)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := load(t, boot.Serve, map[string]string{"MILLRACE_ADMIN_KEY_FILE": file("key", secret+"\n"), "MILLRACE_JWT_SECRET_FILE": file("jwt", " "+secret+"\r\n"),
		"REDIS_URL_FILE": file("redis", "redis://:pw@mill:6379/0\n"), "DATABASE_URL_FILE": file("database", "postgres://u:pw@mill/mill")})
	if c.AdminKey != secret || c.JWTSecret != " "+secret || c.RedisURL != "redis://:pw@mill:6379/0" || c.Database != "postgres://u:pw@mill/mill" {
		t.Errorf("config = %+v, want the files' contents without their line ends", c)
	}
}

func TestOnlyLoopbackIsOpen(t *testing.T) {
	t.Parallel()
	tests := []struct {
		addr string
		open bool // without a key
	}{
		{"127.0.0.1:8080", true}, {"127.8.8.8:0", true}, {"localhost:80", true}, {"LOCALHOST:80", true}, {"[::1]:8080", true}, {"[::ffff:127.0.0.1]:80", true},
		{":8080", false}, {"0.0.0.0:8080", false}, {"[::]:8080", false}, {"10.0.0.1:8080", false}, {"mill.example:8080", false}, {"localhost.example:80", false},
	}
	for _, test := range tests {
		for _, role := range []boot.Role{boot.Serve, boot.API, boot.Scheduler} {
			_, err := boot.Load(role, []string{"--addr", test.addr}, stores())
			if (err == nil) != test.open {
				t.Errorf("%s --addr %s without a key: %v, want open: %v", role, test.addr, err, test.open)
			}
			for _, name := range []string{"MILLRACE_ADMIN_KEY", "MILLRACE_JWT_SECRET"} {
				env := maps.Clone(stores())
				env[name] = secret
				if _, err := boot.Load(role, []string{"--addr", test.addr}, env); err != nil {
					t.Errorf("%s --addr %s with %s: %v", role, test.addr, name, err)
				}
			}
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want int64 // 0: refused
	}{
		{"512MiB", 512 << 20}, {"1GiB", 1 << 30}, {"1GB", 1e9}, {"70000000", 70_000_000}, {"1.5GiB", 3 << 29}, {"100 MiB", 100 << 20},
		{"", 0}, {"MiB", 0}, {"-1GiB", 0}, {"1XB", 0}, {"9000PiB", 0}, {"16EiB", 0}, {"63MiB", 0},
	}
	for _, test := range tests {
		c, err := boot.Load(boot.Serve, []string{"--memory=" + test.text}, nil)
		switch {
		case test.want == 0 && err == nil:
			t.Errorf("--memory=%q = %d, want it refused", test.text, c.Memory)
		case test.want != 0 && (err != nil || int64(c.Memory) != test.want):
			t.Errorf("--memory=%q = %d, %v; want %d", test.text, c.Memory, err, test.want)
		case test.want != 0 && boot.MemoryBudget(c) != test.want:
			t.Errorf("--memory=%q gives a budget of %d", test.text, boot.MemoryBudget(c))
		}
	}
}

func TestBudgetIsSharedByTheProcesses(t *testing.T) {
	t.Parallel()
	one := boot.MemoryBudget(load(t, boot.Workers, stores(), "--processes=1"))
	two := boot.MemoryBudget(load(t, boot.Workers, stores(), "--processes=2"))
	served := boot.MemoryBudget(load(t, boot.Serve, nil, "--workers=2"))
	if one <= 0 || two > one || two != served {
		t.Errorf("budgets: %d alone, %d each of two, %d each of two that are served", one, two, served)
	}
	if one/2 > 128<<20 && two != one/2 {
		t.Errorf("budget of each of two = %d, want half of %d", two, one)
	}
}

func TestMistakesAreConfigErrors(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--workers=x"}, {"--bogus"}, {"--workers"}, {"--workers=600"}, {"--hosts=a b"}, {"--hosts=*.example"}} {
		_, err := boot.Load(boot.Serve, args, nil)
		config, ok := errors.AsType[*boot.ConfigError](err)
		if !ok || boot.ExitCode(err) != 2 || strings.ContainsAny(config.Line, "\r\n") || !strings.Contains(config.Line, "--") {
			t.Errorf("%q: %v (exit code %d), want one line about a flag and 2", args, err, boot.ExitCode(err))
		}
	}
	if code := boot.ExitCode(errors.New("the machine is on fire")); code != 1 {
		t.Errorf("exit code of another error = %d, want 1", code)
	}
}
