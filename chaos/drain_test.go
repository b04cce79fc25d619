//go:build linux

package chaos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// SIGTERM to any process under load ends it in time; nobody's attempt is spent and no client gets half an answer.
func TestDrainUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	t.Parallel()
	type victim struct {
		kind string
		lone bool // nobody else listens there: connections are refused while it is away
	}
	for mode, victims := range map[string][]victim{
		embedded:   {{"worker", false}, {"core", false}, {"serve", true}},
		production: {{"worker", false}, {"worker1", false}, {"leader", false}, {"stand-by", false}, {"api child", false}, {"api", true}},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, mode)
			l := newLoad(t, f, 60)
			for _, v := range victims {
				drainUnderFire(t, f, l, v.kind, v.lone)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			if left, _ := l.settle(ctx, time.Minute); len(left) > 0 {
				t.Errorf("not final a minute after the last drain: %v", left)
			}
			checkDrained(t, f)
		})
	}
}

// answers is what a client saw that opens a connection for each request, and must be accepted or refused, never dropped.
type answers struct {
	refused, broken atomic.Int64
	mu              sync.Mutex
	words           map[string]int
}

func (a *answers) note(err error) {
	if errors.Is(err, syscall.ECONNREFUSED) {
		a.refused.Add(1)
		return
	}
	a.broken.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	text := err.Error()
	a.words[text[strings.LastIndex(text, ": ")+1:]]++
}

func drainUnderFire(t *testing.T, f *fleet, l *load, kind string, lone bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	submitting, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { l.run(submitting, ctx) })
	all.Go(func() { l.submit(ctx, l.next("long")) }) // something to wait for
	seen := &answers{words: make(map[string]int)}
	for range 4 {
		all.Go(func() { hammer(submitting, f, l, seen) })
	}
	<-time.After(time.Second)
	took, code := endByTerm(f, kind)
	<-time.After(time.Second)
	stop()
	all.Wait()
	if code != 0 {
		t.Errorf("%s ended with %d after SIGTERM, want 0", kind, code)
	}
	if took > 35*time.Second { // 25 s for jobs, 20 s for requests, and some to write things down
		t.Errorf("%s took %v to end", kind, took)
	}
	if n := seen.broken.Load(); n > 0 {
		t.Errorf("SIGTERM of %s: %d requests on fresh connections got no whole answer: %v", kind, n, seen.words)
	}
	if n := seen.refused.Load(); n > 0 && !lone {
		t.Errorf("SIGTERM of %s: %d connections were refused although others serve", kind, n)
	}
	t.Logf("%-10s ended after %v; %d refused, %d broken", kind, took.Round(time.Millisecond), seen.refused.Load(), seen.broken.Load())
}

// hammer asks on a connection of its own each time.
func hammer(ctx context.Context, f *fleet, l *load, seen *answers) {
	c := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for ctx.Err() == nil {
		body := fmt.Appendf(nil, `{"type":"compute.checksum","params":{"algorithms":["crc32"]},"input":{"file":%q},"cache":false}`, l.inputs["tiny"])
		res, err := c.Post(f.url+"/v1/jobs", "application/json", bytes.NewReader(body))
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		if err != nil {
			seen.note(err)
		}
	}
}

// endByTerm tells a process to end, waits until it has, and says how. One that a supervisor started has no exit code that could be read here.
func endByTerm(f *fleet, kind string) (time.Duration, int) {
	pids := f.processes(kind)
	if len(pids) == 0 {
		return 0, -1
	}
	for _, u := range f.units {
		if p := u.current(); u.pid() == pids[0] {
			took, _ := u.term(50 * time.Second)
			u.waitReadyAgain(p)
			return took, p.cmd.ProcessState.ExitCode()
		}
	}
	began := time.Now()
	_ = signal(pids[0], syscall.SIGTERM)
	if !eventually(50*time.Second, func() bool { return syscall.Kill(pids[0], 0) != nil || partOf(pids[0]) == "" }) {
		return time.Since(began), -1
	}
	return time.Since(began), 0
}

// waitReadyAgain waits until the run after this one listens, where it says so.
func (u *unit) waitReadyAgain(before *proc) {
	eventually(30*time.Second, func() bool {
		now := u.current()
		if now == before {
			return false
		}
		select {
		case <-now.ready:
			return true
		default:
			return strings.HasPrefix(u.name, "worker")
		}
	})
}

func checkDrained(t *testing.T, f *fleet) {
	t.Helper()
	for _, u := range f.units {
		for _, text := range u.ownFaults() {
			t.Error(text)
		}
	}
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
	for _, j := range jobs {
		for _, a := range j.Attempts {
			if a.Outcome != millrace.AttemptSucceeded && a.Outcome != millrace.AttemptReleased && a.Outcome != millrace.AttemptCanceled &&
				(a.Error == nil || !a.Error.Code.Permanent()) {
				t.Errorf("job %s, attempt %d: %s %+v", j.ID, a.N, a.Outcome, a.Error)
			}
		}
	}
}
