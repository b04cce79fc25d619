package store

import "github.com/millrace/millrace"

// Equal jobs. Of the live jobs of a tenant with one cache key, among those inserted with Coalesce, one leads: it is queued, runs and retries like any
// other. The others are waiting: no worker may claim them, nothing is owed, their inputs and unique keys are held, and they can be canceled and run
// into their deadlines. The transaction that ends the leader decides about all who wait for it:
//
//   - it succeeded: they have succeeded, too, with its result, Cached, and with files of their own that share its outputs' blobs;
//   - it failed and ForAll says that they would as well: they have failed with its error;
//   - anything else (canceled, out of attempts, poisoned, overdue, or an output that is gone again): the oldest of them leads, queued and due at
//     once, and the others wait for it.
//
// Where many wait, that transaction writes the first of them and what it owes to the others, and ReleaseWaiting goes on. Nobody joins those who wait
// for a leader that has ended. A leader that ended without a word, by a program that knew nothing of all this, is found by ReleaseWaiting.
//
// Scheduled jobs, retries by hand and jobs of schedules are not coalesced: they neither wait nor lead.

// ForAll says whether the error with which a job failed for good is that of every job that asks for the same: not a fault that passes, and nothing
// that is the one job's own affair, such as its deadline, its input's copy of the bytes, or the processes that died under it.
func ForAll(e *millrace.JobError) bool {
	if e == nil || e.Retryable {
		return false
	}
	switch e.Code {
	case millrace.CodePoisoned, millrace.CodeTimeout, millrace.CodeCanceled, millrace.CodeInputFailed, millrace.CodeUnavailable:
		return false
	}
	return true
}

// Release is news of a job that waited for an equal one: it has ended as that did, or it is queued and leads.
type Release struct {
	Tenant, Job string
	State       millrace.State
}
