package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
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

// inputsSQL reads the files that a job holds.
const inputsSQL = `SELECT ` + fileColumns + ` FROM files WHERE id IN (SELECT file FROM job_files WHERE job = ?)`

// claim is what the writer reads for one delivery; the caller makes a store.Claimed of it.
type claim struct {
	row   *jobRow // nil: refused
	files map[string]millrace.File
}

// Claim implements store.WorkerLedger. It is not synced: should the machine lose power, everybody who knew of the claim is gone with it.
func (l *Ledger) Claim(ctx context.Context, worker string, deliveries []store.Delivery) ([]store.Claimed, error) {
	deliveries = slices.Clone(deliveries)
	claims := make([]claim, len(deliveries))
	err := l.writeLazily(ctx, func(t *tx) (err error) {
		for i, d := range deliveries {
			if claims[i], err = t.claim(worker, d); err != nil {
				return fmt.Errorf("claim job %s: %w", d.Job, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	claimed := make([]store.Claimed, len(claims))
	for i, c := range claims {
		if claimed[i], err = c.decode(); err != nil {
			return nil, err
		}
	}
	return claimed, nil
}

func (t *tx) claim(worker string, d store.Delivery) (c claim, err error) {
	c.row, err = scanRow(t.row(claimSQL, d.Job, d.Fence, worker, t.now))
	if errors.Is(err, sql.ErrNoRows) {
		c.row, err = scanRow(t.row(claimedSQL, d.Job, d.Fence, worker))
	}
	if errors.Is(err, sql.ErrNoRows) {
		return claim{}, t.alive(worker)
	}
	if err != nil || !c.row.inputs.Valid {
		return c, err
	}
	c.files = make(map[string]millrace.File)
	err = t.rows(func(row scanner) error {
		f, err := scanFile(row)
		c.files[f.ID] = f
		return err
	}, inputsSQL, d.Job)
	return c, err
}

func (c claim) decode() (store.Claimed, error) {
	if c.row == nil {
		return store.Claimed{}, nil
	}
	j, err := c.row.decode()
	if err != nil {
		return store.Claimed{}, err
	}
	claimed := store.Claimed{Job: j, Started: j.StartedAt}
	for _, in := range j.Inputs {
		claimed.Inputs = append(claimed.Inputs, c.files[in.File])
	}
	return claimed, nil
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
