package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// result is an outcome on its way into the database.
type result struct {
	ending
	files []newFile
}

// Finish implements store.WorkerLedger. All outcomes are written together. One whose output's blob is being collected is left out, and the
// error is store.ErrStaleResult: the others are written, as their repetition will say.
func (l *Ledger) Finish(ctx context.Context, outcomes []store.Outcome) ([]bool, error) {
	results := make([]result, len(outcomes))
	for i, o := range outcomes {
		var err error
		if results[i], err = prepareResult(o); err != nil {
			return nil, fmt.Errorf("outcome of job %s: %w", o.Job, err)
		}
	}
	won := make([]bool, len(outcomes))
	var stale error
	err := l.write(ctx, func(t *tx) error {
		for i, r := range results {
			if err := t.dying(r); err != nil {
				stale = errors.Join(stale, err)
				continue
			}
			var err error
			if won[i], err = t.finish(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return won, stale
}

// dying answers store.ErrStaleResult when the outcome would win and a blob of its outputs must not be referred to any more.
func (t *tx) dying(r result) error {
	for _, out := range r.files {
		var refused bool
		if err := t.row(`SELECT EXISTS (SELECT 1 FROM blobs b JOIN jobs j ON j.id = ?2 WHERE b.key = ?1 AND j.fence = ?3 AND j.state = 'running'
			AND (b.state <> 'live' OR b.tenant <> j.tenant))`, out.blob, r.job, r.fence).Scan(&refused); err != nil {
			return err
		}
		if refused {
			return fmt.Errorf("output %s of job %s: blob %s is being collected: %w", out.Name, r.job, out.blob, store.ErrStaleResult)
		}
	}
	return nil
}

// prepareResult translates an outcome. An attempt is spent when it ended by the job's own doing.
func prepareResult(o store.Outcome) (r result, err error) {
	r.ending = ending{job: o.Job, fence: o.Fence, word: o.Attempt}
	switch o.Kind {
	case store.OutcomeSucceeded:
		r.state = millrace.Succeeded
	case store.OutcomeFailed:
		r.state = millrace.Failed
	case store.OutcomeCanceled:
		r.state, r.keep = millrace.Canceled, true
	case store.OutcomeRetry:
		r.state, r.delay = millrace.Retrying, o.Delay.Milliseconds()
	case store.OutcomeReleased:
		r.state, r.keep, r.refence, r.delay = millrace.Queued, o.Error == nil, true, o.Delay.Milliseconds()
	default:
		return r, fmt.Errorf("unknown kind %q", o.Kind)
	}
	if r.word == "" {
		r.word = defaultWord(o.Kind)
	}
	if o.Kind != store.OutcomeReleased && o.Kind != store.OutcomeCanceled {
		r.spent = r.word == millrace.AttemptSucceeded || r.word == millrace.AttemptError || r.word == millrace.AttemptTimeout
	}
	if r.error, err = encode(o.Error, o.Error == nil); err != nil {
		return r, err
	}
	if r.progress, err = encode(o.Progress, o.Progress == millrace.Progress{}); err != nil || o.Kind != store.OutcomeSucceeded {
		return r, err
	}
	r.error = sql.NullString{}
	r.ending.result = text(o.Result)
	outputs := make([]millrace.Output, len(o.Outputs))
	for i, out := range o.Outputs {
		outputs[i] = out.Output
		r.files = append(r.files, newFile{Output: out.Output, blob: out.Blob})
	}
	r.outputs, err = encode(outputs, len(outputs) == 0)
	return r, err
}

func defaultWord(kind store.OutcomeKind) string {
	switch kind {
	case store.OutcomeSucceeded:
		return millrace.AttemptSucceeded
	case store.OutcomeReleased:
		return millrace.AttemptReleased
	case store.OutcomeCanceled:
		return millrace.AttemptCanceled
	}
	return millrace.AttemptError
}

// finish writes one outcome and what the world sees of it.
func (t *tx) finish(r result) (won bool, err error) {
	done, err := t.end(r.ending)
	if err != nil {
		return false, err
	}
	if !done.won {
		return t.wrote(r.job, r.fence, r.word)
	}
	if err := t.writeOutputs(done.tenant, r.job, r.files, done.expires); err != nil {
		return false, err
	}
	if done.state == millrace.Succeeded {
		if err := t.remember(done.tenant, done.cacheKey, r.job); err != nil {
			return false, err
		}
	}
	if done.state.Final() {
		err = t.conclude(done.final)
	}
	return true, err
}

// wrote says whether the history knows that this very attempt ended in this way: then an earlier call whose answer was lost wrote it.
func (t *tx) wrote(job string, fence int64, word string) (bool, error) {
	var text string
	var history []attempt
	err := t.row(`SELECT attempts FROM jobs WHERE id = ?`, job).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err == nil {
		err = into(&history)(text)
	}
	if err != nil {
		return false, fmt.Errorf("read history of job %s: %w", job, err)
	}
	for _, a := range history {
		if a.Fence == fence {
			return a.Outcome == word, nil
		}
	}
	return false, nil
}
