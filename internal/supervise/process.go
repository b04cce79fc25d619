package supervise

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// outputDelay bounds the wait for a dead child's output that a grandchild may still hold open.
const outputDelay = 2 * time.Second

// process is one started child.
type process struct {
	cmd      *exec.Cmd
	pid      int
	ready    chan struct{} // closed when the child said so
	exited   chan error    // one value: what Wait returned
	last     *tail         // of its stderr; nil: not kept
	report   *os.File      // our end of the pipe on which it says so
	lifeline *os.File      // our end of the pipe whose closing tells the child that we are gone
	reading  sync.WaitGroup
}

// start makes, equips and starts the next process of an instance. Each has pipes of its own: O_NONBLOCK belongs to the open file description,
// so a shared one would change under those who already wait on it.
func (s *supervisor) start(in *instance) (*process, error) {
	child := in.group.child
	cmd := child.Command(in.number)
	isolate(cmd)
	if cmd.Stdout == nil {
		cmd.Stdout = os.Stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	var last *tail
	if child.Tail {
		last = new(tail)
		cmd.Stderr = io.MultiWriter(last, cmd.Stderr)
	}
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = outputDelay
	}

	reportOurs, reportTheirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer reportTheirs.Close()
	lifelineTheirs, lifelineOurs, err := os.Pipe()
	if err != nil {
		reportOurs.Close()
		return nil, err
	}
	defer lifelineTheirs.Close()
	hand(cmd, child.Files, reportTheirs, lifelineTheirs)

	if err := s.starters[child.Nice].start(cmd); err != nil {
		reportOurs.Close()
		lifelineOurs.Close()
		return nil, err
	}
	p := &process{
		cmd: cmd, pid: cmd.Process.Pid, report: reportOurs, lifeline: lifelineOurs,
		ready: make(chan struct{}), exited: make(chan error, 1), last: last,
	}
	// Before anybody can hear of its readiness or its end.
	if child.OnStart != nil {
		child.OnStart(in.number, p.pid)
	}
	p.reading.Go(func() { p.listen(s.want) })
	go func() { p.exited <- cmd.Wait() }() // ends with the process; untilExit waits for it
	in.log().Debug("child started", "pid", p.pid)
	return p, nil
}

// listen hears what the child says until it has ended: that it is ready, and which other child it wants.
func (p *process) listen(want func(child string)) {
	ready := sync.OnceFunc(func() { close(p.ready) })
	for lines := bufio.NewScanner(p.report); lines.Scan(); {
		if lines.Text() == readyLine {
			ready()
		} else if child, ok := strings.CutPrefix(lines.Text(), wantPrefix); ok {
			want(child)
		}
	}
}

// terminate and kill ignore errors: the process has then just ended by itself, and exited says so.
func (p *process) terminate() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }
func (p *process) kill()      { _ = p.cmd.Process.Kill() }

// release closes what belonged to a process that has ended, once its last word has been read.
func (p *process) release() {
	_ = p.report.SetReadDeadline(time.Now().Add(outputDelay)) // a grandchild may hold the other end
	p.reading.Wait()
	p.report.Close()
	p.lifeline.Close()
}

// hand appends the files to those the command already passes on and tells the child their numbers in its environment.
func hand(cmd *exec.Cmd, named map[string]*os.File, report, lifeline *os.File) {
	var list []string
	add := func(name string, f *os.File) {
		list = append(list, fmt.Sprintf("%s=%d", name, firstExtraFile+len(cmd.ExtraFiles)))
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	add(reportName, report)
	add(lifelineName, lifeline)
	for _, name := range slices.Sorted(maps.Keys(named)) {
		add(filePrefix+name, named[name])
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, inheritVariable+"="+strings.Join(list, ","))
}

func (in *instance) log() *slog.Logger {
	return in.sup.cfg.Log.With("child", in.group.child.Name, "instance", in.number)
}
