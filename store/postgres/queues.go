package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

const (
	pauseSQL = `INSERT INTO paused_queues (queue) VALUES ($1) ON CONFLICT (queue) DO NOTHING`
	// The deliveries of a paused queue were dropped, so all is owed again from the moment at which it is not paused any more.
	resumeSQL = `WITH resumed AS (DELETE FROM paused_queues WHERE queue = $1 RETURNING queue)
		UPDATE generation SET gen = gen + 1 WHERE EXISTS (SELECT 1 FROM resumed)`
	pausedSQL = `SELECT queue FROM paused_queues ORDER BY queue`
)

// PauseQueue pauses a queue or resumes it.
func (l *Ledger) PauseQueue(ctx context.Context, queue string, paused bool) error {
	op, sql := "resume queue", resumeSQL
	if paused {
		op, sql = "pause queue", pauseSQL
	}
	return again(ctx, op, func(ctx context.Context) error {
		_, err := l.pool.Exec(ctx, sql, clean(queue))
		return err
	})
}

// PausedQueues lists the paused ones.
func (l *Ledger) PausedQueues(ctx context.Context) ([]string, error) {
	ctx, cancel := reading(ctx)
	defer cancel()
	rows, err := l.pool.Query(ctx, pausedSQL)
	if err != nil {
		return nil, wrap("list paused queues", err)
	}
	queues, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return queues, wrap("list paused queues", err)
}
