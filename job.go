package millrace

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Job is one piece of work as the ledger holds it. A zero time means "not yet" or "never".
type Job struct {
	ID       string // UUIDv7, made by whoever accepts the job
	Tenant   string
	Type     string // the task type's name
	State    State
	Priority Priority
	Queue    string // QueueName of the type's pool and the priority

	Params   json.RawMessage // canonical: decoded by the type, defaults filled in
	Inputs   []Input
	Tags     []string
	Metadata json.RawMessage // the caller's own object, or nil

	Progress Progress
	Result   json.RawMessage // what the handler returned, or nil
	Outputs  []Output
	Error    *JobError // why it failed, or why the last attempt did
	Attempts []Attempt // the newest MaxAttemptHistory, oldest first

	Run         int // 1, and one more for each retry by hand
	Attempt     int // attempts spent: those that ended in the job's own error or timeout, and the running one
	MaxAttempts int
	Starts      int // attempts started, spent or not
	Crashes     int // attempts of this run that ended with their process

	Timeout   time.Duration // of one attempt
	Backoff   Backoff
	Retention time.Duration // how long the job is kept once final
	Deadline  time.Time     // when a job that is not final by then fails; zero: never

	Unique   *Unique  // no other live job of the tenant may have its key; nil: none
	Webhook  *Webhook // who is told when a run ends; nil: nobody
	Schedule string   // name of the schedule that made the job, or ""

	CacheKey string // result cache key, or "" when the result is not cached
	Cached   bool   // the result came from the cache

	// Fence is raised by every claim, release, rescue and forced cancel. Who holds another number is nobody; it also names the delivery.
	Fence    int64
	WorkerID string // the owner while running

	CreatedAt, RunAt, StartedAt, FinishedAt, ExpiresAt, CancelAt time.Time
}

// Unique keeps a second job with the same key out while one lives. The key is freed when the job is final, or TTL after its run began.
type Unique struct {
	Key string        `json:"key"`
	TTL time.Duration `json:"ttl"` // 0: as long as the job lives
}

// Webhook asks for a call when a run of a job ends.
type Webhook struct {
	URL    string   `json:"url"`
	Events []string `json:"events"` // final states: "succeeded", "failed", "canceled"
}

// WebhookDelivery is one call that is owed to a webhook: a row of the transaction that ended the run, so that it exists exactly if the run ended.
type WebhookDelivery struct {
	ID        string // the webhook-id, the same in every repetition: receivers drop what they know
	Tenant    string
	Job       string
	Run       int
	Event     string // the final state
	URL       string
	CreatedAt time.Time
}

// WebhookID is the id of the delivery that tells of the end of a job's run.
func WebhookID(job string, run int) string {
	return "msg_" + strings.ReplaceAll(job, "-", "") + "_" + strconv.Itoa(run)
}

// MaxAttemptHistory bounds how many attempts a job remembers.
const MaxAttemptHistory = 50

// Input names what a job works on.
type Input struct {
	File string `json:"file"` // file id
}

// Output is a file that a job produced.
type Output struct {
	Name        string `json:"name"` // unique within the job; also the suggested file name
	File        string `json:"file"` // file id
	Size        int64  `json:"size"` // bytes
	ContentType string `json:"content_type"`
	SHA256      string `json:"sha256"` // hex
}

// Progress is how far the running attempt has come. Total is 0 while unknown.
type Progress struct {
	Done    int64  `json:"done"`
	Total   int64  `json:"total"`
	Unit    string `json:"unit,omitempty"` // "bytes", "rows", "pixels" …
	Message string `json:"message,omitempty"`
}

// Percent is Done of Total in 0…100, 0 while Total is unknown.
func (p Progress) Percent() float64 {
	if p.Total <= 0 {
		return 0
	}
	return min(100, 100*float64(p.Done)/float64(p.Total))
}

// Backoff is the delay before attempt n+1: Initial × Factor^(n-1), at most Max, spread by ± Jitter.
type Backoff struct {
	Initial time.Duration `json:"initial"`
	Max     time.Duration `json:"max"`
	Factor  float64       `json:"factor"`
	Jitter  float64       `json:"jitter"` // 0…1
}

// Delay is the wait after spent attempts (1 or more) have failed. chance is uniform in [0, 1) and spreads the delay.
func (b Backoff) Delay(spent int, chance float64) time.Duration {
	d := float64(b.Initial)
	for i := 1; i < spent && d < float64(b.Max); i++ {
		d *= b.Factor
	}
	d = min(d, float64(b.Max))
	return time.Duration(d * (1 + b.Jitter*(2*chance-1)))
}

// How an attempt ended.
const (
	AttemptSucceeded = "succeeded"
	AttemptError     = "error"    // the job's own error: spent
	AttemptTimeout   = "timeout"  // its own timeout: spent
	AttemptCrashed   = "crashed"  // the process died: not spent
	AttemptReleased  = "released" // put back by a drain: not spent
	AttemptCanceled  = "canceled" // by request: not spent
)

// Attempt is one start of a job. N counts starts 1, 2, 3 … within the job.
type Attempt struct {
	N         int       `json:"n"`
	Run       int       `json:"run"`
	Worker    string    `json:"worker"`
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at"` // zero while running
	Outcome   string    `json:"outcome,omitempty"`
	Spent     bool      `json:"spent"`
	Error     *JobError `json:"error,omitempty"`
}

// JobError is why an attempt or a job failed, safe to show to its owner.
type JobError struct {
	Code      Code   `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
}
