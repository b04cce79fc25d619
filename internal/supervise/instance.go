package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// instance keeps one process running. All fields but replace belong to the goroutine in run.
type instance struct {
	sup     *supervisor
	group   *group
	number  int // within the group
	seat    int // on the board
	delay   backoff
	deaths  int  // in a row, each before ready
	proven  bool // has been ready once
	replace chan chan struct{}
}

// ending is how one life of an instance went.
type ending struct {
	ready   bool          // it got that far
	healthy time.Duration // for how long
	stopped bool          // for good: run returns
	rolled  bool          // start the next at once
	code    int           // exit code, -1 for a signal or no start at all
	err     error         // what a log should say
}

// replaceNow ends the process and returns when it is gone; the next is started at once. It waits while the instance is between two lives.
func (in *instance) replaceNow(ctx context.Context) error {
	gone := make(chan struct{})
	select {
	case in.replace <- gone:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run returns nil when it was told to stop and an error when the instance cannot be kept running.
func (in *instance) run() error {
	if !in.turn() {
		return nil
	}
	for {
		end := in.live()
		if end.stopped {
			return nil
		}
		if end.rolled {
			in.delay.reset()
			continue
		}
		if err := in.count(end); err != nil {
			return err
		}
		if !in.pause(end) {
			return nil
		}
	}
}

// turn waits until the first instance has shown that the child can start at all.
func (in *instance) turn() bool {
	if in.number == 0 {
		return true
	}
	select {
	case <-in.group.first:
		return true
	case <-in.group.stop:
	case <-in.sup.cfg.Kill:
	}
	return false
}

// count keeps the books of early deaths and says when they are too many.
//
// Exit code 2 is final only for an instance that was never ready: Go itself exits with 2 after a panic, and a configuration that has worked
// is not what killed it. Such a child gets its Deaths like any other.
func (in *instance) count(end ending) error {
	child := in.group.child
	if end.ready {
		in.deaths = 0
		return nil
	}
	in.deaths++
	if end.code == CodeConfig && !in.proven {
		return &Failure{Name: child.Name, Code: CodeConfig, Err: errors.New("refused its configuration")}
	}
	if in.deaths < child.Deaths || in.sup.board.any(in.group.seats()...) {
		return nil
	}
	code := 1
	if end.code == CodeConfig {
		code = CodeConfig
	}
	return &Failure{Name: child.Name, Code: code, Err: fmt.Errorf("died %d times before it was ready: %w", in.deaths, end.err)}
}

// pause waits before the next start. It reports false when there will be none.
func (in *instance) pause(end ending) bool {
	if end.healthy >= in.sup.cfg.Healthy {
		in.delay.reset()
	}
	delay := in.delay.next()
	what := "child ended, restarting"
	if in.group.child.OnDemand {
		what = "child ended; it will be started when it is wanted"
	}
	in.sup.cfg.Log.Warn(what, "child", in.group.child.Name, "instance", in.number, "reason", end.err, "delay", delay)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-in.group.stop:
	case <-in.sup.cfg.Kill:
	}
	return false
}

// live runs one process from its start to its end.
func (in *instance) live() ending {
	p, err := in.sup.start(in)
	if err != nil {
		return ending{code: -1, err: fmt.Errorf("start: %w", err)}
	}
	w := &watch{instance: in, process: p, stop: in.group.stop, replace: in.replace, kill: in.sup.cfg.Kill, isReady: p.ready}
	return w.untilExit()
}

func (g *group) seats() []int {
	seats := make([]int, len(g.instances))
	for i, in := range g.instances {
		seats[i] = in.seat
	}
	return seats
}
