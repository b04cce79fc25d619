//go:build linux

package chaos_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/testenv"
)

// host is a network namespace with a way to this machine's servers that can be cut, as a cable can.
type host struct {
	name, device string // the device is this machine's end of the cable
	addr         string // this machine's address on it
}

// newHost makes one, or skips the test in words where the kernel does not allow that. A shell holds it and removes it with the test.
func newHost(t *testing.T, n int) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: making a network namespace needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		if os.Getenv("MILLRACE_TEST_REQUIRE") == "1" {
			t.Fatal("there is no ip (package iproute2) to make a network namespace with")
		}
		t.Skip("skipped: there is no ip (package iproute2) to make a network namespace with")
	}
	tag := fmt.Sprintf("mill%d%c", os.Getpid()%100000, 'a'+n)
	h := &host{name: tag, device: tag, addr: fmt.Sprintf("10.%d.%d.1", 200+n, os.Getpid()%250)}
	peer := strings.TrimSuffix(h.addr, "1") + "2"
	script := `set -e
		{ ip netns add $1; trap 'ip netns del $1; ip link del $1 2>/dev/null || true' EXIT
		ip link add $1 type veth peer name p$1; ip link set p$1 netns $1
		ip addr add $2/30 dev $1; ip link set $1 up
		ip netns exec $1 ip addr add $3/30 dev p$1; ip netns exec $1 ip link set p$1 up; ip netns exec $1 ip link set lo up; } >&2
		echo made; cat >/dev/null`
	holder := exec.Command("/bin/sh", "-c", script, "host", h.name, h.addr, peer)
	var complaint strings.Builder
	holder.Stderr = &complaint
	hold, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() { hold.Close(); _, _ = io.Copy(io.Discard, out); _ = holder.Wait() })
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "made\n" {
		end()
		t.Skipf("skipped: the kernel refuses network namespaces: %s", strings.TrimSpace(complaint.String()))
	}
	t.Cleanup(end)
	return h
}

// cable sets the link up or down.
func (h *host) cable(t *testing.T, state string) {
	t.Helper()
	if out, err := exec.Command("ip", "link", "set", h.device, state).CombinedOutput(); err != nil {
		t.Fatalf("ip link set %s %s: %v: %s", h.device, state, err, out)
	}
}

// join starts a worker with one process on the host.
func (f *fleet) join(h *host, args ...string) {
	f.t.Helper()
	redis, pg := newLinkAt(f.t, h.addr+":0", h.name, f.redis.URL), newLinkAt(f.t, h.addr+":0", h.name, f.pg.URL)
	ip, err := exec.LookPath("ip")
	if err != nil {
		f.t.Fatal(err)
	}
	args = append([]string{"netns", "exec", h.name, filepath.Join(binaries, "worker"), "--processes", "1"}, args...)
	f.launch(h.name, ip, []string{"REDIS_URL=" + redis.url, "DATABASE_URL=" + pg.url}, args...)
}

// A worker on a second host takes work at once; two do nearly twice as much of what mostly waits; a host whose cable is pulled loses its jobs to the
// other one, and none ends twice.
//
// The figures are part of the verdict where CHAOS_MEASURE is set, which is for a machine that has nothing else to do.
func TestScaleOut(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	t.Parallel()
	one, two := newHost(t, 0), newHost(t, 1)
	f := newBareFleet(t)
	l := newLoad(t, f, 50)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := f.order(fault.Claimed, "sleep 250ms keep"); err != nil { // jobs that wait, as for an answer from elsewhere
		t.Fatal(err)
	}
	measured := os.Getenv("CHAOS_MEASURE") != ""

	f.join(one, "--cpu", "0", "--io", "16")
	single := l.throughput(ctx, 320)

	l.many(ctx, 700)
	f.join(two, "--cpu", "0", "--io", "16")
	l.awaitWorkers(t, 2)
	joined := time.Now()
	took := l.firstJobOf(t, ctx, joined)
	if left, _ := l.settle(ctx, time.Minute); len(left) > 0 {
		t.Fatalf("not final: %v", left)
	}
	both := l.throughput(ctx, 640)
	ratio := both / single
	t.Logf("one host %.0f jobs/s, two hosts %.0f jobs/s: %.2f times; the second had its first job %v after it was listed", single, both, ratio, took)
	if measured && (ratio < 1.8 || took > 2*time.Second) {
		t.Errorf("want 1.8 times and more, and the first job within 2 s")
	}

	l.many(ctx, 500)
	<-time.After(500 * time.Millisecond)
	cut := time.Now()
	two.cable(t, "down")
	left, _ := l.settle(ctx, 90*time.Second)
	if len(left) > 0 {
		t.Errorf("not final 90 s after the cable was pulled: %v", left)
	}
	two.cable(t, "up")
	checkOnce(t, f, cut)
}

// many submits that many jobs that wait.
func (l *load) many(ctx context.Context, n int) {
	var all sync.WaitGroup
	turns := make(chan struct{}, n)
	for range n {
		turns <- struct{}{}
	}
	close(turns)
	for range clients {
		all.Go(func() {
			for range turns {
				l.submit(ctx, l.next("checksum"))
			}
		})
	}
	all.Wait()
}

// throughput is how many waiting jobs a second are done, from the first start to the last end.
func (l *load) throughput(ctx context.Context, n int) float64 {
	l.t.Helper()
	since := time.Now()
	l.many(ctx, n)
	if left, _ := l.settle(ctx, time.Minute); len(left) > 0 {
		l.t.Fatalf("not final: %v", left)
	}
	first, last := time.Now(), since
	for _, j := range l.since(ctx, since) {
		if j.StartedAt.Before(first) {
			first = j.StartedAt
		}
		if j.FinishedAt.After(last) {
			last = j.FinishedAt
		}
	}
	return float64(n) / last.Sub(first).Seconds()
}

// since reads the jobs that were made after a moment.
func (l *load) since(ctx context.Context, moment time.Time) []jobView {
	l.t.Helper()
	var all []jobView
	query := map[string][]string{"limit": {"500"}, "created_after": {moment.UTC().Format(time.RFC3339Nano)}}
	for {
		jobs, next, err := l.page(ctx, query)
		if err != nil {
			l.t.Fatal(err)
		}
		all = append(all, jobs...)
		if next == "" {
			return all
		}
		query["cursor"] = []string{next}
	}
}

func (l *load) workers() map[string]time.Time {
	var page struct {
		Items []struct {
			ID, Role  string
			StartedAt time.Time `json:"started_at"`
		} `json:"items"`
	}
	_, _, _ = l.f.call(context.Background(), l.client, "GET", "/v1/workers", nil, nil, &page)
	found := make(map[string]time.Time)
	for _, w := range page.Items {
		if w.Role == "worker" {
			found[w.ID] = w.StartedAt
		}
	}
	return found
}

func (l *load) awaitWorkers(t *testing.T, n int) {
	t.Helper()
	if !eventually(30*time.Second, func() bool { return len(l.workers()) == n }) {
		t.Fatalf("%d worker processes are listed, want %d", len(l.workers()), n)
	}
}

// firstJobOf waits for a job that the newest worker has started, and says how long after its start that was.
func (l *load) firstJobOf(t *testing.T, ctx context.Context, joined time.Time) time.Duration {
	t.Helper()
	var newest string
	workers := l.workers()
	for id, started := range workers {
		if newest == "" || started.After(workers[newest]) {
			newest = id
		}
	}
	first := time.Duration(-1)
	if !eventually(20*time.Second, func() bool {
		for _, j := range l.since(ctx, joined.Add(-time.Minute)) {
			for _, a := range j.Attempts {
				if d := a.StartedAt.Sub(workers[newest]); a.Worker == newest && (first < 0 || d < first) {
					first = d
				}
			}
		}
		return first >= 0
	}) {
		t.Fatal("the second host took no job")
	}
	return first
}

// checkOnce reads what is left: every job ended once, though some began on a host that is gone.
func checkOnce(t *testing.T, f *fleet, cut time.Time) {
	t.Helper()
	f.stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ledger, err := f.open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	jobs, err := allJobs(ctx, ledger)
	if err != nil {
		t.Fatal(err)
	}
	moved, longest := 0, time.Duration(0)
	for _, j := range jobs {
		if j.State != millrace.Succeeded || j.Attempt != 1 {
			t.Errorf("job %s: %s, %d attempts spent: %+v", j.ID, j.State, j.Attempt, j.Attempts)
		}
		if i := slices.IndexFunc(j.Attempts, func(a millrace.Attempt) bool { return a.Outcome != millrace.AttemptSucceeded }); i >= 0 && i+1 < len(j.Attempts) {
			moved++
			longest = max(longest, j.Attempts[i+1].StartedAt.Sub(cut))
		}
	}
	if moved == 0 {
		t.Error("no job was on the host when its cable was pulled: nothing was shown")
	}
	t.Logf("%d jobs were on the host that was cut off; the last of them began elsewhere %v after", moved, longest.Round(time.Millisecond))
}

// newBareFleet is production without workers.
func newBareFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, mode: production, logs: t.TempDir(), orders: t.TempDir(), links: make(map[string]*link), units: make(map[string]*unit)}
	f.volume = &volume{dir: t.TempDir(), limited: "not a volume of its own"}
	f.redis, f.pg = testenv.StartRedis(t), testenv.StartPostgres(t, "max_connections=120")
	t.Cleanup(f.stop)
	f.launchWith("api", "api", "--addr", "127.0.0.1:0")
	f.launchWith("scheduler1", "scheduler", "--addr", "127.0.0.1:0")
	f.url = f.units["api"].waitReady(t)
	f.units["scheduler1"].waitReady(t)
	return f
}
