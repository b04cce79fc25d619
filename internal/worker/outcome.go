package worker

import (
	"encoding/json"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/blob"
)

// outcome says how an attempt ended, once, for all ways that it can. nil: nobody's, since the attempt belongs to another by now.
func (w *Worker) outcome(a *attempt, result json.RawMessage, outputs []store.NewOutput, err error) *store.Outcome {
	job := a.job
	o := &store.Outcome{Job: job.ID, Tenant: job.Tenant, Fence: job.Fence, Progress: a.host.last()}
	var none noRoom
	switch {
	case err == nil:
		o.Kind, o.Attempt, o.Result, o.Outputs = store.OutcomeSucceeded, millrace.AttemptSucceeded, result, outputs
	case errors.Is(err, errLost):
		return nil
	case errors.Is(err, errCanceled):
		o.Kind, o.Attempt = store.OutcomeCanceled, millrace.AttemptCanceled
		o.Error = &millrace.JobError{Code: millrace.CodeCanceled, Message: "canceled by request"}
	case errors.Is(err, errShutdown), errors.Is(err, errCrowded):
		o.Kind, o.Attempt = store.OutcomeReleased, millrace.AttemptReleased
	case errors.As(err, &none):
		w.waitForRoom(o, job, none.kept)
	case errors.Is(err, errDeadline):
		o.Kind, o.Attempt, o.Error = store.OutcomeFailed, millrace.AttemptTimeout, deadlineError(job, "passed before the job was done")
	case storageError(err) != nil && w.waitForStorage(o, job, storageError(err)):
		w.Log.Warn("the job's bytes could not be kept; it is put back for a while", "job", job.ID, "type", job.Type, "delay", o.Delay, "error", err)
	case errors.Is(err, errTimeout):
		o.Attempt = millrace.AttemptTimeout
		o.Error = &millrace.JobError{Code: millrace.CodeTimeout, Message: "the attempt took longer than its timeout of " + job.Timeout.String(), Retryable: true}
		w.retryOrFail(o, a)
	default:
		o.Attempt = millrace.AttemptError
		o.Error = w.jobError(job, err)
		w.retryOrFail(o, a)
	}
	return o
}

// retryOrFail gives the job another attempt when that can help, one is left, and it would begin before the deadline.
func (w *Worker) retryOrFail(o *store.Outcome, a *attempt) {
	job := a.job
	if !o.Error.Retryable || job.Attempt >= job.MaxAttempts {
		o.Kind = store.OutcomeFailed
		return
	}
	o.Kind, o.Delay = store.OutcomeRetry, job.Backoff.Delay(job.Attempt, w.Chance())
	if !a.deadline.IsZero() && !time.Now().Add(o.Delay).Before(a.deadline) {
		o.Kind, o.Delay = store.OutcomeFailed, 0
		o.Error = deadlineError(job, "would pass before the next attempt; the last one ended with: "+o.Error.Message)
	}
}

// deadlineError says what the job's deadline did.
func deadlineError(job *millrace.Job, did string) *millrace.JobError {
	return &millrace.JobError{Code: millrace.CodeTimeout, Message: "the deadline " + job.Deadline.UTC().Format(time.RFC3339) + " " + did}
}

// A job whose bytes cannot be kept, because the disk is full or broken, waits and spends nothing: fullReleases times, fullDelay and then twice as long each time up to fullMost,
// about a quarter of an hour together. After that it may be the job itself that no disk is large enough for: it goes on as after any error that
// passes, until its attempts are spent.
const (
	fullReleases = 20
	fullDelay    = 5 * time.Second
	fullMost     = time.Minute
)

// storageError is what the job's owner hears of an attempt that ended because of the disk, wherever on it the attempt wrote or read. nil: it
// ended for another reason.
func storageError(err error) *millrace.JobError {
	isAny := func(of ...error) bool {
		return slices.ContainsFunc(of, func(e error) bool { return errors.Is(err, e) })
	}
	switch {
	case isAny(blob.ErrFull, syscall.ENOSPC, syscall.EDQUOT):
		return &millrace.JobError{Code: millrace.CodeUnavailable, Message: "the server's disk is full", Retryable: true}
	case isAny(syscall.EIO, syscall.EROFS, syscall.ESTALE):
		return &millrace.JobError{Code: millrace.CodeUnavailable, Message: "the server's disk does not work", Retryable: true}
	}
	return nil
}

// waitForStorage puts the job back for a while, unless that was done often enough. The history knows how often it was.
func (w *Worker) waitForStorage(o *store.Outcome, job *millrace.Job, why *millrace.JobError) bool {
	n := timesReleased(job, *why)
	if n >= fullReleases {
		return false
	}
	o.Kind, o.Attempt, o.Error = store.OutcomeReleased, millrace.AttemptReleased, why
	o.Delay = min(fullDelay<<min(n, 8), fullMost)
	return true
}

// A job for which there was no memory is due again after roomDelay and spends nothing. At the start after keepAfter of these, its worker keeps
// room for it, waits keepWait for that, and goes on keeping it until the job is due again. Where room is kept for another job already, the delays
// double up to roomDelayMost, so that the job's history is not filled by them.
const (
	keepAfter     = 3
	keepWait      = 30 * time.Second
	roomDelay     = time.Second
	roomDelayMost = 8 * time.Second
)

// withoutRoom is what the job's owner hears while it waits.
func withoutRoom() millrace.JobError {
	return millrace.JobError{Code: millrace.CodeUnavailable, Message: "the worker's memory was in use by other jobs; the job waits for room", Retryable: true}
}

// waitForRoom puts the job back for a moment.
func (w *Worker) waitForRoom(o *store.Outcome, job *millrace.Job, kept bool) {
	why, delay := withoutRoom(), roomDelay
	o.Kind, o.Attempt, o.Error = store.OutcomeReleased, millrace.AttemptReleased, &why
	if before := timesWithoutRoom(job); before > keepAfter && !kept {
		delay = min(roomDelay<<min(before-keepAfter, 8), roomDelayMost)
	}
	o.Delay = delay + time.Duration((w.Chance()-0.5)*0.5*float64(delay)) // those that were put back together do not come together
}

// timesWithoutRoom is how often the job's present run was put back for want of memory, by any worker.
func timesWithoutRoom(job *millrace.Job) int { return timesReleased(job, withoutRoom()) }

// timesReleased is how often the job's present run was put back for this reason, as far as its history goes.
func timesReleased(job *millrace.Job, why millrace.JobError) int {
	n := 0
	for _, a := range job.Attempts {
		if a.Run == job.Run && a.Outcome == millrace.AttemptReleased && a.Error != nil && *a.Error == why {
			n++
		}
	}
	return n
}

// jobError puts an error into words for the job's owner. What nobody classified stays in the log.
func (w *Worker) jobError(job *millrace.Job, err error) *millrace.JobError {
	if e, ok := errors.AsType[*millrace.Error](err); ok && e.Code != "" && storageError(err) == nil {
		return &millrace.JobError{Code: e.Code, Message: e.Detail, Retryable: !e.Code.Permanent() && e.Code != millrace.CodeInputFailed}
	}
	w.Log.Error("attempt failed", "job", job.ID, "type", job.Type, "attempt", job.Attempt, "error", err)
	if why := storageError(err); why != nil {
		return why
	}
	if errors.Is(err, blob.ErrNotFound) {
		return &millrace.JobError{Code: millrace.CodeInputFailed, Message: "the bytes of an input file are gone", Retryable: true}
	}
	return &millrace.JobError{Code: millrace.CodeInternal, Message: "the work failed for a reason of the server's; its log says more", Retryable: true}
}

func stateAfter(k store.OutcomeKind) millrace.State {
	switch k {
	case store.OutcomeSucceeded:
		return millrace.Succeeded
	case store.OutcomeFailed:
		return millrace.Failed
	case store.OutcomeRetry:
		return millrace.Retrying
	case store.OutcomeCanceled:
		return millrace.Canceled
	}
	return millrace.Queued
}
