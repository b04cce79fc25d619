package supervise_test

import (
	"os/exec"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/supervise"
)

func TestRollReplacesOneByOne(t *testing.T) {
	t.Parallel()
	b := run(t, supervise.Config{Children: []supervise.Child{{Name: "core", Command: as("ready")}, {Name: "worker", Command: as("ready"), Count: 3}}})
	before := b.ready(4)
	b.roll <- struct{}{}
	b.log.wait(t, "all children rolled")
	b.stop()
	if err := b.end(); err != nil {
		t.Fatalf("Run = %v, want nil", err)
	}
	events := b.rest()
	if len(events) < 12 {
		t.Fatalf("%d events, want at least 12", len(events))
	}
	for i, e := range events[:12] {
		if want := []string{"exit", "start", "ready"}[i%3]; e.kind != want || e.name != events[i-i%3].name || e.instance != events[i-i%3].instance {
			t.Fatalf("event %d = %+v, want %s of the same instance: only one may be down at once", i, e, want)
		}
		if e.kind == "exit" && (!slices.Contains(before, e.pid) || !e.exit.Asked) {
			t.Errorf("exit = %+v, want one of the first processes, asked", e)
		}
	}
}

// A new version that does not come up costs one instance, not all.
func TestRollIsGivenUp(t *testing.T) {
	t.Parallel()
	var starts atomic.Int32
	command := func(i int) *exec.Cmd {
		if starts.Add(1) > 2 {
			return as("early")(i)
		}
		return as("ready")(i)
	}
	b := run(t, supervise.Config{
		RollTimeout: 100 * time.Millisecond,
		Children:    []supervise.Child{{Name: "worker", Command: command, Count: 2, MaxDelay: 10 * time.Millisecond}},
	})
	before := b.ready(2)
	b.roll <- struct{}{}
	b.log.wait(t, "roll given up")
	if e := b.next("exit"); e.pid != before[0] {
		t.Errorf("process %d was replaced, want %d, the first", e.pid, before[0])
	}
	if _, alive := supervise.ProcessStart(before[1]); !alive {
		t.Error("the second instance was taken down, though the first did not come back")
	}
}
