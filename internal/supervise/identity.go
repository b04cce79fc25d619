package supervise

import (
	"fmt"
	"os"
)

// Identity tells one run of one machine from all others, so that a process number in a record can be trusted or not.
type Identity struct {
	Name   string // the host's name
	BootID string // another one after each start of the machine
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
	return Identity{Name: name, BootID: boot}, nil
}

// ProcessStart is when a process of this machine was started, in a unit of the system's own. Process numbers are used again, so only number and start
// together name a process. alive is false when there is none, or only its exit status is left.
func ProcessStart(pid int) (start int64, alive bool) {
	if pid <= 0 {
		return 0, false
	}
	return processStart(pid)
}
