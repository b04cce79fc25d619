package sqlite

import (
	"context"
	"fmt"
)

// Backlog implements store.Dispatch. It reads the indexes of what is owed and of what waits alone, up to the limit.
func (l *Ledger) Backlog(ctx context.Context, limit int) (n int, err error) {
	err = l.reads.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM jobs INDEXED BY jobs_owed WHERE due_at IS NOT NULL LIMIT ?1)`, limit).Scan(&n)
	if err == nil && n < limit {
		var waiting int
		err = l.reads.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM jobs INDEXED BY jobs_waiting_queue WHERE waits_for IS NOT NULL AND state = 'waiting' LIMIT ?)`,
			limit-n).Scan(&waiting)
		n += waiting
	}
	if err != nil {
		return 0, fmt.Errorf("count the backlog: %w", err)
	}
	return n, nil
}
