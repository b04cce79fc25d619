package dispatch

import (
	"encoding/json"
	"time"

	"github.com/millrace/millrace"
)

// Spec is a job as somebody asked for it, decoded but not yet checked. Zero fields mean the server's defaults.
type Spec struct {
	Tenant      string
	Type        string
	Params      json.RawMessage
	Inputs      []millrace.Input
	Priority    millrace.Priority
	RunAt       time.Time     // at most one of RunAt and Delay
	Delay       time.Duration // from now
	Timeout     time.Duration // of one attempt
	MaxAttempts int
	Backoff     BackoffSpec
	Cache       *bool // nil: true for pure types
	Tags        []string
	Metadata    json.RawMessage // an object
	Retention   time.Duration
}

// BackoffSpec is a Backoff with fields that may be absent.
type BackoffSpec struct {
	Initial, Max   *time.Duration
	Factor, Jitter *float64
}
