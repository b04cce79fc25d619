package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// guardScript runs a server until its own standard input ends, which happens even when the test binary is killed with -9, then ends the server
// and removes its directory. Its first line of output is the server's pid. $1 is the directory, $2 the signal, the rest the command.
const guardScript = `
dir=$1 sig=$2; shift 2
exec 3<&0
"$@" </dev/null >>"$dir/log" 2>&1 3<&- &
pid=$!
echo $pid
(cat <&3 >/dev/null; [ -e "$dir/exited" ] || kill -$sig $pid) 2>/dev/null &
wait $pid
: >"$dir/exited"
cat <&3 >/dev/null
rm -rf "$dir"
`

// process is a guarded server process.
type process struct {
	dir   string
	pid   int
	guard *exec.Cmd
	hold  io.Closer // closing it ends the server
	stop  func()
}

// start runs a server in dir, which the guard removes at the end. cred is nil for the user that runs the tests.
func start(dir string, sig string, cred *syscall.Credential, name string, args ...string) (*process, error) {
	guard := exec.Command("/bin/sh", append([]string{"-c", guardScript, "guard", dir, sig, name}, args...)...)
	guard.Dir = dir
	// A session of its own: Ctrl-C at the terminal reaches the test binary, and the servers end in order after it.
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: cred}
	hold, err := guard.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("pipe to %s: %w", name, err)
	}
	out, err := guard.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("pipe from %s: %w", name, err)
	}
	if err := guard.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{dir: dir, guard: guard, hold: hold}
	p.stop = sync.OnceFunc(func() {
		hold.Close()
		_ = guard.Wait() // the guard's exit status says nothing
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		p.pid, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("start %s: no pid: %w", name, err)
	}
	return p, nil
}

// exited says whether the server has ended by itself.
func (p *process) exited() bool {
	_, err := os.Stat(filepath.Join(p.dir, "exited"))
	return err == nil
}

// log is the tail of what the server wrote.
func (p *process) log() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return string(b[max(0, len(b)-2000):])
}

var errExited = errors.New("the server ended at once")

// ready waits until ping answers nil.
func (p *process) ready(ping func() error) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ping()
		if err == nil {
			return nil
		}
		if p.exited() {
			return fmt.Errorf("%w: %s", errExited, p.log())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready after 30 s: %w: %s", err, p.log())
		}
		time.Sleep(10 * time.Millisecond) // a poll with a deadline: there is no event to wait for
	}
}
