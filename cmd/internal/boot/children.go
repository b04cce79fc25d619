package boot

import (
	"fmt"
	"os"
	"os/exec"

	"github.com/millrace/millrace/internal/supervise"
)

// How a supervisor tells its children what they are. These are not settings: they mean nothing without the descriptors that come along.
const (
	childVariable   = "MILLRACE_CHILD"
	childCore       = "core"
	childAPI        = "api"
	childWorker     = "worker"
	childQuarantine = "quarantine"             // the worker that takes quarantined jobs, one at a time
	nonceVariable   = "MILLRACE_CHILD_NONCE"   // names one run of the supervisor
	redisVariable   = "MILLRACE_CHILD_REDIS"   // password of the embedded Redis
	socketsVariable = "MILLRACE_CHILD_SOCKETS" // directory of the sockets below
)

// The names of what is handed over, and of the unix sockets.
const (
	httpSocket     = "http"
	ledgerSocket   = "ledger.sock"
	dispatchSocket = "dispatch.sock"
	lockFile       = "lock"
	wordPipe       = "word"
)

// workerNice lets the api win the core while workers compute.
const workerNice = 10

// command makes the command of a child: this very program with the same arguments, told its part.
func command(part string, env ...string) func(int) *exec.Cmd {
	return func(int) *exec.Cmd {
		self, err := os.Executable()
		if err != nil {
			self = os.Args[0]
		}
		cmd := exec.Command(self)
		cmd.Args = os.Args // with the name that this process was called by: one program may have several
		cmd.Env = append(append(os.Environ(), childVariable+"="+part), env...)
		return cmd
	}
}

// workerChildren are the worker processes, and the one that is started when a job waits in quarantine.
func workerChildren(count int, files map[string]*os.File, env []string, told mourner) []supervise.Child {
	worker := supervise.Child{Name: childWorker, Count: count, Command: command(childWorker, env...), Files: files, Nice: workerNice,
		OnStart: func(_, pid int) { told.started(pid) }, OnExit: told.ended}
	alone := worker
	alone.Name, alone.Count, alone.Command = childQuarantine, 1, command(childQuarantine, env...)
	alone.OnDemand, alone.Tail = true, true
	return []supervise.Child{worker, alone}
}

// supervised puts the end of a supervisor into words.
func supervised(err error) error {
	if err == nil {
		return nil
	}
	code := supervise.ExitCode(err)
	if code == supervise.CodeConfig {
		return &codedError{err: errSaid, code: code}
	}
	return &codedError{err: err, code: code}
}

// codedError is an error with an exit code of its own.
type codedError struct {
	err  error
	code int
}

func (e *codedError) Error() string { return fmt.Sprint(e.err) }
func (e *codedError) Unwrap() error { return e.err }
func (e *codedError) ExitCode() int { return e.code }
