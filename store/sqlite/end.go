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
	error       = iif(?13, ?12, error),
	outputs     = ?14,
	result      = ?15,
	progress    = coalesce(?16, progress),
	finished_at = iif(?5 OR cancel_at IS NOT NULL, ?3, NULL),
	expires_at  = iif(?5 OR cancel_at IS NOT NULL, ?3 + retention / 1000000, NULL),
	worker_id   = NULL,
	attempts    = json_set(attempts, '$[#-1].ended', ?3, '$[#-1].outcome', ?10, '$[#-1].spent', json(?11), '$[#-1].error', json(?12))
	WHERE id = ?1 AND fence = ?2 AND state = 'running'
	RETURNING tenant, state, inputs, cache_key, expires_at`

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

	outputs, result, progress sql.NullString
}

// ended is what became of it.
type ended struct {
	won      bool
	tenant   string
	state    millrace.State
	cacheKey string
	expires  sql.NullInt64
}

// end ends an attempt, and lets go of the inputs of a job that is final.
func (t *tx) end(e ending) (ended, error) {
	var r ended
	var inputs sql.NullString
	err := t.row(endSQL, e.job, e.fence, t.now, string(e.state), e.state.Final(), t.now+e.delay, number(e.refence), number(!e.spent),
		number(e.crash), e.word, fmt.Sprint(e.spent), e.error, !e.keep, e.outputs, e.result, e.progress).
		Scan(&r.tenant, &r.state, &inputs, &r.cacheKey, &r.expires)
	if errors.Is(err, sql.ErrNoRows) {
		return ended{}, nil
	}
	if err != nil {
		return ended{}, fmt.Errorf("end attempt: %w", err)
	}
	r.won = true
	if r.state.Final() && inputs.Valid {
		err = t.release(e.job, r.expires)
	}
	return r, err
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// release lets go of the files that the job needed. They stay at least as long as the job, so that it can be looked at and retried.
func (t *tx) release(job string, expires sql.NullInt64) error {
	if _, err := t.exec(`UPDATE files SET expires_at = ?2 WHERE id IN (SELECT file FROM job_files WHERE job = ?1) AND expires_at < ?2`,
		job, expires); err != nil {
		return fmt.Errorf("keep inputs: %w", err)
	}
	if _, err := t.exec(`DELETE FROM job_files WHERE job = ?`, job); err != nil {
		return fmt.Errorf("release inputs: %w", err)
	}
	return nil
}
