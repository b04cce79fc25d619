package supervise_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/internal/supervise"
)

const deathSignal = true

// orphan is a child that the kernel will not kill with its supervisor, so that only the pipe can tell it.
func orphan(in *supervise.Inherited) int {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0); err != nil {
		return 3
	}
	ctx, cancel := in.Lifeline(context.Background(), time.Hour)
	defer cancel()
	in.Ready()
	<-ctx.Done()
	if context.Cause(ctx) != supervise.ErrOrphaned {
		return 3
	}
	return 0
}

// All threads of a nice child are nice, also those that its runtime had started before anybody could have told it to be.
func TestNice(t *testing.T) {
	t.Parallel()
	b := run(t, supervise.Config{Children: []supervise.Child{
		{Name: "api", Command: as("ready")},
		{Name: "worker", Command: as("ready"), Nice: 10},
	}})
	// Of the main thread: others of this process start children that are nice.
	priority, err := unix.Getpriority(unix.PRIO_PROCESS, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	own := 20 - priority
	for range 2 {
		e := b.next("ready")
		want := own
		if e.name == "worker" {
			want = max(own, 10)
		}
		for _, got := range niceOf(t, e.pid) {
			if got != want {
				t.Errorf("%s has a thread at nice %d, want %d", e.name, got, want)
			}
		}
	}
}

// Ctrl-C in a terminal goes to a whole process group; a child that got it too would count it as a second signal.
func TestChildrenHaveTheirOwnProcessGroup(t *testing.T) {
	t.Parallel()
	b := run(t, supervise.Config{Children: []supervise.Child{{Name: "child", Command: as("ready")}}})
	pid := b.ready(1)[0]
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("process group of %d = %d, %v, want its own", pid, group, err)
	}
}

// niceOf reads field 19 of each thread's stat.
func niceOf(t *testing.T, pid int) []int {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads of %d: %v, %v", pid, threads, err)
	}
	var all []int
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has just ended
		}
		text := string(stat)
		var nice int
		if _, err := fmt.Sscan(strings.Fields(text[strings.LastIndexByte(text, ')')+1:])[19-3], &nice); err != nil {
			t.Fatal(err)
		}
		all = append(all, nice)
	}
	return all
}

// Closing the terminal sends SIGHUP too, but then nobody asks for a roll.
func TestHangUpStops(t *testing.T) {
	t.Parallel()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	cmd := as("supervisor", nameVariable+"=ready")(0)
	cmd.Stdin = terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	p := startProgram(t, cmd)
	p.line("all ready")
	terminal.Close()
	master.Close()
	if code := p.exit(); code != 0 {
		t.Errorf("exit code = %d, want 0 after a drain", code)
	}
}
