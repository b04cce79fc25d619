package store

import "context"

// Queues pauses queues. Jobs of a paused queue are accepted and wait: Owed does not report them and Claim refuses them.
type Queues interface {
	// PauseQueue pauses a queue or resumes it. Resuming makes everything unfinished owed again, since deliveries were dropped meanwhile.
	PauseQueue(ctx context.Context, queue string, paused bool) error
	// PausedQueues lists the paused ones.
	PausedQueues(ctx context.Context) ([]string, error)
}
