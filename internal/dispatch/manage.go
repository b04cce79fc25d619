package dispatch

import (
	"context"
	"errors"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/store"
)

// Cancel ends a job, or asks the worker that runs it to stop. A final job is a Conflict.
func (d *Dispatcher) Cancel(ctx context.Context, tenant, id string) (*millrace.Job, error) {
	job, err := d.Ledger.Cancel(ctx, tenant, id)
	if err != nil {
		return nil, stateError(err, job, "a job that is %s cannot be canceled")
	}
	if job.State == millrace.Running {
		d.Signals.Cancel(ctx, []string{id})
	}
	return job, nil
}

// Retry opens a new run of a job that failed or was canceled. Any other state is a Conflict, and so is a unique key that another job has now. With
// an idempotency key, which may be nil, what is answered is kept for repetitions.
func (d *Dispatcher) Retry(ctx context.Context, tenant, id string, key *Key) (*millrace.Job, error) {
	job, err := d.Ledger.Retry(ctx, tenant, id, (*store.RetryKey)(key))
	if held, ok := errors.AsType[*store.HeldError](err); ok {
		return nil, ledgerError(held)
	}
	if errors.Is(err, store.ErrInputMissing) {
		return nil, millrace.Wrap(millrace.Conflict, err, "an input file of this job is gone; submit a new job with a new upload")
	}
	if err != nil {
		return nil, stateError(err, job, "only a failed or canceled job can be retried; this one is %s")
	}
	if d.window.take(job.Queue) {
		d.sends.send(queue.Task{Job: job.ID, Fence: job.Fence, Type: job.Type, Queue: job.Queue})
	}
	return job, nil
}

// PauseQueue stops the handing out of a queue's jobs, or lets it go on. It holds when this returns: the ledger refuses claims. That the queue itself
// hands nothing out is an economy, which the leader sees to where this call can not.
func (d *Dispatcher) PauseQueue(ctx context.Context, name string, paused bool) error {
	if err := d.Ledger.PauseQueue(ctx, name, paused); err != nil {
		return err
	}
	if err := d.Queue.Pause(ctx, name, paused); err != nil {
		d.Log.Warn("the queue was not told of a pause; the ledger sees to it", "queue", name, "paused", paused, "error", err)
	}
	return nil
}

// Delete removes a final job with its outputs. A job that is not final is a Conflict.
func (d *Dispatcher) Delete(ctx context.Context, tenant, id string) error {
	err := d.Ledger.Delete(ctx, tenant, id)
	if errors.Is(err, store.ErrState) {
		return millrace.Wrap(millrace.Conflict, err, "the job is not finished; cancel it first")
	}
	return err
}

func stateError(err error, job *millrace.Job, format string) error {
	if !errors.Is(err, store.ErrState) || job == nil {
		return err
	}
	return millrace.Wrap(millrace.Conflict, err, format, job.State)
}
