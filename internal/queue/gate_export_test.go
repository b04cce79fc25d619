package queue

import (
	"context"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// newGateForTest is a gate over a client, without a server of asynq.
func newGateForTest(ctx context.Context, c redis.UniversalClient, free, wait func(context.Context) error) redis.UniversalClient {
	return &gate{
		UniversalClient: c, ctx: ctx, free: free, wait: wait, queues: 3,
		matches: isDequeue, log: slog.New(slog.DiscardHandler), seen: make(chan struct{}),
	}
}

// ServeUnrecognised is Serve with a version of asynq whose dequeue the gate does not know.
func (q *Queue) ServeUnrecognised(ctx context.Context, cfg ServeConfig) (again bool, err error) {
	w := &waker{redis: q.redis, pool: wakeKey(string(cfg.Pool)), own: ownWakeKey(string(cfg.Pool), "test")}
	s := q.newServer(ctx, cfg, w, q.log)
	s.gate.matches = func([]string) bool { return false }
	return s.run()
}
