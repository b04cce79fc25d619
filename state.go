package millrace

// State is where a job stands. The order of a job's life is
//
//	scheduled → queued → running → succeeded | failed | canceled
//
// with waiting before queued for a job that another one computes as well, and retrying between two attempts.
type State string

// The states of a job.
const (
	Scheduled State = "scheduled" // run_at lies ahead
	Waiting   State = "waiting"   // for an equal job that lives
	Queued    State = "queued"    // may be claimed by a worker
	Running   State = "running"   // an attempt holds it
	Retrying  State = "retrying"  // an attempt failed; the next has a time
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Canceled  State = "canceled"
)

// States lists every state in the order of a job's life.
func States() []State {
	return []State{Scheduled, Waiting, Queued, Running, Retrying, Succeeded, Failed, Canceled}
}

// Final says whether a run of a job ends in s. Each run reaches exactly one final state, once.
func (s State) Final() bool { return s == Succeeded || s == Failed || s == Canceled }

// Valid says whether s is a known state.
func (s State) Valid() bool {
	for _, k := range States() {
		if s == k {
			return true
		}
	}
	return false
}

// Priority orders the jobs of one pool by weight; a lower one is never starved.
type Priority string

// The priorities of a job.
const (
	High   Priority = "high"
	Normal Priority = "normal"
	Low    Priority = "low"
)

// Priorities lists every priority, highest first.
func Priorities() []Priority { return []Priority{High, Normal, Low} }

// Pool is a bounded set of slots in each worker process. A task type declares which one it runs in.
type Pool string

// The pools of a worker process.
const (
	CPU Pool = "cpu" // about one running job per process
	IO  Pool = "io"  // jobs that mostly wait
)

// Pools lists every pool.
func Pools() []Pool { return []Pool{CPU, IO} }

// Quarantine is the queue of jobs whose process died under them more than once: each runs alone, in a worker process started for it. No task
// type declares it, so it is not among Pools.
const Quarantine Pool = "quarantine"

// How many crashes send a job to quarantine, and how many, those alone included, end it as poisoned. A crash in company says nothing about who
// did it, so the first leads nowhere.
const (
	QuarantineCrashes = 2
	PoisonCrashes     = 4
)

// QueueName is the queue of a pool and priority, such as "cpu.normal".
func QueueName(pool Pool, priority Priority) string { return string(pool) + "." + string(priority) }

// Queues lists every queue name, pool by pool, highest priority first, the quarantine last.
func Queues() []string {
	var names []string
	for _, pool := range Pools() {
		for _, priority := range Priorities() {
			names = append(names, QueueName(pool, priority))
		}
	}
	return append(names, string(Quarantine))
}
