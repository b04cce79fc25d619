package queue

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/batch"
)

const (
	// pollInterval is asynq's own pace, used only where tokens do not work: p50 of a pickup is half of it.
	pollInterval = 100 * time.Millisecond
	// wakeInterval is asynq's pause between two looks while the gate does the waiting.
	wakeInterval = time.Millisecond
	// retryDelay is when asynq delivers again after a handler's error, which means that the ledger was out of reach.
	retryDelay = 5 * time.Second
	// forwardInterval is how often asynq looks for such tasks. Delays of jobs are the ledger's, so nothing depends on it.
	forwardInterval = 5 * time.Second
	// handBack is how long handlers have to return once their context has ended.
	handBack = 2 * time.Second
	// proveWithin is how soon a new server must have come through the gate.
	proveWithin = 5 * time.Second
)

// ServeConfig is one pool of a worker process.
type ServeConfig struct {
	Pool  millrace.Pool // one of millrace.Pools, or Quarantine
	Slots int           // handlers at the same time
	// Room waits until the process has room for more tasks of this pool and says for how many, or ctx ends, which it answers with an error. It
	// need not know of those that were taken from Redis and have not come to their handlers yet. nil: tasks are taken one by one.
	Room func(ctx context.Context) (int, error)
	// Handler works one task. It returns nil once the ledger has the word, Final(err) for a failure to show on the dashboard, and any other error
	// only when the ledger was out of reach: then the task comes again, and at once after ErrEnded. Its context is not asynq's: it ends only when
	// Drain is over.
	Handler func(ctx context.Context, t Task) error
	Drain   time.Duration // how long running handlers may go on once Serve's context has ended; 30 s
}

// Serve hands tasks of one pool to the handler until ctx ends. Then it takes no more, waits for running handlers up to Drain, ends their context,
// gives them two seconds, and returns. No handler starts after ctx has ended: a task taken in that moment goes back to its queue.
func (q *Queue) Serve(ctx context.Context, cfg ServeConfig) error {
	if cfg.Handler == nil || cfg.Slots < 1 || cfg.Pool == "" {
		return errors.New("serve the queue: pool, slots and handler are needed")
	}
	log := q.log.With("pool", cfg.Pool)
	w := &waker{redis: q.redis, pool: wakeKey(string(cfg.Pool)), own: ownWakeKey(string(cfg.Pool), rand.Text())}
	if err := w.test(ctx); err != nil {
		log.Warn("redis refuses blocking waits: polling for work", "error", err)
		w = nil
	}
	for {
		s := q.newServer(ctx, cfg, w, log)
		again, err := s.run()
		if err != nil {
			return fmt.Errorf("serve pool %s: %w", cfg.Pool, err)
		}
		if !again {
			return nil
		}
		log.Warn("asynq's dequeue is not recognised: polling for work")
		w = nil
	}
}

// server is one run of asynq's server.
type server struct {
	queue *Queue
	cfg   ServeConfig
	ctx   context.Context // ends when no more shall be taken
	stop  context.CancelFunc
	waker *waker // nil: polling
	gate  *gate
	asynq *asynq.Server
	log   *slog.Logger

	handlers context.Context // of running handlers
	end      context.CancelFunc

	giver *giver
}

func (q *Queue) newServer(ctx context.Context, cfg ServeConfig, w *waker, log *slog.Logger) *server {
	s := &server{queue: q, cfg: cfg, waker: w, log: log}
	s.giver = &giver{queue: q, pool: string(cfg.Pool), log: log, tasks: make(chan returned, cfg.Slots)}
	s.ctx, s.stop = context.WithCancel(ctx)
	// What runs is ended by this server alone, after the drain: not by ctx, nor by asynq, whose context ends with a lease or a click.
	s.handlers, s.end = context.WithCancel(context.WithoutCancel(ctx))
	weights := weightsOf(cfg.Pool)
	s.gate = newGate(s.ctx, q.redis, log)
	s.gate.room, s.gate.queues = cfg.Room, len(weights)
	s.gate.ends = batch.New(batch.Config{Workers: 2, MaxItems: 128, QueueLen: 1024}, s.gate.sendEnds)
	interval := pollInterval
	if w != nil {
		s.gate.waker, interval = w, wakeInterval
	}
	s.asynq = asynq.NewServerFromRedisClient(s.gate, asynq.Config{
		Concurrency:              cfg.Slots,
		Queues:                   weights,
		TaskCheckInterval:        interval,
		DelayedTaskCheckInterval: forwardInterval,
		ShutdownTimeout:          s.drain() + handBack,
		RetryDelayFunc: func(_ int, err error, _ *asynq.Task) time.Duration {
			if errors.Is(err, ErrEnded) {
				return 0
			}
			return retryDelay
		},
		IsFailure: func(err error) bool { return !errors.Is(err, ErrEnded) },
		Logger:    &asynqLog{log},
		LogLevel:  asynq.WarnLevel,
	})
	return s
}

// weightsOf are the queues of a pool, and how often each is asked first.
func weightsOf(pool millrace.Pool) map[string]int {
	if pool == millrace.Quarantine {
		return map[string]int{string(pool): 1}
	}
	return map[string]int{
		millrace.QueueName(pool, millrace.High):   6,
		millrace.QueueName(pool, millrace.Normal): 3,
		millrace.QueueName(pool, millrace.Low):    1,
	}
}

func (s *server) drain() time.Duration { return cmp.Or(s.cfg.Drain, 30*time.Second) }

// run serves until the context ends. again: the gate is of no use with this version of asynq, so serve without tokens.
func (s *server) run() (again bool, err error) {
	defer s.end()
	defer s.stop()
	var helpers sync.WaitGroup
	helpers.Go(s.giver.run)
	helpers.Go(func() { _ = s.gate.ends.Run(context.Background()) }) // ends by Close; its one error is a second Run
	defer helpers.Wait()
	defer s.gate.ends.Close()
	defer close(s.giver.tasks)
	if err := s.asynq.Start(asynq.HandlerFunc(s.handle)); err != nil {
		return false, err
	}
	if s.waker != nil {
		prove := time.NewTimer(proveWithin)
		defer prove.Stop()
		select {
		case <-s.gate.seen:
		case <-s.ctx.Done():
		case <-prove.C:
			again = true
		}
	}
	if !again {
		<-s.ctx.Done()
	}
	s.shutdown()
	return again, nil
}

// shutdown stops taking, then waits.
func (s *server) shutdown() {
	s.stop()
	if s.waker != nil {
		s.waker.release(context.WithoutCancel(s.ctx))
	}
	s.gate.empties(context.WithoutCancel(s.ctx))
	s.asynq.Stop()
	timer := time.AfterFunc(s.drain(), s.end)
	s.asynq.Shutdown()
	timer.Stop()
}

func (s *server) handle(ctx context.Context, t *asynq.Task) error {
	s.gate.begun()
	job, fence, err := parsePayload(t.Payload())
	if err != nil {
		return Final(err)
	}
	name, _ := asynq.GetQueueName(ctx)
	task := Task{Job: job, Fence: fence, Type: t.Type(), Queue: name}
	if s.ctx.Err() != nil {
		err = ErrEnded
	} else {
		err = s.cfg.Handler(s.handlers, task)
	}
	if errors.Is(err, ErrEnded) {
		s.giver.add(task)
	}
	return err
}

// Final marks err as the end of a job: asynq shows the task as failed, in its archive, and does not deliver it again. Final(nil) is nil.
func Final(err error) error {
	if err == nil {
		return nil
	}
	return finalError{err}
}

type finalError struct{ error }

func (e finalError) Unwrap() error        { return e.error }
func (e finalError) Is(target error) bool { return target == asynq.SkipRetry }
