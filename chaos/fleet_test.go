//go:build linux

package chaos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/postgres"
	"github.com/millrace/millrace/store/sqlite"
)

// The two arrangements.
const (
	production = "production"
	embedded   = "embedded"
)

// fleet is a running Millrace with everything it stands on.
type fleet struct {
	t      testing.TB
	mode   string
	logs   string // directory of the units' logs
	orders string // directory of the orders to internal/fault
	volume *volume
	redis  *testenv.RedisServer
	pg     *testenv.PostgresServer
	links  map[string]*link // "api/redis", "worker1/postgres", …
	units  map[string]*unit
	url    string
}

// newFleet starts a server with an empty ledger; it ends with the test.
func newFleet(t testing.TB, mode string) *fleet {
	t.Helper()
	f := &fleet{t: t, mode: mode, logs: t.TempDir(), orders: t.TempDir(), links: make(map[string]*link), units: make(map[string]*unit)}
	if dir := os.Getenv("CHAOS_LOGS"); dir != "" {
		f.logs = filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-"))
		if err := os.MkdirAll(f.logs, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	f.volume = newVolume(t, 768)
	if mode == production {
		f.redis, f.pg = testenv.StartRedis(t), testenv.StartPostgres(t, "max_connections=120")
	}
	t.Cleanup(f.stop)
	if mode == embedded {
		f.launch("serve", "millrace", nil, "serve", "--addr", "127.0.0.1:0", "--workers", "2")
		f.url = f.units["serve"].waitReady(t)
		return f
	}
	f.launchWith("api", "api", "--addr", "127.0.0.1:0", "--processes", "2")
	for _, name := range []string{"scheduler1", "scheduler2"} {
		f.launchWith(name, "scheduler", "--addr", "127.0.0.1:0")
	}
	for _, name := range []string{"worker1", "worker2"} {
		f.launchWith(name, "worker", "--processes", "2")
	}
	f.url = f.units["api"].waitReady(t)
	f.units["scheduler1"].waitReady(t)
	return f
}

// launchWith starts a unit of production behind links of its own.
func (f *fleet) launchWith(name, binary string, args ...string) {
	f.t.Helper()
	redis, pg := newLink(f.t, name+"/redis", f.redis.URL), newLink(f.t, name+"/postgres", f.pg.URL)
	f.links[name+"/redis"], f.links[name+"/postgres"] = redis, pg
	f.launch(name, binary, []string{"REDIS_URL=" + redis.url, "DATABASE_URL=" + pg.url}, args...)
}

func (f *fleet) launch(name, binary string, env []string, args ...string) {
	f.t.Helper()
	env = append(append(cleanEnv(), env...), "MILLRACE_DATA_DIR="+filepath.Join(f.volume.dir, "data"), "MILLRACE_FAULTS="+f.orders, "MILLRACE_LOG_LEVEL=info")
	u, err := newUnit(f.logs, name, binary, env, args...)
	if err != nil {
		f.t.Fatalf("start %s: %v", name, err)
	}
	f.units[name] = u
}

// last are the units that others depend on.
var last = []string{"scheduler1", "scheduler2", "api", "serve"}

// stop ends every unit, those that others depend on last, and shows the logs of a failed test.
func (f *fleet) stop() {
	f.withdrawAll()
	names := slices.SortedFunc(maps.Keys(f.units), func(a, b string) int { return slices.Index(last, a) - slices.Index(last, b) })
	for _, name := range names {
		u := f.units[name]
		if !u.stop() {
			f.t.Errorf("%s did not end within a minute of SIGTERM", name)
		}
		if f.t.Failed() {
			f.t.Logf("log of %s:\n%s", name, tail(u.log.Name(), 3000))
		}
	}
	f.units = map[string]*unit{}
}

// open opens the ledger from beside, once nobody writes it any more.
func (f *fleet) open(ctx context.Context) (store.Ledger, error) {
	if f.mode == production {
		return postgres.Open(ctx, postgres.Config{DSN: f.pg.URL, MaxConns: 4})
	}
	return sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(f.volume.dir, "data", "millrace.db")})
}

// order tells the processes what to do at a named moment.
func (f *fleet) order(point, text string) error {
	// Renamed into place: half an order would be none.
	temp := filepath.Join(f.orders, ".new-"+point)
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(f.orders, point))
}

// withdraw takes one order back.
func (f *fleet) withdraw(point string) { _ = os.Remove(filepath.Join(f.orders, point)) }

// withdrawAll takes all orders back.
func (f *fleet) withdrawAll() {
	entries, _ := os.ReadDir(f.orders)
	for _, e := range entries {
		if e.Name() != "strikes.log" {
			f.withdraw(e.Name())
		}
	}
}

// ownStrike is what a process wrote before it did something to itself.
type ownStrike struct {
	at            time.Time
	point, action string
	pid           int
	child         string // the part that its supervisor gave it, or "-"
}

func (f *fleet) ownStrikes() []ownStrike {
	raw, _ := os.ReadFile(filepath.Join(f.orders, "strikes.log"))
	var all []ownStrike
	for line := range strings.Lines(string(raw)) {
		w := strings.Fields(line)
		if len(w) != 5 {
			continue
		}
		nanos, _ := strconv.ParseInt(w[0], 10, 64)
		pid, _ := strconv.Atoi(w[3])
		all = append(all, ownStrike{time.Unix(0, nanos), w[1], w[2], pid, w[4]})
	}
	return all
}

// processes finds the running processes of a kind; see the plans for the names.
func (f *fleet) processes(kind string) []int {
	switch kind {
	case "worker":
		var pids []int
		for _, name := range []string{"worker1", "worker2", "serve"} {
			if u := f.units[name]; u != nil {
				pids = append(pids, u.children("worker")...)
			}
		}
		return pids
	case "api child":
		return f.units["api"].children("api")
	case "core":
		return f.units["serve"].children("core")
	case "leader", "stand-by":
		leader := f.leader()
		var pids []int
		for _, name := range []string{"scheduler1", "scheduler2"} {
			if pid := f.units[name].pid(); (pid == leader) == (kind == "leader") {
				pids = append(pids, pid)
			}
		}
		return pids
	}
	return []int{f.units[kind].pid()}
}

// leader is the pid of the scheduler that leads, or 0. It is read from the lease, whose holder is <host>/<pid>/<chance>.
func (f *fleet) leader() int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, f.pg.URL)
	if err != nil {
		return 0
	}
	defer conn.Close(ctx)
	var holder string
	if conn.QueryRow(ctx, "SELECT holder FROM leases WHERE name = 'scheduler' AND expires_at > now()").Scan(&holder) != nil {
		return 0
	}
	parts := strings.Split(holder, "/")
	pid, _ := strconv.Atoi(parts[max(0, len(parts)-2)])
	return pid
}

// signal sends to a process that is still the one it was a moment ago.
func signal(pid int, s syscall.Signal) error { return syscall.Kill(pid, s) }

// stopped says whether a process is frozen by a signal.
func stopped(pid int) bool {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	text := string(raw)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	return len(fields) > 0 && fields[0] == "T"
}

// call asks the API over a client and decodes what it answers.
func (f *fleet) call(ctx context.Context, c *http.Client, method, path string, body []byte, header map[string]string, answer any) (int, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, f.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := c.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("an answer that broke off: %w", err)
	}
	if answer != nil && len(raw) > 0 {
		if err := json.Unmarshal(raw, answer); err != nil {
			return res.StatusCode, res.Header, fmt.Errorf("answer %d %.200q: %w", res.StatusCode, raw, err)
		}
	}
	return res.StatusCode, res.Header, nil
}

// cleanEnv is the environment without anything that configures Millrace.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "MILLRACE_") || name == "REDIS_URL" || name == "DATABASE_URL" || name == "BLOB_URL"
	})
}

// eventually polls until done answers true, or the patience is over.
func eventually(patience time.Duration, done func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}
