package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/batch"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/tasks"
)

// maxResult bounds the JSON that a handler answers: it is kept in the job's row, and the ledger's socket takes no message of more than 16 MiB,
// which would be tried again for ever. What is larger belongs into an output.
const maxResult = 8 << 20

// attempt is one run of a handler, from claim to outcome.
type attempt struct {
	job      *millrace.Job
	inputs   []millrace.File
	host     *host
	cancel   context.CancelCauseFunc
	returned atomic.Bool // the handler has
	deadline time.Time   // the job's, by this machine's clock, which only its difference to the claim's time went into; zero: none
}

// claim is how the ledger knows the attempt.
func (a *attempt) claim() store.Delivery { return store.Delivery{Job: a.job.ID, Fence: a.job.Fence} }

// handle is what the queue calls for a delivery. It answers nil once the ledger has the word, an error only when it could not be asked.
func (w *Worker) handle(ctx context.Context, s *slots, t queue.Task) error {
	place := s.enter()
	defer place.leave()
	typ, ok := w.Types.Get(t.Type)
	if !ok {
		return fmt.Errorf("task type %s is not known to this version; a newer worker must take it", t.Type)
	}
	fault.Point(fault.Delivered)
	claimed, err := w.claim(ctx, store.Delivery{Job: t.Job, Fence: t.Fence})
	if err != nil || claimed.Job == nil {
		return err
	}
	return w.attempt(place, typ, claimed)
}

type claimAnswer struct {
	claimed store.Claimed
	err     error
}

// claim asks the ledger for the job and keeps asking while it is out of reach, so that an outage does not use up the queue's patience.
func (w *Worker) claim(ctx context.Context, d store.Delivery) (store.Claimed, error) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		if w.drains() {
			return store.Claimed{}, queue.ErrEnded
		}
		answer, err := w.claims.Do(ctx, d)
		if err == nil {
			err = answer.err
		}
		if err == nil && !w.fenced() || ctx.Err() != nil {
			return answer.claimed, err
		}
		select {
		case <-ctx.Done():
			return store.Claimed{}, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (w *Worker) claimGroup(ctx context.Context, group []store.Delivery) []claimAnswer {
	answers := make([]claimAnswer, len(group))
	w.mu.Lock()
	id := w.id
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	claimed, err := w.Ledger.Claim(ctx, id, group)
	for i := range answers {
		if err != nil {
			answers[i].err = err
			continue
		}
		answers[i].claimed = claimed[i]
	}
	return answers
}

// attempt runs the handler and records how it ended. Its slot is free again as soon as the handler has returned and its outputs are published: the
// outcome goes to the ledger in a group with others. The queue hears of a final failure, so that its dashboard shows it.
func (w *Worker) attempt(p *place, typ tasks.Type, c store.Claimed) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	a := &attempt{job: c.Job, inputs: c.Inputs, cancel: cancel}
	if !c.Job.Deadline.IsZero() {
		a.deadline = time.Now().Add(c.Job.Deadline.Sub(c.Started))
	}
	a.host = newHost(w, c.Job)
	if !w.add(a) {
		return nil
	}
	defer w.remove(a)
	w.news.add(notify.Event{Tenant: c.Job.Tenant, Job: c.Job.ID, State: millrace.Running})

	result, outputs, err := w.inSlot(ctx, p, a, typ, slotWait)
	if none, ok := errors.AsType[noRoom](err); ok && timesWithoutRoom(c.Job) >= keepAfter {
		result, outputs, err = w.withRoom(ctx, p, a, typ, none.bytes)
	}
	o := w.outcome(a, result, outputs, err)
	if o == nil {
		a.host.discard(true)
		return nil
	}
	if o.Kind != store.OutcomeSucceeded {
		// Before the ledger is asked: on a full disk these bytes may be what leaves it no room for the outcome.
		a.host.discard(true)
	}
	won, known := w.finish(o)
	fault.Point(fault.Finished)
	if !won || o.Kind != store.OutcomeSucceeded {
		// When nobody knows whether the outcome was committed, the published bytes may be the job's: the collector decides.
		a.host.discard(known)
	}
	if won && o.Kind == store.OutcomeFailed {
		return queue.Final(errors.New(o.Error.Message))
	}
	return nil
}

// inSlot does the work once a slot is free, for which it waits a while at most.
func (w *Worker) inSlot(ctx context.Context, p *place, a *attempt, typ tasks.Type, wait time.Duration) (json.RawMessage, []store.NewOutput, error) {
	defer p.stop()
	if err := p.start(ctx, wait); err != nil {
		return nil, nil, err
	}
	return w.work(ctx, a, typ)
}

// withRoom does the work of a job that was put back for want of memory often enough, once there is room. Until then it has no slot, and its
// timeout does not run.
func (w *Worker) withRoom(ctx context.Context, p *place, a *attempt, typ tasks.Type, bytes int64) (json.RawMessage, []store.NewOutput, error) {
	wait := keepWait
	if !a.deadline.IsZero() {
		wait = min(wait, time.Until(a.deadline))
	}
	room, err := w.budget.keepRoom(ctx, a.job.ID, bytes, wait, w.drained)
	if err != nil {
		return nil, nil, err
	}
	p.back()
	a.host.again(room)
	defer a.host.dropKept()
	return w.inSlot(ctx, p, a, typ, keepWait)
}

// work runs the handler within its time and publishes its outputs.
func (w *Worker) work(ctx context.Context, a *attempt, typ tasks.Type) (result json.RawMessage, outputs []store.NewOutput, err error) {
	ctx, stop := a.limit(ctx)
	defer stop()
	a.returned.Store(false)
	watched := context.AfterFunc(ctx, func() { w.watchStuck(a, context.Cause(ctx)) })
	defer watched()
	fault.For(fault.Claimed, a.job.Tags)
	result, err = a.run(ctx, typ)
	w.watchLeft(a)
	if err == nil {
		outputs, err = a.host.publish(ctx)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	fault.Point(fault.Published)
	a.returned.Store(true)
	return result, outputs, err
}

// limit ends the attempt's context at its timeout or at the job's deadline, whichever comes first.
func (a *attempt) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if end := time.Now().Add(a.job.Timeout); a.deadline.IsZero() || end.Before(a.deadline) {
		return context.WithDeadlineCause(ctx, end, errTimeout)
	}
	return context.WithDeadlineCause(ctx, a.deadline, errDeadline)
}

// run calls the handler; a panic is an error of this attempt and no more.
func (a *attempt) run(ctx context.Context, typ tasks.Type) (result json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler of %s panicked: %v\n%s", typ.Name, p, debug.Stack())
		}
	}()
	for i, f := range a.inputs {
		if f.ID == "" {
			return nil, millrace.BadInput(millrace.CodeInputFailed, "input file %s does not exist any more", a.job.Inputs[i].File)
		}
	}
	result, err = typ.Run(ctx, tasks.NewCall(a.host, a.inputs), a.job.Params)
	if err == nil && len(result) > maxResult {
		return nil, millrace.BadInput(millrace.CodeTooLarge, "the result has %d MiB; the limit is %d MiB", len(result)>>20, maxResult>>20)
	}
	return result, err
}

// watchStuck gives a handler whose context has ended for cause a minute to return. Go cannot kill a goroutine: after that the attempt is recorded
// as it ended, and the process drains and is replaced.
func (w *Worker) watchStuck(a *attempt, cause error) {
	deadline := time.NewTimer(stuckGrace)
	defer deadline.Stop()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for !a.returned.Load() {
		select {
		case <-look.C:
			continue
		case <-deadline.C:
		}
		w.Log.Error("a handler ignores the end of its context; this process will be replaced", "job", a.job.ID, "type", a.job.Type, "cause", cause)
		if o := w.outcome(a, nil, nil, cause); o != nil {
			if o.Error != nil {
				o.Error.Message += "; the handler did not stop when it was told to, and its process was replaced"
			}
			w.finish(o)
		}
		select {
		case w.stuck <- struct{}{}:
		default:
		}
		return
	}
}

// watchLeft gives what a handler left running as long as a handler: it is known by the memory that it keeps.
func (w *Worker) watchLeft(a *attempt) {
	for _, g := range a.host.end() {
		time.AfterFunc(stuckGrace, func() {
			if g.released() {
				return
			}
			w.Log.Error("a handler has returned and keeps memory; this process will be replaced", "job", a.job.ID, "type", a.job.Type, "bytes", g.bytes)
			select {
			case w.stuck <- struct{}{}:
			default:
			}
		})
	}
}

// add notes the attempt, unless it runs here already: a delivery that comes twice is claimed twice by the same process, as after a lost answer.
func (w *Worker) add(a *attempt) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, runs := w.attempts[a.claim()]; runs {
		return false
	}
	w.attempts[a.claim()] = a
	if w.over {
		a.cancel(errShutdown)
	}
	return true
}

func (w *Worker) remove(a *attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.attempts, a.claim())
}

func (w *Worker) drains() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.draining
}

type outcomeAnswer struct {
	won bool
	err error
}

// finish writes the outcome and keeps trying until the ledger has it, or this process counts as dead and another will do the job. won says
// whether the outcome is the job's, known whether that is certain: a call whose answer was lost may have made it so for a while, and others may
// share its outputs' bytes although the job is gone again.
func (w *Worker) finish(o *store.Outcome) (won, known bool) {
	known = true
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		answer, err := w.outcomes.Do(context.Background(), *o)
		if err == nil && answer.err == nil {
			return answer.won, known || answer.won
		}
		if errors.Is(answer.err, store.ErrStaleResult) {
			// Bytes that an output shares are being collected. It is nobody's fault and the next attempt writes its own.
			w.Log.Info("an output's bytes were being collected; the job is put back", "job", o.Job)
			o.Kind, o.Attempt, o.Result, o.Outputs = store.OutcomeReleased, millrace.AttemptReleased, nil, nil
			continue
		}
		if w.fenced() || errors.Is(err, batch.ErrClosed) {
			w.Log.Warn("outcome thrown away: the ledger was out of reach for too long", "job", o.Job, "error", errors.Join(err, answer.err))
			return false, false
		}
		known = known && errors.Is(err, batch.ErrFull)
		<-time.After(pause)
	}
}

func (w *Worker) finishGroup(ctx context.Context, group []store.Outcome) []outcomeAnswer {
	answers := make([]outcomeAnswer, len(group))
	if n := fits(group); n < len(group) {
		return append(w.finishGroup(ctx, group[:n]), w.finishGroup(ctx, group[n:])...)
	}
	won, err := w.finishNow(ctx, group)
	if errors.Is(err, store.ErrStaleResult) && len(group) > 1 {
		for i := range group { // again, one by one: the error is one outcome's alone, and repeating the others changes nothing
			answers[i] = w.finishGroup(ctx, group[i:i+1])[0]
		}
		return answers
	}
	ended := make([]notify.Event, 0, len(group))
	for i, o := range group {
		answers[i].err = err
		if err == nil && won[i] {
			answers[i].won = true
			ended = append(ended, notify.Event{Tenant: o.Tenant, Job: o.Job, State: stateAfter(o.Kind)})
		}
	}
	w.news.end(ended)
	return answers
}

// groupBytes bounds what outcomes bring to the ledger in one call, as results have up to 8 MiB each and its socket takes no message of more than
// 16 MiB.
const groupBytes = 8 << 20

// fits is how many of the first outcomes one call may carry: one at least.
func fits(group []store.Outcome) int {
	size := 0
	for i, o := range group {
		size += len(o.Result)
		if i > 0 && size > groupBytes {
			return i
		}
	}
	return len(group)
}

func (w *Worker) finishNow(ctx context.Context, group []store.Outcome) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	fault.Point(fault.BeforeOutcome)
	won, err := w.Ledger.Finish(ctx, group)
	if lost := fault.Error(fault.OutcomeLost); lost != nil {
		return nil, lost
	}
	return won, err
}
