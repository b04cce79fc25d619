package supervise_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/supervise"
)

// The children write down when they were asked and when they ended: core must not hear of the stop before the last worker has ended.
func TestStopsInReverseOrder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "trace")
	command := func(name string) supervise.Child {
		return supervise.Child{Name: name, Command: as("trace", traceVariable+"="+file, nameVariable+"="+name)}
	}
	worker := command("worker")
	worker.Count = 2
	b := run(t, supervise.Config{Children: []supervise.Child{command("core"), worker}})
	b.ready(3)
	b.stop()
	if err := b.end(); err != nil {
		t.Fatalf("Run = %v, want nil", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 6 || !slices.Equal(lines[4:], []string{"core term", "core end"}) {
		t.Errorf("trace = %q, want four lines of workers, then core term and core end", lines)
	}
	for _, e := range b.rest() {
		if e.kind == "exit" && (!e.exit.Asked || e.exit.Overrun || !e.exit.State.Success()) {
			t.Errorf("exit = %+v, want asked, in time, status 0", e.exit)
		}
	}
}

func TestOverrunIsKilled(t *testing.T) {
	t.Parallel()
	b := run(t, supervise.Config{
		Grace: time.Millisecond, Margin: time.Millisecond,
		Children: []supervise.Child{{Name: "child", Command: as("stubborn")}},
	})
	b.ready(1)
	b.stop()
	if err := b.end(); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if e := b.next("exit"); !e.exit.Asked || !e.exit.Overrun {
		t.Errorf("exit = %+v, want asked and overrun", e.exit)
	}
}

func TestKillSkipsTheGrace(t *testing.T) {
	t.Parallel()
	b := run(t, supervise.Config{
		Grace:    time.Hour,
		Children: []supervise.Child{{Name: "core", Command: as("stubborn")}, {Name: "worker", Command: as("stubborn"), Count: 2}},
	})
	b.ready(3)
	b.stop()
	close(b.kill)
	if err := b.end(); !errors.Is(err, supervise.ErrKilled) || supervise.ExitCode(err) != 1 {
		t.Errorf("Run = %v, want ErrKilled", err)
	}
}

func TestStopWhileWaitingToRestart(t *testing.T) {
	t.Parallel()
	b := run(t, supervise.Config{Children: []supervise.Child{{Name: "child", Command: as("early"), Count: 2}}})
	b.next("exit")
	b.stop()
	if err := b.end(); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func TestSignalsStopAndKill(t *testing.T) {
	t.Parallel()
	t.Run("one drains", func(t *testing.T) {
		t.Parallel()
		p := startProgram(t, as("supervisor", nameVariable+"=ready,ready")(0))
		p.line("all ready")
		p.signal(syscall.SIGTERM)
		if code := p.exit(); code != 0 {
			t.Errorf("exit code = %d, want 0", code)
		}
	})
	t.Run("a second kills", func(t *testing.T) {
		t.Parallel()
		p := startProgram(t, as("supervisor", nameVariable+"=stubborn speaker")(0))
		p.line("all ready")
		p.signal(syscall.SIGINT)
		p.line("asked to end")
		// Until it ends: signals right after the first are taken for the same wish.
		p.insist(syscall.SIGTERM, "ended: "+supervise.ErrKilled.Error())
		if code := p.exit(); code != 1 {
			t.Errorf("exit code = %d, want 1", code)
		}
	})
	t.Run("a wrong configuration ends with 2", func(t *testing.T) {
		t.Parallel()
		p := startProgram(t, as("supervisor", nameVariable+"=ready,config")(0))
		if code := p.exit(); code != 2 {
			t.Errorf("exit code = %d, want 2", code)
		}
	})
}

func TestSignalsRoll(t *testing.T) {
	t.Parallel()
	p := startProgram(t, as("supervisor", nameVariable+"=ready")(0))
	first := p.line("ready ")
	p.line("all ready")
	p.signal(syscall.SIGHUP)
	p.line("exit " + first + " exit status 0")
	if again := p.line("ready "); again == first {
		t.Errorf("ready again = %s, want another process", again)
	}
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
}

// kill -9 of a supervisor must not leave children behind, neither where the kernel sees to it nor where only the pipe tells them.
func TestChildrenEndWithTheSupervisor(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"stubborn", "orphan"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			p := startProgram(t, as("supervisor", nameVariable+"="+role)(0))
			var pid int
			if _, err := fmt.Sscan(p.line("ready "), &pid); err != nil {
				t.Fatal(err)
			}
			if role == "stubborn" && !deathSignal {
				t.Skip("no parent-death signal on this system")
			}
			p.signal(syscall.SIGKILL)
			gone(t, pid)
		})
	}
}
