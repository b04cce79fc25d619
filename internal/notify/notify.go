// Package notify carries news of jobs between processes: what happened to one, and that somebody wants one canceled.
//
// News are hints. They may be lost, doubled or late, whenever Redis is away or a process falls behind, and nobody is told; whoever depends on an
// answer reads the ledger now and then, and hears of it sooner through this package. Nothing is stored.
package notify

import (
	"encoding/json"
	"log/slog"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace"
)

// Event says that something about a job changed.
type Event struct {
	Tenant   string             `json:"tenant"`
	Job      string             `json:"job"`
	State    millrace.State     `json:"state"`
	Progress *millrace.Progress `json:"progress,omitempty"` // nil: the state changed
}

// Config is how news travel.
type Config struct {
	Redis redis.UniversalClient // shared; stays the caller's to close
	Log   *slog.Logger          // nil: nothing is logged
}

func (c Config) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// The channels.
const (
	eventsChannel = "millrace:events"
	cancelChannel = "millrace:cancel"
)

// parseEvents reads a message of the events channel; what is not ours is empty.
func parseEvents(payload string) []Event {
	var events []Event
	if json.Unmarshal([]byte(payload), &events) != nil {
		return nil
	}
	return events
}

// parseJobs reads a message of the cancel channel.
func parseJobs(payload string) []string {
	var jobs []string
	if json.Unmarshal([]byte(payload), &jobs) != nil {
		return nil
	}
	return jobs
}
