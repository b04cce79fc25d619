// Package store is the contract of the ledger: the database that is the truth about jobs, files and workers.
//
// One row per job, written before the client hears 202. Redis and asynq only carry hints; whatever they lose, Owed finds again. Implementations
// are store/sqlite (embedded), store/postgres (production) and, for the workers' part over a socket, store/remote. All pass store/storetest.
//
// Every method may be repeated with the same arguments after an error: ids are made by the caller and updates are guarded by state and fence,
// so a repetition after a commit whose answer was lost changes nothing and answers as the first call would have.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace"
)

// Ledger is the whole contract. Take one of its parts where that is enough.
type Ledger interface {
	Jobs
	Files
	Results
	Keys
	Schedules
	Presets
	Queues
	WorkerLedger
	Dispatch
	Upkeep

	// Ping answers nil when the database takes writes.
	Ping(ctx context.Context) error
	// BlobStore records the id of the blob store that the ledger's files live in, or answers ErrOtherBlobStore when it knows another.
	BlobStore(ctx context.Context, id string) error
	// Stats are the figures of the connection pool for /metrics, by name; see PoolStats.
	Stats() PoolStats
	Close() error
}

// Errors that callers test for with errors.Is. Everything else is the database's own error: for callers of the API it means unavailable.
var (
	ErrNotFound       = errors.New("not found")                       // absent, or another tenant's
	ErrState          = errors.New("not in a state that allows this") // e.g. delete of a job that is not final
	ErrInUse          = errors.New("needed by a live job")            // delete of a file
	ErrInputMissing   = errors.New("input file does not exist")       // insert of a job
	ErrStaleResult    = errors.New("cached result is gone")           // insert of a job from the cache
	ErrBuried         = errors.New("this worker was declared dead")   // take a new identity
	ErrFull           = errors.New("no space left for the ledger")    // SQLITE_FULL, PostgreSQL 53100
	ErrOtherBlobStore = errors.New("the ledger belongs to another blob store")
	ErrNewerSchema    = errors.New("the ledger was written by a newer version")
)

// Jobs is what the API does with jobs.
type Jobs interface {
	// Insert writes new jobs in one durable transaction and answers one error per job, nil where the row is committed. A job whose id exists
	// already is not written again and is no error. A job is inserted as it stands: state queued, scheduled, or succeeded with Cached set.
	// dispatchAfter is how long the reconciler leaves an immediate job to its submitter's own enqueue. Job.RunAt zero means now.
	// Cached jobs carry Outputs whose File ids are new and whose blobs are taken from From[i]; ErrStaleResult when one is gone.
	// A job whose idempotency key was used before is not written: *ReplayedError. One whose unique key a live job has: *HeldError. Both also
	// between rows of one call, where the first row that is written has the key; a refused job takes neither.
	// A queued job with Coalesce waits while an equal one lives, also one of the same call, in which the first row leads: Insert sets its State to
	// waiting then. See equal.go.
	Insert(ctx context.Context, jobs []NewJob) []error
	// InsertBatch is Insert for a request of many jobs under one idempotency key, which may be nil: one transaction whatever their number. It
	// keeps what answer makes of the errors under the key, in the same transaction; *ReplayedError when the key was used before. answer may be
	// called more than once and must not block.
	InsertBatch(ctx context.Context, tenant string, key *Idempotency, jobs []NewJob, answer func([]error) []byte) ([]error, error)
	// Job reads one job, or ErrNotFound.
	Job(ctx context.Context, tenant, id string) (*millrace.Job, error)
	// List reads jobs newest first.
	List(ctx context.Context, tenant string, f JobFilter) ([]*millrace.Job, error)
	// Cancel ends a job that is not running at once and asks the owner of a running one to stop (CancelAt is set; the row stays running until
	// the owner answers or ForceCancel takes it away). ErrState with the job when it is final already.
	Cancel(ctx context.Context, tenant, id string) (*millrace.Job, error)
	// Retry opens run n+1 of a failed or canceled job: queued in its own queue, fresh attempts, no crashes, no deadline that has passed, history
	// kept. ErrState with the job in any other state, ErrInputMissing when an input file is gone, *HeldError when a live job has its unique key.
	// With an idempotency key that was used before nothing is written: *ReplayedError. key may be nil.
	Retry(ctx context.Context, tenant, id string, key *RetryKey) (*millrace.Job, error)
	// Delete removes a final job with its outputs' files. ErrState when it is not final.
	Delete(ctx context.Context, tenant, id string) error
	// WebhookDeliveries lists what a job owes to its webhook, oldest first.
	WebhookDeliveries(ctx context.Context, tenant, job string) ([]millrace.WebhookDelivery, error)
}

// NewJob is a job to insert.
type NewJob struct {
	*millrace.Job
	DispatchAfter time.Duration // grace before Owed reports an immediate job; 0: at once
	From          []string      // for a Cached job: the file id whose blob each Output shares
	Idempotency   *Idempotency  // nil: none
	Coalesce      bool          // it has a cache key, and runs only if no equal job lives
	AnswerWaiting []byte        // what Idempotency keeps in place of its Answer where the job waits
}

// JobFilter selects jobs; zero fields select all.
type JobFilter struct {
	State                       millrace.State
	Type, Tag                   string
	CreatedAfter, CreatedBefore time.Time
	Before                      string // only ids smaller than this one: the cursor
	Limit                       int
}

// Files is what the API does with files.
type Files interface {
	// TakeBlob finds the live blob with these bytes in the tenant and keeps the collector away from it for an hour; ok is false when there is
	// none. A caller that gets a key uses it in place of publishing its own copy.
	TakeBlob(ctx context.Context, tenant, sha256 string) (key string, ok bool, err error)
	// CreateFile writes a file's row, and its blob's row if that key is new. With an idempotency key that was used before nothing is written:
	// *ReplayedError. key may be nil.
	CreateFile(ctx context.Context, f millrace.File, key *Idempotency) error
	// File reads one file, or ErrNotFound.
	File(ctx context.Context, tenant, id string) (millrace.File, error)
	// ListFiles reads files newest first, with ids smaller than before unless that is empty.
	ListFiles(ctx context.Context, tenant, before string, limit int) ([]millrace.File, error)
	// DeleteFile removes a file's row; its blob follows when nobody refers to it. ErrInUse while a live job needs it.
	DeleteFile(ctx context.Context, tenant, id string) error
}

// Results is the result cache. An entry points to the files of the job that computed it and dies with them.
type Results interface {
	// Result finds the newest succeeded job with this cache key, or ErrNotFound.
	Result(ctx context.Context, tenant, key string) (Result, error)
}

// Result is what an earlier job computed.
type Result struct {
	Job     string
	Result  []byte // JSON
	Outputs []millrace.Output
}

// PoolStats are figures of a connection pool at one moment. Embedded databases report what applies.
type PoolStats struct {
	Max, Open, InUse, Idle int
	Waits                  int64         // acquisitions that had to wait
	WaitTime               time.Duration // of all of them
}
