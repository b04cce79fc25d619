package queue

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace"
)

// Pause stops the handing out of a queue's tasks, or lets it go on; what runs is left alone. Repeating it changes nothing. The ledger is where a
// pause is kept: this spares workers the deliveries that it would refuse, and shows the pause on the dashboard.
func (q *Queue) Pause(ctx context.Context, queue string, paused bool) error {
	if !slices.Contains(millrace.Queues(), queue) {
		return fmt.Errorf("pause the queue: no queue is called %q", queue)
	}
	// asynq's inspector refuses what is so already in words alone, so the key tells first, and again when another was quicker.
	is, err := q.isPaused(ctx, queue)
	if err != nil || is == paused {
		return err
	}
	if paused {
		err = q.inspect.PauseQueue(queue)
	} else {
		err = q.inspect.UnpauseQueue(queue)
	}
	if err != nil {
		if is, again := q.isPaused(ctx, queue); again == nil && is == paused {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("pause or resume queue %s: %w", queue, err)
	}
	if !paused {
		pipe := q.redis.Pipeline()
		pushTokens(ctx, pipe, map[string]int{poolOf(queue): wakeTokens})
		_, _ = pipe.Exec(ctx) // without tokens the workers look within two seconds
	}
	return nil
}

// Paused lists the queues that hand nothing out.
func (q *Queue) Paused(ctx context.Context) ([]string, error) {
	pipe := q.redis.Pipeline()
	cmds := map[string]*redis.IntCmd{}
	for _, name := range millrace.Queues() {
		cmds[name] = pipe.Exists(ctx, pausedKey(name))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read which queues are paused: %w", err)
	}
	var paused []string
	for _, name := range millrace.Queues() {
		if cmds[name].Val() > 0 {
			paused = append(paused, name)
		}
	}
	return paused, nil
}

func (q *Queue) isPaused(ctx context.Context, queue string) (bool, error) {
	n, err := q.redis.Exists(ctx, pausedKey(queue)).Result()
	if err != nil {
		return false, fmt.Errorf("read whether queue %s is paused: %w", queue, err)
	}
	return n > 0, nil
}
