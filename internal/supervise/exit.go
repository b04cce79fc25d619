package supervise

import (
	"os"
	"strings"
)

// Exit is how a process ended.
type Exit struct {
	Name     string
	Instance int
	PID      int
	State    *os.ProcessState // nil where the process could not be waited for
	Asked    bool             // we had told it to end: a stop, a roll, or a kill on our side
	Overrun  bool             // it did not end within its grace and was killed for it
	Tail     string           // the last lines of its stderr, where Child.Tail asked for them
}

// Crashed reports whether the process ended by itself, and not as one does that is done.
func (e Exit) Crashed() bool { return !e.Asked && !e.Overrun && e.State != nil && !e.State.Success() }

// String is one line such as "exit status 2", or "signal: killed (out of memory?)".
func (e Exit) String() string {
	switch {
	case e.State == nil:
		return "unknown"
	case e.Overrun:
		return "killed, because it did not end in time"
	}
	// The kernel kills whoever takes too much, and says so to nobody but its own log.
	return strings.Replace(e.State.String(), "signal: killed", "signal: killed (out of memory?)", 1)
}
