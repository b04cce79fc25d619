package worker

import (
	"encoding/json"
	"errors"
	"math/rand/v2"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/blob"
)

// outcome says how an attempt ended, once, for all ways that it can. nil: nobody's, since the attempt belongs to another by now.
func (w *Worker) outcome(a *attempt, result json.RawMessage, outputs []store.NewOutput, err error) *store.Outcome {
	job := a.job
	o := &store.Outcome{Job: job.ID, Tenant: job.Tenant, Fence: job.Fence, Progress: a.host.last()}
	switch {
	case err == nil:
		o.Kind, o.Attempt, o.Result, o.Outputs = store.OutcomeSucceeded, millrace.AttemptSucceeded, result, outputs
	case errors.Is(err, errLost):
		return nil
	case errors.Is(err, errCanceled):
		o.Kind, o.Attempt = store.OutcomeCanceled, millrace.AttemptCanceled
		o.Error = &millrace.JobError{Code: millrace.CodeCanceled, Message: "canceled by request"}
	case errors.Is(err, errShutdown):
		o.Kind, o.Attempt = store.OutcomeReleased, millrace.AttemptReleased
	case errors.Is(err, errTimeout):
		o.Attempt = millrace.AttemptTimeout
		o.Error = &millrace.JobError{Code: millrace.CodeTimeout, Message: "the attempt took longer than its timeout of " + job.Timeout.String(), Retryable: true}
		w.retryOrFail(o, job)
	default:
		o.Attempt = millrace.AttemptError
		o.Error = w.jobError(job, err)
		w.retryOrFail(o, job)
	}
	return o
}

// retryOrFail gives the job another attempt when that can help and one is left.
func (w *Worker) retryOrFail(o *store.Outcome, job *millrace.Job) {
	if !o.Error.Retryable || job.Attempt >= job.MaxAttempts {
		o.Kind = store.OutcomeFailed
		return
	}
	o.Kind, o.Delay = store.OutcomeRetry, job.Backoff.Delay(job.Attempt, rand.Float64())
}

// jobError puts an error into words for the job's owner. What nobody classified stays in the log.
func (w *Worker) jobError(job *millrace.Job, err error) *millrace.JobError {
	if e, ok := errors.AsType[*millrace.Error](err); ok && e.Code != "" {
		return &millrace.JobError{Code: e.Code, Message: e.Detail, Retryable: !e.Code.Permanent() && e.Code != millrace.CodeInputFailed}
	}
	w.Log.Error("attempt failed", "job", job.ID, "type", job.Type, "attempt", job.Attempt, "error", err)
	switch {
	case errors.Is(err, blob.ErrFull):
		return &millrace.JobError{Code: millrace.CodeUnavailable, Message: "the server's disk is full", Retryable: true}
	case errors.Is(err, blob.ErrNotFound):
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
