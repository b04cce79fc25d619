package supervise_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/supervise"
)

// call wants the child "helper" each time that it gets SIGUSR1.
func call(in *supervise.Inherited) int {
	ctx, wishes, release := notifyUser(in)
	defer release()
	for {
		select {
		case <-wishes:
			if err := in.Want("helper"); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 3
			}
		case <-ctx.Done():
			return 0
		}
	}
}

// notifyUser is ready, and hears signals.
func notifyUser(in *supervise.Inherited) (context.Context, <-chan os.Signal, func()) {
	ctx, _, release := supervise.Notify(context.Background())
	wishes := make(chan os.Signal, 8)
	signal.Notify(wishes, syscall.SIGUSR1)
	_ = in.Ready()
	return ctx, wishes, release
}

// onDemand ends with the exit code that stands in the file nameVariable, once it is there, or on SIGTERM with 0.
func onDemand(in *supervise.Inherited) int {
	ctx, _, release := notifyUser(in)
	defer release()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return 0
		case <-tick.C:
			text, err := os.ReadFile(os.Getenv(nameVariable))
			if err != nil || len(text) == 0 {
				continue
			}
			var code int
			if _, err := fmt.Sscan(string(text), &code); err != nil || os.Remove(os.Getenv(nameVariable)) != nil {
				return 3
			}
			return code
		}
	}
}

// demand is a supervisor with a caller and a helper that it may want.
type demand struct {
	*bench
	caller int
	file   string
}

func newDemand(t *testing.T) *demand {
	file := filepath.Join(t.TempDir(), "code")
	b := run(t, supervise.Config{Children: []supervise.Child{
		{Name: "caller", Command: as("caller")},
		{Name: "helper", Command: as("on demand", nameVariable+"="+file), OnDemand: true, MaxDelay: 10 * time.Millisecond},
	}})
	return &demand{b, b.ready(1)[0], file}
}

func (d *demand) want() {
	d.t.Helper()
	if err := syscall.Kill(d.caller, syscall.SIGUSR1); err != nil {
		d.t.Fatal(err)
	}
}

// end lets the helper end with an exit code.
func (d *demand) endHelper(code string) supervise.Exit {
	d.t.Helper()
	if err := os.WriteFile(d.file+".new", []byte(code), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(d.file+".new", d.file); err != nil {
		d.t.Fatal(err)
	}
	e := d.next("exit")
	if e.name != "helper" {
		d.t.Fatalf("%s ended", e.name)
	}
	return e.exit
}

func TestOnDemandChildRunsWhenItIsWanted(t *testing.T) {
	t.Parallel()
	d := newDemand(t)
	for _, code := range []string{"0", "1", "2", "0"} { // no end of it is a failure of the supervisor
		d.want()
		if e := d.next("ready"); e.name != "helper" {
			t.Fatalf("%s is ready", e.name)
		}
		if exit := d.endHelper(code); exit.State.String() != "exit status "+code || exit.Crashed() != (code != "0") {
			t.Errorf("exit = %s, crashed %v, want %s", exit.State, exit.Crashed(), code)
		}
	}
	d.stop()
	if err := d.end(); err != nil {
		t.Errorf("Run = %v", err)
	}
	starts := 0
	for _, e := range d.rest() {
		if e.kind == "start" {
			starts++
		}
	}
	if starts != 0 {
		t.Errorf("the helper was started %d times more than it was wanted", starts)
	}
}

// Nothing waits for a child that is not there: not the start, not a roll.
func TestRollEndsAnOnDemandChild(t *testing.T) {
	t.Parallel()
	d := newDemand(t)
	d.want()
	d.next("ready")
	d.roll <- struct{}{}
	d.log.wait(t, "all children rolled")
	exits := map[string]supervise.Exit{}
	for range 2 {
		e := d.next("exit")
		exits[e.name] = e.exit
	}
	if e := exits["helper"]; !e.Asked || e.Crashed() {
		t.Errorf("the helper's exit = %+v, want it asked for and no crash", e)
	}
}

func TestTailOfAChildThatPanicked(t *testing.T) {
	t.Parallel()
	var passed atomic.Int64
	command := func(i int) *exec.Cmd {
		cmd := as("panics")(i)
		cmd.Stderr = counter{&passed}
		return cmd
	}
	b := run(t, supervise.Config{Children: []supervise.Child{{Name: "worker", Command: command, Tail: true}}})
	exit := b.next("exit").exit
	if !exit.Crashed() || exit.String() != "exit status 2" {
		t.Errorf("exit = %s, crashed %v", exit, exit.Crashed())
	}
	if lines := strings.Split(exit.Tail, "\n"); len(lines) > 22 || !strings.Contains(exit.Tail, "panic: the job was too much") {
		t.Errorf("the tail has %d lines:\n%s", len(lines), exit.Tail)
	}
	if passed.Load() < 100*int64(len("line 1\n")) {
		t.Errorf("%d bytes were passed on", passed.Load())
	}
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

func TestKilledChildCrashed(t *testing.T) {
	t.Parallel()
	b := run(t, supervise.Config{Children: []supervise.Child{{Name: "worker", Command: as("ready")}}})
	kill(t, b.ready(1)[0])
	if exit := b.next("exit").exit; !exit.Crashed() || exit.String() != "signal: killed (out of memory?)" {
		t.Errorf("exit = %s, crashed %v", exit, exit.Crashed())
	}
}
