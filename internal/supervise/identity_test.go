package supervise_test

import (
	"os"
	"os/exec"
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
