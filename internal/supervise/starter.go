package supervise

import (
	"os/exec"
	"runtime"
)

// starter starts processes from one operating system thread that lives as long as the supervisor.
//
// Linux sends a child its parent-death signal when the *thread* that forked it ends, not the process (golang/go issue 27505), so the thread must not
// come and go with goroutines. Linux also keeps the nice value per thread and hands it to the child at the fork: a thread that has made itself nice starts
// processes all of whose threads are nice from their first instruction. Setting it afterwards misses threads that are already there.
type starter struct {
	requests chan request
	ended    chan struct{}
}

type request struct {
	cmd    *exec.Cmd
	result chan error
}

func newStarter(nice int) *starter {
	t := &starter{requests: make(chan request), ended: make(chan struct{})}
	go t.loop(nice)
	return t
}

func (t *starter) loop(nice int) {
	defer close(t.ended)
	// Never unlocked: the runtime ends a thread whose goroutine returns locked, and a nice thread must not serve anybody else.
	runtime.LockOSThread()
	yieldThread(nice)
	for r := range t.requests {
		err := r.cmd.Start()
		if err == nil {
			yieldProcess(r.cmd.Process.Pid, nice)
		}
		r.result <- err
	}
}

func (t *starter) start(cmd *exec.Cmd) error {
	r := request{cmd, make(chan error, 1)}
	t.requests <- r
	return <-r.result
}

// close ends the thread. Children that still run would be killed by it.
func (t *starter) close() {
	close(t.requests)
	<-t.ended
}
