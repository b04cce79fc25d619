// Package fault names the moments at which the fault runs strike: "after the insert, before the enqueue", "after the outcome, before the
// acknowledgement". The product calls Point, For or Error there.
//
// Without the build tag faults all of them are empty and are compiled away; no released binary has them. With the tag a process looks, at each
// such moment, for an order in the directory that MILLRACE_FAULTS names, and does what it says to itself. Orders are files, not variables, so that
// whoever runs the faults can give and withdraw them while the processes live.
//
// Nothing here decides anything for the product: a package must be right whether or not a point strikes.
package fault

// The moments that have a name. A point stands where the product is between two steps, of which the first may or may not have been seen by others.
const (
	BeforeInsert  = "before-insert"              // api: a group of jobs is about to be committed
	Inserted      = "after-insert"               // api: committed, not enqueued, not answered
	Enqueued      = "after-enqueue"              // api: in the queue, some of the group not answered yet
	BeforeAnswer  = "before-answer"              // api: committed and handed to the sender, the 202 not written
	Delivered     = "delivered-before-claim"     // worker: the queue has handed the task out, the ledger does not know
	Claimed       = "claimed-before-work"        // worker: the job is this process's, its handler has not begun
	Writing       = "writing-output"             // worker: in the middle of an output's bytes
	Publishing    = "publishing-blob"            // whoever writes a blob: renamed, the directory not yet durable
	Published     = "output-before-outcome"      // worker: outputs are published, no row names them
	BeforeOutcome = "outcome-on-its-way"         // worker: a group of outcomes is about to be committed
	OutcomeLost   = "outcome-answer-lost"        // worker: a group of outcomes is committed, its answer is thrown away
	Finished      = "outcome-before-ack"         // worker: the outcome is in the ledger, the queue still holds the task
	Marked        = "gc-between-mark-and-delete" // leader: blobs are marked as dying, their bytes are still there
	Leading       = "while-leader"               // leader: between two of its rounds
	Fsync         = "fsync"                      // whoever writes a blob: the disk answers an error
)

// Names are the points of the product, for those who plan strikes.
func Names() []string {
	return []string{BeforeInsert, Inserted, Enqueued, BeforeAnswer, Delivered, Claimed, Writing, Publishing, Published, BeforeOutcome, OutcomeLost,
		Finished, Marked, Leading, Fsync}
}
