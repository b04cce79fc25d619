// Package queue is dispatch: asynq behind Millrace's words. Jobs go in as pointers, workers are handed them, the dashboard looks at them.
//
// The queue is never the truth. It may lose, repeat or reorder everything: each delivery names a job and a fence, and only the ledger says whether
// that may still be worked. So nothing here keeps results, retries by itself or tells anyone a job's state. It is the only importer of asynq.
package queue

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/internal/batch"
)

// Config is how a Queue reaches Redis.
type Config struct {
	// Redis is shared by everything the Queue does and stays the caller's to close, after the Queue. Dial and embedded.Dial make fitting ones.
	Redis redis.UniversalClient
	// Retention keeps finished tasks on the dashboard for that long; 0 keeps none. Each kept task costs Redis a write and memory.
	Retention time.Duration
	Log       *slog.Logger // nil: nothing is logged
}

// Queue sends tasks to workers and hands them out. It is safe for concurrent use.
type Queue struct {
	redis     redis.UniversalClient
	inspect   *asynq.Inspector
	log       *slog.Logger
	retention time.Duration
	sends     *batch.Group[[]script, []error]
	enqueues  *scripts
	running   sync.WaitGroup
}

// Open makes a Queue and starts the goroutines that send for it; Close ends them. Nothing is asked of Redis yet: see Check.
func Open(cfg Config) (*Queue, error) {
	if cfg.Redis == nil {
		return nil, errors.New("open the queue: no Redis client")
	}
	if cfg.Retention < 0 {
		return nil, errors.New("open the queue: the retention is negative")
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	q := &Queue{
		redis:     cfg.Redis,
		inspect:   asynq.NewInspectorFromRedisClient(cfg.Redis),
		log:       log,
		retention: cfg.Retention,
		enqueues:  newScripts(eachScript),
	}
	// Two senders: while one waits for Redis the other's group forms. An item is a chunk of tasks, so 32 of them bound a pipeline.
	q.sends = batch.New(batch.Config{Workers: 2, MaxItems: 32, QueueLen: 1024}, q.send)
	q.running.Go(func() { _ = q.sends.Run(context.Background()) }) // ends by Close; its one error is a second Run
	return q, nil
}

// Close refuses further tasks, sends the accepted ones and returns. The Redis client stays open.
func (q *Queue) Close() {
	q.sends.Close()
	q.running.Wait()
}
