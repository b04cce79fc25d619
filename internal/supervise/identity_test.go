package supervise_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/supervise"
)

func TestHost(t *testing.T) {
	t.Parallel()
	first, err := supervise.Host()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := supervise.Host(); err != nil || again != first || first.BootID == "" || first.Name == "" {
		t.Errorf("Host = %+v, then %+v, %v, want the same twice and nothing empty", first, again, err)
	}
}

func TestProcessStart(t *testing.T) {
	t.Parallel()
	mine, alive := supervise.ProcessStart(os.Getpid())
	if again, still := supervise.ProcessStart(os.Getpid()); !alive || !still || mine != again || mine == 0 {
		t.Errorf("ProcessStart of this process = %d %v, then %d %v, want the same twice", mine, alive, again, still)
	}
	for _, pid := range []int{0, -1, 1 << 30} {
		if _, alive := supervise.ProcessStart(pid); alive {
			t.Errorf("ProcessStart(%d) is alive", pid)
		}
	}
}

func TestGone(t *testing.T) {
	t.Parallel()
	self, err := supervise.Host()
	if err != nil {
		t.Fatal(err)
	}
	boot, space, _ := strings.Cut(self.BootID, "/")
	start, _ := supervise.ProcessStart(os.Getpid())
	for _, tt := range []struct {
		name, boot string
		pid        int
		start      int64
		want       bool
	}{
		{"alive", self.BootID, os.Getpid(), start, false},
		{"number used again", self.BootID, os.Getpid(), start - 1, true},
		{"no such process", self.BootID, 1 << 30, start, true},
		{"before the last start of the machine", "other/" + space, os.Getpid(), start, true},
		{"in another container", boot + "/pid:[1]", 1 << 30, start, false},
		{"in a container on another machine", "other/pid:[1]", 1 << 30, start, false},
		{"recorded by an older version", boot, 1 << 30, start, false},
	} {
		if got := self.Gone(tt.boot, tt.pid, tt.start); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A child that ended but was not waited for still has a number; it is not alive.
func TestProcessStartOfAZombie(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("true")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	out.Read(make([]byte, 1)) // returns at its end
	gone(t, cmd.Process.Pid)
}
