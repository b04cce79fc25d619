package queue

import (
	"context"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// newGateForTest is a gate over a client, without a server of asynq.
func newGateForTest(ctx context.Context, c redis.UniversalClient, room func(context.Context) (int, error), wait func(context.Context) error) redis.UniversalClient {
	g := newGate(ctx, c, slog.New(slog.DiscardHandler))
	g.room, g.queues = room, 3
	if wait != nil {
		g.waker = waitOnly(wait)
	}
	return g
}

// waitOnly is tokens of which none ever lies about.
type waitOnly func(context.Context) error

func (w waitOnly) wait(ctx context.Context) (bool, error) { return false, w(ctx) }
func (waitOnly) sweep(context.Context, redis.Pipeliner)   {}
func (waitOnly) restore(context.Context)                  {}

// ServeUnrecognised is Serve with a version of asynq whose dequeue the gate does not know.
func (q *Queue) ServeUnrecognised(ctx context.Context, cfg ServeConfig) (again bool, err error) {
	w := &waker{redis: q.redis, pool: wakeKey(string(cfg.Pool)), own: ownWakeKey(string(cfg.Pool), "test")}
	s := q.newServer(ctx, cfg, w, q.log)
	s.gate.matches = func([]string) bool { return false }
	return s.run()
}
