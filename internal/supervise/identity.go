package supervise

import (
	"fmt"
	"os"
	"strings"
)

// Identity tells one run of one machine from all others, so that a process number in a record can be trusted or not.
type Identity struct {
	Name   string // the host's name
	BootID string // another one after each start of the machine, and in each space of process numbers: "<boot>/<space>"
}

// Host is the identity of this machine since its last start.
func Host() (Identity, error) {
	name, err := os.Hostname()
	if err != nil {
		return Identity{}, fmt.Errorf("host name: %w", err)
	}
	boot, err := bootID()
	if err != nil {
		return Identity{}, fmt.Errorf("boot id: %w", err)
	}
	space, err := numberSpace()
	if err != nil {
		return Identity{}, fmt.Errorf("space of process numbers: %w", err)
	}
	return Identity{Name: name, BootID: boot + "/" + space}, nil
}

// Gone reports whether a process that was recorded on a host of this name cannot live any more. One from another space of process numbers is not gone
// as far as anybody here can see.
func (id Identity) Gone(bootID string, pid int, start int64) bool {
	ours, ourSpace, _ := strings.Cut(id.BootID, "/")
	theirs, theirSpace, known := strings.Cut(bootID, "/")
	switch {
	case !known || theirSpace != ourSpace:
		return false
	case theirs != ours:
		return true
	}
	now, alive := ProcessStart(pid)
	return !alive || now != start
}

// ProcessStart is when a process of this machine was started, in a unit of the system's own. Process numbers are used again, so only number and start
// together name a process. alive is false when there is none, or only its exit status is left.
func ProcessStart(pid int) (start int64, alive bool) {
	if pid <= 0 {
		return 0, false
	}
	return processStart(pid)
}
