package sqlite

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/millrace/millrace"
)

// endSQL ends the running attempt of one fence; whoever holds another number changes nothing. A job that is to run again ends canceled instead
// when somebody asked for that. ?11 and ?12 are JSON.
const endSQL = `UPDATE jobs SET
	state       = iif(?5 OR cancel_at IS NULL, ?4, 'canceled'),
	due_at      = iif(?5 OR cancel_at IS NOT NULL, NULL, ?6),
	run_at      = iif(?4 = 'retrying' AND cancel_at IS NULL, ?6, run_at),
	sent_gen    = 0,
	fence       = fence + ?7,
	attempt     = attempt - ?8,
	crashes     = crashes + ?9,
	error       = iif(?13, coalesce(?17, ?12), error),
	outputs     = ?14,
	result      = ?15,
	progress    = coalesce(?16, progress),
	finished_at = iif(?5 OR cancel_at IS NOT NULL, ?3, NULL),
	expires_at  = iif(?5 OR cancel_at IS NOT NULL, ?3 + retention / 1000000, NULL),
	worker_id   = NULL,
	attempts    = json_set(attempts, '$[#-1].ended', ?3, '$[#-1].outcome', ?10, '$[#-1].spent', json(?11), '$[#-1].error', json(?12))
	WHERE id = ?1` + sameFence + stillRunning + `
	RETURNING tenant, state, run, cache_key, expires_at, inputs IS NOT NULL, unique_key, webhook`

// The guards of an attempt's end.
const (
	sameFence    = ` AND fence = ?2`
	stillRunning = ` AND state = 'running'`
)

// ending says how an attempt ends.
type ending struct {
	job   string
	fence int64

	state   millrace.State // a final one, queued or retrying
	delay   int64          // milliseconds, when it is to run again
	refence bool           // deliveries of this attempt must not be claimed again
	crash   bool
	word    string // Attempt* for the history
	spent   bool
	error   sql.NullString // of the attempt
	keep    bool           // the job's own error stays as it is
	reason  sql.NullString // the job's own error, where it is not the attempt's

	outputs, result, progress sql.NullString
}

// ended is what became of it.
type ended struct {
	won bool
	final
}

// end ends an attempt. The caller concludes the run of a job that is final then, once its outputs are there.
func (t *tx) end(e ending) (ended, error) {
	r := ended{final: final{job: e.job}}
	err := t.row(endSQL, e.job, e.fence, t.now, string(e.state), e.state.Final(), t.now+e.delay, number(e.refence), number(!e.spent),
		number(e.crash), e.word, fmt.Sprint(e.spent), e.error, !e.keep, e.outputs, e.result, e.progress, e.reason).
		Scan(&r.tenant, &r.state, &r.run, &r.cacheKey, &r.expires, &r.inputs, &r.unique, &r.webhook)
	if errors.Is(err, sql.ErrNoRows) {
		return ended{}, nil
	}
	if err != nil {
		return ended{}, fmt.Errorf("end attempt: %w", err)
	}
	r.won = true
	return r, nil
}

// endAlone ends an attempt that has no outputs, and with it the run of a job that is final then.
func (t *tx) endAlone(e ending) (ended, error) {
	r, err := t.end(e)
	if err == nil && r.state.Final() {
		err = t.conclude(r.final)
	}
	return r, err
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
