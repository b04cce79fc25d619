// Package supervise keeps a handful of child processes alive on one machine: it starts them, restarts the dead, rolls them one by one, and drains them
// in order. It also holds what must outlive any single child: listening sockets, the lock of a data directory, and the pipe by which children learn that
// their supervisor is gone.
//
// It knows nothing of jobs, stores or HTTP, and it does no work of its own that could crash it. It is not a service manager: the supervisor itself is
// kept alive by whatever started it (systemd, Docker, a person).
//
// The supervisor calls [Run]; a child calls [Inherit] before anything else and [Inherited.Ready] once it can take work.
package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"
)

// CodeConfig is the exit code by which a child says that its configuration is wrong and that starting it again would change nothing.
const CodeConfig = 2

// ErrKilled is what Run returns when Config.Kill ended the children before they had drained.
var ErrKilled = errors.New("killed before the drain was over")

// Config says which children run and how long they may take. Zero durations mean the defaults named here.
type Config struct {
	// Children are started together and stopped in reverse: each with all its instances has ended before the one listed before it is asked to.
	Children []Child
	// Grace is how long a child may drain after SIGTERM, 25 s by default; SIGKILL follows Margin later.
	Grace time.Duration
	// Margin is what a child gets beyond its grace to write down what it left, 5 s by default.
	Margin time.Duration
	// Healthy is how long a child must have been ready for its next restart to be quick again, 30 s by default.
	Healthy time.Duration
	// RollTimeout bounds the wait for a replaced child to become ready before the roll is given up, 60 s by default.
	RollTimeout time.Duration
	// OnReady is called once, when every instance has been ready for the first time. It must not block.
	OnReady func()
	// Kill, when closed, ends every child at once. Roll replaces all children one by one for each value received. Both may be nil.
	Kill <-chan struct{}
	Roll <-chan struct{}
	Log  *slog.Logger
}

// Child is a kind of process and how many instances of it run.
type Child struct {
	// Name appears in logs and errors.
	Name string
	// Count is the number of instances, 1 by default. The others wait until the first is ready, so that one wrong setting is told once and not N times.
	Count int
	// Command makes a new command for each start. Where Stdout or Stderr is nil the child shares the supervisor's.
	Command func(instance int) *exec.Cmd
	// Files are handed to each instance under their names; see Socket.File and DirLock.File.
	Files map[string]*os.File
	// Nice is the scheduling priority: 0 as the supervisor, 10 for work that yields to others.
	Nice int
	// MaxDelay caps the delay before a restart, which grows from 0.1 s; 10 s by default.
	MaxDelay time.Duration
	// Deaths is how many deaths in a row, each before it was ready, end the supervisor; 5 by default.
	// While another instance of the child is ready it is kept trying instead: the trouble is then not one that stopping the rest would mend.
	Deaths int
	// OnDemand makes this a child of one instance that another child starts by Inherited.Want. Whatever its end, it stays away until it is wanted again;
	// after a failure not sooner than a restart would be. It never ends the supervisor, and nobody waits for it to be ready.
	OnDemand bool
	// Tail keeps the last lines of stderr, which still go where they would, for Exit.Tail.
	Tail bool
	// Grace replaces Config.Grace for this child.
	Grace time.Duration
	// OnStart, OnReady and OnExit follow one instance. They are called in order for each instance, at the same time for different ones;
	// OnExit returns before the instance is started again.
	OnStart func(instance, pid int)
	OnReady func(instance, pid int)
	OnExit  func(Exit)
	// OnStop is called once, before the instances are told to end and none will be started again. A Socket that nobody else uses is closed here: the
	// children then accept what waits in it, and after them new connections are refused at once instead of waiting for the end of the drain to be reset.
	OnStop func()
}

// Failure is a child that could not be kept running; it has ended the supervisor.
type Failure struct {
	Name string
	Code int // the exit code the supervisor should end with
	Err  error
}

func (f *Failure) Error() string { return fmt.Sprintf("%s: %v", f.Name, f.Err) }
func (f *Failure) Unwrap() error { return f.Err }

// ExitCode is the exit code for what Run returned: 0 after a drain, 2 for a wrong configuration, else 1.
func ExitCode(err error) int {
	var f *Failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &f):
		return f.Code
	default:
		return 1
	}
}

// Run starts the children and keeps them running until ctx ends, Kill is closed, or a child fails for good. It returns when all have ended:
// nil after a stop that ctx asked for, a *Failure, ErrKilled, or an error for a Config that makes no sense.
func Run(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	s := newSupervisor(cfg)
	defer s.release()
	return s.run(ctx)
}

func (c Config) withDefaults() (Config, error) {
	c.Grace = cmp.Or(c.Grace, 25*time.Second)
	c.Margin = cmp.Or(c.Margin, 5*time.Second)
	c.Healthy = cmp.Or(c.Healthy, 30*time.Second)
	c.RollTimeout = cmp.Or(c.RollTimeout, time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	children := make([]Child, len(c.Children))
	for i, child := range c.Children {
		if child.Name == "" || child.Command == nil {
			return c, fmt.Errorf("child %d: Name and Command are required", i)
		}
		if child.OnDemand && child.Count > 1 {
			return c, fmt.Errorf("child %s: on demand there is one instance, not %d", child.Name, child.Count)
		}
		if child.Count < 0 {
			return c, fmt.Errorf("child %s: Count is %d", child.Name, child.Count)
		}
		for name := range child.Files {
			if strings.Contains(name, ",") {
				return c, fmt.Errorf("child %s: file name %q holds a comma", child.Name, name)
			}
		}
		child.Count = cmp.Or(child.Count, 1)
		child.MaxDelay = cmp.Or(child.MaxDelay, 10*time.Second)
		child.Deaths = cmp.Or(child.Deaths, 5)
		child.Grace = cmp.Or(child.Grace, c.Grace)
		children[i] = child
	}
	if len(children) == 0 {
		return c, errors.New("no children to supervise")
	}
	c.Children = children
	return c, nil
}
