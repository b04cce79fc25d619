package store

import (
	"context"
	"time"

	"github.com/millrace/millrace"
)

// Dispatch is what the reconciler needs: which jobs are owed to the queue.
//
// Owed means: claimable, due, and not known to be in the queue in this generation. A job is inserted with "sent in generation 0"; MarkSent
// notes the generation; NewGeneration (Redis lost its memory) makes everything owed again by writing one row.
type Dispatch interface {
	// Generation is the current one, 1 or more.
	Generation(ctx context.Context) (int64, error)
	// NewGeneration raises it by one, if it still is from.
	NewGeneration(ctx context.Context, from int64) error
	// Owed lists what should be in the queues, oldest due first, at most limits[queue] for each queue.
	Owed(ctx context.Context, limits map[string]int) ([]Owed, error)
	// MarkSent notes that deliveries are in the queue in generation gen. One whose fence has moved on is left alone.
	MarkSent(ctx context.Context, deliveries []Delivery, gen int64) error
	// Unclaimed returns those of the deliveries that could still be claimed: the queue handed them out, yet nobody runs them.
	Unclaimed(ctx context.Context, deliveries []Delivery) ([]Delivery, error)
	// Backlog counts the jobs that wait for a worker, due or not, or for an equal job, up to limit.
	Backlog(ctx context.Context, limit int) (int, error)
	// Refence gives unclaimed deliveries a new fence and makes them owed at once, so that a dead worker's entry in the queue blocks nobody.
	Refence(ctx context.Context, deliveries []Delivery) error
}

// Owed is a job to enqueue.
type Owed struct {
	Delivery
	Type, Queue string
	Gen         int64 // to give to MarkSent
}

// Upkeep is the leader's work, and that of supervisors when a child has died.
type Upkeep interface {
	// Lead takes or renews the lease of that name for ttl and says whether holder has it. The term grows with each change of holder.
	Lead(ctx context.Context, name, holder string, ttl time.Duration) (term int64, leads bool, err error)
	// Resign gives the lease back at once.
	Resign(ctx context.Context, name, holder string) error
	// Workers lists live processes.
	Workers(ctx context.Context) ([]millrace.Worker, error)
	// Bury declares a worker dead. Unknown and dead ids are no error, and keep the death that they have.
	Bury(ctx context.Context, worker string, d Death) error
	// BuryHost declares dead the workers of a host that cannot live any more: alive says which may, death how the others ended.
	BuryHost(ctx context.Context, host string, alive func(millrace.Worker) bool, death func(millrace.Worker) Death) (int, error)
	// BurySilent declares dead every worker without a beat for silence, by the database's clock.
	BurySilent(ctx context.Context, silence time.Duration) (int, error)
	// Rescue takes running jobs from owners that are dead or unknown: queued again with no attempt spent, or canceled where that was asked.
	// Where the owner's death was a crash it counts against the job: from the QuarantineCrashes-th on it is queued in quarantine, at the
	// PoisonCrashes-th it fails as poisoned. An owner that nobody buried, or without a crash, counts nothing.
	Rescue(ctx context.Context) (int, error)
	// ForceCancel ends running jobs whose cancel was asked for longer ago than grace.
	ForceCancel(ctx context.Context, grace time.Duration) (int, error)
	// FailOverdue fails up to limit jobs that wait for a worker, or for an equal job, and whose deadline has passed, code timeout. A running one is its worker's affair.
	FailOverdue(ctx context.Context, limit int) (int, error)
	// ReleaseWaiting goes on with what the ends of leaders have left to do, for about limit jobs, and looks for leaders that ended without a word. It
	// says how many jobs that waited have ended, were queued to lead, or wait for another leader.
	ReleaseWaiting(ctx context.Context, limit int) (int, error)
	// ExpireKeys deletes up to limit idempotency keys older than KeyLife and unique keys whose time is over.
	ExpireKeys(ctx context.Context, limit int) (int, error)
	// ExpireJobs deletes up to limit final jobs whose retention is over, with their outputs' files.
	ExpireJobs(ctx context.Context, limit int) (int, error)
	// ExpireFiles deletes up to limit files whose time is over and that no live job needs.
	ExpireFiles(ctx context.Context, limit int) (int, error)
	// DyingBlobs marks up to limit blobs that nobody refers to and nobody took within grace as dying, and returns all dying keys: remove the
	// bytes, then call ForgetBlob.
	DyingBlobs(ctx context.Context, grace time.Duration, limit int) ([]string, error)
	// ForgetBlob deletes the row of a dying blob whose bytes are gone.
	ForgetBlob(ctx context.Context, key string) error
	// KnowsBlob says whether the ledger has a row for the key; an old published blob without one is garbage.
	KnowsBlob(ctx context.Context, key string) (bool, error)
	// Depths counts claimable jobs by queue, each count at most limit, with the age of the oldest.
	Depths(ctx context.Context, limit int) ([]Depth, error)
}

// Death is how a worker process ended.
type Death struct {
	Crash  bool   // it died by itself, so what it ran may be why; false: it was stopped, lost with its host, or nobody knows
	Detail string // for the history of its attempts: "exit status 2: it panicked", "signal: killed"; never what the process wrote
}

// Depth is a queue's bounded count.
type Depth struct {
	Queue   string
	Ready   int // due and claimable
	Delayed int // scheduled or retrying, not due yet
	Running int
	Waiting int           // for an equal job
	Oldest  time.Duration // how long the oldest ready job has been due
}
