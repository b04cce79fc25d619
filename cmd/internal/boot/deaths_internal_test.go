//go:build unix

package boot

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/supervise"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store"
)

// ended is the exit of a process that ran a line of shell.
func ended(t *testing.T, script string) supervise.Exit {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	_ = cmd.Run() // how it ends is the point
	return supervise.Exit{PID: cmd.Process.Pid, State: cmd.ProcessState}
}

func TestDeath(t *testing.T) {
	t.Parallel()
	asked, overrun := ended(t, "kill -9 $$"), ended(t, "kill -9 $$")
	asked.Asked, overrun.Overrun = true, true
	loud := func(tail string) supervise.Exit {
		exit := ended(t, "exit 2")
		exit.Tail = tail
		return exit
	}
	for name, tt := range map[string]struct {
		exit supervise.Exit
		want store.Death
	}{
		"failed":  {ended(t, "exit 3"), store.Death{Crash: true, Detail: "exit status 3"}},
		"killed":  {ended(t, "kill -9 $$"), store.Death{Crash: true, Detail: "signal: killed (out of memory?)"}},
		"done":    {ended(t, "exit 0"), store.Death{Detail: "exit status 0"}},
		"asked":   {asked, store.Death{Detail: "signal: killed (out of memory?)"}},
		"overrun": {overrun, store.Death{Detail: "killed, because it did not end in time"}},
		"panic":   {loud("working on ada's file\npanic: too much\n\ngoroutine 1"), store.Death{Crash: true, Detail: "exit status 2: it panicked"}},
		"memory": {loud("fatal error: runtime: out of memory\n…\nruntime: out of memory: cannot allocate"),
			store.Death{Crash: true, Detail: "exit status 2: it ran out of memory"}},
		"fatal":   {loud("fatal error: concurrent map writes\n"), store.Death{Crash: true, Detail: "exit status 2: it met a fatal error"}},
		"chatty":  {loud("a row says panic: too much"), store.Death{Crash: true, Detail: "exit status 2"}},
		"unknown": {supervise.Exit{}, store.Death{Detail: "unknown"}},
	} {
		if got := death(tt.exit); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// What a process wrote last may be about any tenant: it goes to the server's log and nowhere else.
func TestLastLinesStayInTheLog(t *testing.T) {
	t.Parallel()
	rig := testrig.New(t)
	exit := ended(t, "exit 2")
	exit.Tail = "reading invoice-of-ada.csv\npanic: bad row of ada"
	job := holder(t, rig, exit.PID, "ours")
	var buried, sent bytes.Buffer
	b := newBurials(rig.Ledger, slog.New(slog.NewTextHandler(&buried, nil)))
	b.started(exit.PID)
	b.ended(exit)
	attempts := rig.Job(job).Attempts
	if len(attempts) != 1 || attempts[0].Error == nil || !strings.Contains(attempts[0].Error.Message, "it panicked") {
		t.Fatalf("attempts = %+v, want one that says that its process panicked", attempts)
	}
	if strings.Contains(attempts[0].Error.Message, "ada") {
		t.Errorf("the attempt shows what the process wrote: %q", attempts[0].Error.Message)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	(&sender{log: slog.New(slog.NewTextHandler(&sent, nil)), to: write}).ended(exit)
	_ = write.Close()
	if word, err := io.ReadAll(read); err != nil || bytes.Contains(word, []byte("ada")) {
		t.Errorf("the word to core = %s, %v", word, err)
	}
	for name, log := range map[string]*bytes.Buffer{"burials": &buried, "sender": &sent} {
		if n := strings.Count(log.String(), "bad row of ada"); n != 1 {
			t.Errorf("the log of the %s has the lines %d times, want once:\n%s", name, n, log)
		}
	}
}

// holder registers a worker process that runs one job, and answers the job.
func holder(t *testing.T, rig *testrig.Rig, pid int, bootID string) string {
	t.Helper()
	host, err := supervise.Host()
	if err != nil {
		t.Fatal(err)
	}
	worker, job := uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()
	start, _ := supervise.ProcessStart(pid)
	err = rig.Ledger.Register(t.Context(), millrace.Worker{ID: worker, Host: host.Name, BootID: strings.Replace(bootID, "ours", host.BootID, 1), PID: pid,
		PIDStart: start, Role: "worker", CPUSlots: 1})
	if err != nil {
		t.Fatal(err)
	}
	row := store.NewJob{Job: &millrace.Job{ID: job, Tenant: millrace.DefaultTenant, Type: "test.work", State: millrace.Queued, Priority: millrace.Normal,
		Queue: "cpu.normal", Params: []byte(`{}`), Run: 1, MaxAttempts: 1, Timeout: time.Minute, Retention: time.Hour}}
	if errs := rig.Ledger.Insert(t.Context(), []store.NewJob{row}); errs[0] != nil {
		t.Fatal(errs[0])
	}
	if claimed, err := rig.Ledger.Claim(t.Context(), worker, []store.Delivery{{Job: job}}); err != nil || claimed[0].Job == nil {
		t.Fatalf("claim: %+v, %v", claimed, err)
	}
	return job
}

// Of the processes of a host only the one whose end was seen has crashed; those of this supervisor wait for their own turn, and those in other
// containers are nobody's to judge.
func TestBurialsNameTheOneThatCrashed(t *testing.T) {
	t.Parallel()
	rig := testrig.New(t)
	b := newBurials(rig.Ledger, slog.New(slog.DiscardHandler))
	exit, sibling, stranger := ended(t, "exit 2"), ended(t, "exit 2"), ended(t, "exit 2")
	b.started(exit.PID)
	b.started(sibling.PID)
	crashed, waiting := holder(t, rig, exit.PID, "ours"), holder(t, rig, sibling.PID, "ours")
	lost, alive, elsewhere := holder(t, rig, stranger.PID, "ours"), holder(t, rig, os.Getpid(), "ours"), holder(t, rig, stranger.PID, "ours[other]")
	b.ended(exit)
	check := func(what, id string, state millrace.State, crashes int) {
		t.Helper()
		if job := rig.Job(id); job.State != state || job.Crashes != crashes {
			t.Errorf("%s: the job is %s with %d crashes, want %s with %d", what, job.State, job.Crashes, state, crashes)
		}
	}
	check("the one that ended", crashed, millrace.Queued, 1)
	check("a child whose end was not seen yet", waiting, millrace.Running, 0)
	check("a process of somebody else's that is gone", lost, millrace.Queued, 0)
	check("a process that lives", alive, millrace.Running, 0)
	check("a process in another container", elsewhere, millrace.Running, 0)
	b.ended(sibling)
	check("the child, once its end was seen", waiting, millrace.Queued, 1)
}

func TestWordReachesCore(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	s, r := &sender{log: slog.New(slog.DiscardHandler), to: write}, newReceiver()
	ctx, stop := context.WithCancel(t.Context())
	listening := make(chan error, 1)
	go func() { listening <- r.listen(ctx, read) }()
	want := store.Death{Crash: true, Detail: "exit status 2"}

	exit := ended(t, "exit 2")
	early := make(chan store.Death, 1)
	go func() { early <- r.of(t.Context(), exit.PID) }() // the connection ends before the word comes
	s.started(exit.PID)
	s.ended(exit)
	if got := <-early; got != want {
		t.Errorf("asked before: %+v, want %+v", got, want)
	}

	s.ended(exit)
	fmt.Fprint(write, `{"pid":1,"ended":tr`) // what a cut write leaves
	other := exit
	other.PID++
	s.ended(other)
	if got := r.of(t.Context(), other.PID); got != want {
		t.Errorf("after a line that was cut: %+v, want %+v", got, want)
	}
	s.started(exit.PID) // the number again: the word on the one before counts for nothing
	last := other
	last.PID++
	s.ended(last)
	_ = r.of(t.Context(), last.PID) // heard after the start
	brief, cancel := context.WithCancel(t.Context())
	cancel()
	if got := r.of(brief, exit.PID); got != (store.Death{}) {
		t.Errorf("a process that lives: %+v", got)
	}
	stop()
	if err := <-listening; err != nil {
		t.Errorf("listen = %v", err)
	}
}

// A core that does not listen holds up no supervisor.
func TestWordWaitsForNobody(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	s := &sender{log: slog.New(slog.DiscardHandler), to: write}
	exit := ended(t, "exit 2")
	exit.Tail = strings.Repeat("x", 4<<10)
	for range 30 { // twice what a pipe holds
		s.ended(exit)
	}
}
