package sqlite

import (
	"context"
	"fmt"
)

// PauseQueue implements store.Queues.
func (l *Ledger) PauseQueue(ctx context.Context, queue string, paused bool) error {
	err := l.write(ctx, func(t *tx) error {
		if paused {
			_, err := t.exec(`INSERT INTO paused_queues (queue) VALUES (?) ON CONFLICT DO NOTHING`, queue)
			return err
		}
		n, err := t.exec(`DELETE FROM paused_queues WHERE queue = ?`, queue)
		if err != nil || n == 0 {
			return err
		}
		_, err = t.exec(`UPDATE meta SET value = value + 1 WHERE key = 'generation'`)
		return err
	})
	if err != nil {
		return fmt.Errorf("pause queue: %w", err)
	}
	return nil
}

// PausedQueues implements store.Queues.
func (l *Ledger) PausedQueues(ctx context.Context) ([]string, error) {
	var queues []string
	err := each(func(row scanner) error {
		queues = append(queues, "")
		return row.Scan(&queues[len(queues)-1])
	})(l.reads.QueryContext(ctx, `SELECT queue FROM paused_queues ORDER BY queue`))
	if err != nil {
		return nil, fmt.Errorf("list paused queues: %w", err)
	}
	return queues, nil
}
