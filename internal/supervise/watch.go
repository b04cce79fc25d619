package supervise

import (
	"fmt"
	"time"
)

// watch follows one process. Its channels become nil once they have spoken.
type watch struct {
	instance *instance
	process  *process

	stop     <-chan struct{}
	kill     <-chan struct{}
	replace  <-chan chan struct{}
	isReady  <-chan struct{}
	deadline <-chan time.Time

	readyAt         time.Time
	rolled          chan struct{} // closed when the process has made room for the next
	asked, stopping bool
	overrun         bool
}

// untilExit passes on what the supervisor wants and returns when the process has ended and OnExit knows.
func (w *watch) untilExit() ending {
	for {
		select {
		case <-w.isReady:
			w.markReady()
		case <-w.stop:
			w.stop, w.replace, w.stopping = nil, nil, true
			w.askToEnd()
		case w.rolled = <-w.replace:
			w.replace = nil
			w.askToEnd()
		case <-w.kill:
			w.kill, w.stop, w.replace = nil, nil, nil
			w.asked, w.stopping = true, true
			w.process.kill()
		case <-w.deadline:
			w.deadline, w.overrun = nil, true
			w.instance.log().Warn("child overran its grace and is killed", "pid", w.process.pid)
			w.process.kill()
		case err := <-w.process.exited:
			return w.ended(err)
		}
	}
}

func (w *watch) markReady() {
	in := w.instance
	w.isReady, w.readyAt = nil, time.Now()
	if !in.proven {
		in.proven = true
		if in.number == 0 {
			close(in.group.first)
		}
	}
	if f := in.group.child.OnReady; f != nil {
		f(in.number, w.process.pid)
	}
	if !w.asked {
		in.sup.board.set(in.seat, true)
	}
}

// askToEnd sends SIGTERM and starts the clock of the grace.
func (w *watch) askToEnd() {
	w.asked = true
	w.instance.sup.board.set(w.instance.seat, false)
	w.process.terminate()
	w.deadline = time.After(w.instance.group.child.Grace + w.instance.sup.cfg.Margin)
}

func (w *watch) ended(waitErr error) ending {
	in, p := w.instance, w.process
	p.release()
	select {
	case <-w.isReady: // it spoke and died before we listened
		w.markReady()
	default:
	}
	in.sup.board.set(in.seat, false)
	if f := in.group.child.OnExit; f != nil {
		exit := Exit{Name: in.group.child.Name, Instance: in.number, PID: p.pid, State: p.cmd.ProcessState, Asked: w.asked, Overrun: w.overrun}
		if p.last != nil {
			exit.Tail = p.last.String()
		}
		f(exit)
	}
	if w.rolled != nil {
		close(w.rolled)
	}
	end := ending{ready: !w.readyAt.IsZero(), stopped: w.stopping, rolled: w.rolled != nil, code: -1}
	if end.ready {
		end.healthy = time.Since(w.readyAt)
	}
	if s := p.cmd.ProcessState; s != nil {
		end.code, waitErr = s.ExitCode(), fmt.Errorf("%s", s)
	}
	end.err = waitErr
	return end
}
