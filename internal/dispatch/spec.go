package dispatch

import (
	"encoding/json"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
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
	Deadline    time.Time         // zero: none
	Unique      *millrace.Unique  // nil: none
	Webhook     *millrace.Webhook // nil: none
	Schedule    string            // the schedule that asks, or ""

	// Key makes a repetition of the request create nothing. nil: none.
	Key *Key
}

// Key is the idempotency key of a creating request.
type Key struct {
	Key  string
	Hash string // of the whole request
	// Answer makes what a repetition is told of the job that is about to be written. It may be called more than once.
	Answer func(*millrace.Job) []byte
}

// idempotency is the key as the ledger keeps it with a job; nil stays nil.
func (k *Key) idempotency(job *millrace.Job) *store.Idempotency {
	if k == nil {
		return nil
	}
	return &store.Idempotency{Key: k.Key, Hash: k.Hash, Answer: k.Answer(job)}
}

// BackoffSpec is a Backoff with fields that may be absent.
type BackoffSpec struct {
	Initial, Max   *time.Duration
	Factor, Jitter *float64
}
