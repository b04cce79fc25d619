package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// claimSQL makes the worker ?3 the owner, if the delivery is the newest and the worker lives.
var claimSQL = `UPDATE jobs SET
	state = 'running', fence = fence + 1, attempt = attempt + 1, starts = starts + 1, worker_id = ?3, due_at = NULL, started_at = ?4,
	progress = NULL,
	attempts = json_insert(iif(json_array_length(attempts) < ` + strconv.Itoa(millrace.MaxAttemptHistory) + `, attempts, json_remove(attempts, '$[0]')),
		'$[#]', json_object('n', starts + 1, 'run', run, 'worker', ?3, 'fence', fence + 1, 'started', ?4))
	WHERE id = ?1` + sameFence + ` AND state IN ('scheduled', 'queued', 'retrying') AND cancel_at IS NULL
	AND ` + workerLives + ` AND ` + notPaused + ` AND ` + inTime + `
	RETURNING ` + jobColumns

// The guards of a claim, besides the fence and the state.
const (
	workerLives = `EXISTS (SELECT 1 FROM workers WHERE id = ?3 AND state = 'live')`
	notPaused   = `NOT EXISTS (SELECT 1 FROM paused_queues p WHERE p.queue = jobs.queue)`
	inTime      = `(deadline IS NULL OR deadline > ?4)`
)

// claimedSQL finds what an earlier call claimed whose answer was lost. The + keeps the planner off the index of owners.
const claimedSQL = `SELECT ` + jobColumns + ` FROM jobs WHERE id = ? AND fence = ? + 1 AND +worker_id = ? AND state = 'running'
	AND EXISTS (SELECT 1 FROM workers WHERE workers.id = worker_id AND workers.state = 'live')`

// Claim implements store.WorkerLedger.
func (l *Ledger) Claim(ctx context.Context, worker string, deliveries []store.Delivery) ([]store.Claimed, error) {
	claimed := make([]store.Claimed, len(deliveries))
	err := l.write(ctx, func(t *tx) (err error) {
		for i, d := range deliveries {
			if claimed[i], err = t.claim(worker, d); err != nil {
				return fmt.Errorf("claim job %s: %w", d.Job, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

func (t *tx) claim(worker string, d store.Delivery) (c store.Claimed, err error) {
	c.Job, err = scanJob(t.row(claimSQL, d.Job, d.Fence, worker, t.now))
	if errors.Is(err, sql.ErrNoRows) {
		c.Job, err = scanJob(t.row(claimedSQL, d.Job, d.Fence, worker))
	}
	if errors.Is(err, sql.ErrNoRows) {
		return store.Claimed{}, t.alive(worker)
	}
	if err != nil {
		return store.Claimed{}, err
	}
	c.Started = c.Job.StartedAt
	for _, in := range c.Job.Inputs {
		file, err := scanFile(t.row(`SELECT `+fileColumns+` FROM files WHERE id = ? AND tenant = ?`, in.File, c.Job.Tenant))
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return store.Claimed{}, fmt.Errorf("input %s: %w", in.File, err)
		}
		c.Inputs = append(c.Inputs, file)
	}
	return c, nil
}

// alive is ErrBuried for a worker that is not: its refused deliveries may be claimed by others, so it must not drop them.
func (t *tx) alive(worker string) error {
	var one int
	err := t.row(`SELECT 1 FROM workers WHERE id = ? AND state = 'live'`, worker).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrBuried
	}
	return err
}
