package supervise_test

import (
	"errors"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/supervise"
)

func TestRestartAfterKill(t *testing.T) {
	t.Parallel()
	b := run(t, supervise.Config{Children: []supervise.Child{{Name: "child", Command: as("ready"), Count: 2}}})
	first := b.ready(2)
	kill(t, first[1])
	e := b.next("exit")
	if e.pid != first[1] || e.exit.Asked || e.exit.State.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("exit = %+v, want pid %d, not asked, killed", e.exit, first[1])
	}
	if again := b.next("ready"); again.pid == first[1] || again.instance != e.instance {
		t.Errorf("ready again = %+v, want a new process for instance %d", again, e.instance)
	}
	if _, alive := supervise.ProcessStart(first[0]); !alive {
		t.Error("the other instance did not stay")
	}
	b.stop()
	if err := b.end(); err != nil {
		t.Errorf("Run = %v, want nil after a stop", err)
	}
}

// The delays are read from the log, since measured ones would make the verdict depend on the machine.
func TestRestartDelays(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		healthy time.Duration
		want    []string
	}{
		{"grow while it keeps dying", time.Hour, []string{"100ms", "200ms", "250ms", "250ms"}},
		{"begin anew after health", 1, []string{"100ms", "100ms", "100ms", "100ms"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := run(t, supervise.Config{
				Healthy:  tt.healthy,
				Children: []supervise.Child{{Name: "child", Command: as("ready"), MaxDelay: 250 * time.Millisecond}},
			})
			for range tt.want {
				kill(t, b.next("ready").pid)
			}
			b.next("ready")
			var got []string
			for _, m := range regexp.MustCompile(`delay=(\S+)`).FindAllStringSubmatch(b.log.String(), -1) {
				got = append(got, m[1])
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("delays = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestFailsForGood(t *testing.T) {
	t.Parallel()
	missing := func(int) *exec.Cmd { return exec.Command("/does/not/exist") }
	tests := []struct {
		name    string
		command func(int) *exec.Cmd
		starts  int
		code    int
		text    string
	}{
		{"wrong configuration", as("config"), 1, 2, "refused its configuration"},
		{"five early deaths", as("early"), 5, 1, "died 5 times before it was ready: exit status 1"},
		{"no such program", missing, 0, 1, "died 5 times before it was ready: start: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := run(t, supervise.Config{Children: []supervise.Child{
				{Name: "other", Command: as("ready")},
				{Name: "child", Command: tt.command, Count: 3, MaxDelay: time.Millisecond},
			}})
			err := b.end()
			if f := new(supervise.Failure); !errors.As(err, &f) || f.Name != "child" || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Run = %v, want a failure of child with %q", err, tt.text)
			}
			if code := supervise.ExitCode(err); code != tt.code {
				t.Errorf("ExitCode = %d, want %d", code, tt.code)
			}
			starts, others := 0, 0
			for _, e := range b.rest() {
				if e.kind == "start" && e.name == "child" {
					starts++
				}
				if e.kind == "exit" && e.name == "other" {
					others++
				}
			}
			if starts != tt.starts || others != 1 {
				t.Errorf("%d starts and %d ends of the other child, want %d and 1", starts, others, tt.starts)
			}
		})
	}
}

// Go programs exit with 2 after a panic too; once a child has worked, that is a crash.
func TestExitCode2AfterReadyIsACrash(t *testing.T) {
	t.Parallel()
	b := run(t, supervise.Config{Children: []supervise.Child{{Name: "child", Command: as("ready then 2"), MaxDelay: time.Millisecond}}})
	for range 7 {
		if e := b.next("exit"); e.exit.State.ExitCode() != 2 {
			t.Fatalf("exit = %v, want status 2", e.exit.State)
		}
	}
	b.stop()
	if err := b.end(); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func TestEarlyDeathsBesideAReadySibling(t *testing.T) {
	t.Parallel()
	command := func(i int) *exec.Cmd { return as([]string{"ready", "early"}[i])(i) }
	b := run(t, supervise.Config{Children: []supervise.Child{{Name: "child", Command: command, Count: 2, MaxDelay: time.Millisecond}}})
	for range 8 {
		if e := b.next("exit"); e.instance != 1 {
			t.Fatalf("instance %d ended, want only 1 to", e.instance)
		}
	}
	b.stop()
	if err := b.end(); err != nil {
		t.Errorf("Run = %v, want nil: one instance worked all along", err)
	}
}

func TestOnReadyOnce(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	called := make(chan struct{}, 10)
	b := run(t, supervise.Config{
		OnReady:  func() { calls.Add(1); called <- struct{}{} },
		Children: []supervise.Child{{Name: "a", Command: as("ready")}, {Name: "b", Command: as("ready"), Count: 2}},
	})
	pids := b.ready(3)
	<-called
	kill(t, pids[0])
	b.next("ready")
	b.stop()
	if err := b.end(); err != nil || calls.Load() != 1 {
		t.Errorf("Run = %v with %d calls of OnReady, want nil and 1", err, calls.Load())
	}
}

func TestSenselessConfig(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		children []supervise.Child
		want     string
	}{
		{"none", nil, "no children"},
		{"no command", []supervise.Child{{Name: "a"}}, "Command"},
		{"no name", []supervise.Child{{Command: as("ready")}}, "Name"},
		{"negative count", []supervise.Child{{Name: "a", Command: as("ready"), Count: -1}}, "Count is -1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := supervise.Run(t.Context(), supervise.Config{Children: tt.children}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run = %v, want an error with %q", err, tt.want)
			}
		})
	}
}
