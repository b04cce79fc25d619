package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/millrace/millrace"
)

// WorkerLedger is the narrow part that worker processes see; store/remote carries it over a socket.
type WorkerLedger interface {
	// Register announces a worker process under its id, which it made itself. Again with the same id: it is known and nothing changes.
	// ErrBuried when that id was declared dead.
	Register(ctx context.Context, w millrace.Worker) error
	// Beat says that the worker lives, once a second, and brings progress. ErrBuried: stop everything and take a new id.
	Beat(ctx context.Context, b Beat) (BeatReply, error)
	// Claim takes jobs for a worker, one answer per delivery in order. A delivery that may not be claimed any more answers a nil Job: drop it.
	// ErrBuried when the worker is not alive and something was refused: then nothing may be dropped, since others could claim it.
	// A job of a paused queue and one past its deadline are refused.
	Claim(ctx context.Context, worker string, deliveries []Delivery) ([]Claimed, error)
	// Finish writes outcomes, each guarded by state and fence. won[i] says whether outcome i is the job's (also when an earlier call whose
	// answer was lost wrote it); a loser throws its outputs away.
	Finish(ctx context.Context, outcomes []Outcome) (won []bool, err error)
	// TakeBlob is Files.TakeBlob.
	TakeBlob(ctx context.Context, tenant, sha256 string) (key string, ok bool, err error)
	// Leave ends a worker. Jobs that it still has, because it gave them up, belong to nobody then and are rescued.
	Leave(ctx context.Context, worker string) error
}

// Beat is a worker's sign of life.
type Beat struct {
	Worker       string
	MemoryUsed   int64
	MemoryBudget int64
	Running      []Holding
}

// Holding is an attempt that the worker runs at this moment.
type Holding struct {
	Job      string
	Fence    int64
	Progress *millrace.Progress // nil: unchanged since the last beat
}

// BeatReply is what a worker must know.
type BeatReply struct {
	Cancel []Delivery // its attempts that somebody asked to cancel
	Lost   []Delivery // its attempts that belong to another by now: stop and throw away
	// Quarantine says that a job waits in quarantine: somebody should start the process that takes it.
	Quarantine bool
}

// Delivery names one dispatch of a job: the fence that the ledger had when it was sent.
type Delivery struct {
	Job   string
	Fence int64
}

// Claimed is a job that now belongs to the worker. Its Fence is the attempt's own; the outcome must carry it.
type Claimed struct {
	Job     *millrace.Job   // nil: not yours
	Inputs  []millrace.File // in order; a missing file has an empty ID
	Started time.Time
}

// OutcomeKind is how an attempt ended.
type OutcomeKind string

// The kinds of outcomes.
const (
	OutcomeSucceeded OutcomeKind = "succeeded"
	OutcomeFailed    OutcomeKind = "failed"   // for good
	OutcomeRetry     OutcomeKind = "retry"    // again after Delay; the attempt is spent. Canceled instead when somebody asked for that
	OutcomeReleased  OutcomeKind = "released" // again after Delay; no attempt spent. Canceled instead when somebody asked for that
	OutcomeCanceled  OutcomeKind = "canceled" // by request
)

// Outcome ends one attempt.
type Outcome struct {
	Job      string
	Tenant   string
	Fence    int64 // the attempt's
	Kind     OutcomeKind
	Attempt  string // the Attempt* word for the history
	Error    *millrace.JobError
	Result   json.RawMessage
	Outputs  []NewOutput
	Progress millrace.Progress
	Delay    time.Duration // for OutcomeRetry and OutcomeReleased
}

// NewOutput is an output whose bytes are published under Blob; its file row is written with the outcome, or not at all.
type NewOutput struct {
	millrace.Output
	Blob string
}
