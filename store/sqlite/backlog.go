package sqlite

import (
	"context"
	"fmt"
)

// Backlog implements store.Dispatch. It reads the index of what is owed alone, which ends at the limit.
func (l *Ledger) Backlog(ctx context.Context, limit int) (n int, err error) {
	err = l.reads.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM jobs INDEXED BY jobs_owed WHERE due_at IS NOT NULL LIMIT ?)`, limit).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the backlog: %w", err)
	}
	return n, nil
}
