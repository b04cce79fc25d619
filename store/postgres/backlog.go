package postgres

import "context"

// The order makes it a walk along jobs_owed that ends at the limit. Running jobs are in that index, too.
const backlogSQL = `SELECT least($1, (SELECT count(*) FROM (
	SELECT 1 FROM jobs WHERE due_at IS NOT NULL AND state <> 'running' ORDER BY queue, sent_gen, due_at LIMIT $1) claimable)
	+ (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE waits_for IS NOT NULL AND state = 'waiting' ORDER BY queue LIMIT $1) waiting))`

// Backlog counts the jobs that wait for a worker.
func (l *Ledger) Backlog(ctx context.Context, limit int) (n int, err error) {
	ctx, cancel := reading(ctx)
	defer cancel()
	err = l.pool.QueryRow(ctx, backlogSQL, limit).Scan(&n)
	return n, wrap("count the backlog", err)
}
