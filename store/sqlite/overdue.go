package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/millrace/millrace"
)

// overdue reads jobs that wait for a worker alone, overdueWaiting those that wait for an equal job.
const (
	overdue        = `SELECT id FROM jobs INDEXED BY jobs_deadline WHERE due_at IS NOT NULL AND deadline <= ? ORDER BY deadline LIMIT ?`
	overdueWaiting = `SELECT id FROM jobs INDEXED BY jobs_waiting_deadline WHERE waits_for IS NOT NULL AND deadline <= ? ORDER BY deadline LIMIT ?`
)

const failOverdueSQL = `UPDATE jobs SET state = 'failed', fence = fence + 1, due_at = NULL, sent_gen = 0, waits_for = NULL, error = ?3,
	finished_at = ?2, expires_at = ?2 + retention / 1000000
	WHERE id = ?1 AND state IN ('scheduled', 'waiting', 'queued', 'retrying') AND deadline <= ?2 RETURNING ` + finalColumns

// FailOverdue implements store.Upkeep. The read pool finds them, so that the search holds up no writer; the update judges again.
func (l *Ledger) FailOverdue(ctx context.Context, limit int) (int, error) {
	var ids []string
	for _, query := range []string{overdue, overdueWaiting} {
		err := each(func(row scanner) error {
			ids = append(ids, "")
			return row.Scan(&ids[len(ids)-1])
		})(l.reads.QueryContext(ctx, query, l.now().UnixMilli(), limit))
		if err != nil {
			return 0, fmt.Errorf("find overdue jobs: %w", err)
		}
	}
	ids = ids[:min(limit, len(ids))]
	late, err := encode(millrace.JobError{Code: millrace.CodeTimeout, Message: "the deadline passed before the job was done"}, false)
	if err != nil {
		return 0, err
	}
	n, err := l.inSteps(ctx, len(ids), func(t *tx, i int) (bool, error) {
		f, err := scanFinal(t.row(failOverdueSQL, ids[i], t.now, late))
		if errors.Is(err, sql.ErrNoRows) { // claimed or canceled meanwhile
			return false, nil
		}
		if err == nil {
			err = t.conclude(f)
		}
		return err == nil, err
	})
	if err != nil {
		return n, fmt.Errorf("fail overdue jobs: %w", err)
	}
	return n, nil
}
