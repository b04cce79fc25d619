package queue

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// gateWait bounds the wait for a free slot before one dequeue, and blockFor the wait for a token after it: asynq stamps the task's lease of
	// 30 s before both, so they stay short.
	gateWait = 2 * time.Second
	blockFor = 2 * time.Second
	// The pause after an error of Redis: asynq itself would ask again at once.
	firstPause = 100 * time.Millisecond
	lastPause  = time.Second
	// warnEvery bounds the log during an outage, also one where only some commands fail.
	warnEvery = 10 * time.Second
)

// gate is the Redis client that a server of asynq works with. asynq asks its queues over and over; the gate holds its dequeue script back while no
// slot is free, and, once all queues were found empty, until a token says that there is work. So an idle server waits in Redis, not in a poll.
//
// Only asynq's single processing goroutine comes through it with dequeues; everything else passes.
type gate struct {
	redis.UniversalClient
	ctx     context.Context // ends when the server shall take nothing more
	free    func(context.Context) error
	wait    func(context.Context) error // for a token; nil: asynq's own interval is the pause
	queues  int
	matches func(keys []string) bool
	log     *slog.Logger

	seen     chan struct{} // closed at the first dequeue recognised
	seenOnce sync.Once

	mu     sync.Mutex
	empty  int           // queues found empty in a row
	pause  time.Duration // before the next dequeue; doubles with each error in a row
	warned time.Time     // when an error was logged last
	down   bool          // one was logged since the last answer
}

// isDequeue recognises asynq's dequeue script by its keys: the pending and the paused key of one queue, then two more.
func isDequeue(keys []string) bool {
	return len(keys) == 4 && strings.HasSuffix(keys[0], ":pending") && strings.HasSuffix(keys[1], ":paused")
}

// EvalSha is how asynq runs every script.
func (g *gate) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if !g.matches(keys) {
		return g.UniversalClient.EvalSha(ctx, sha, keys, args...)
	}
	g.seenOnce.Do(func() { close(g.seen) })
	if !g.open() {
		return redis.NewCmdResult(nil, redis.Nil) // "this queue is empty": asynq asks again, and comes here
	}
	cmd := g.UniversalClient.EvalSha(ctx, sha, keys, args...)
	g.note(cmd.Err())
	return cmd
}

// Eval follows when Redis does not know the script. EvalSha has done the waiting.
func (g *gate) Eval(ctx context.Context, src string, keys []string, args ...any) *redis.Cmd {
	cmd := g.UniversalClient.Eval(ctx, src, keys, args...)
	if g.matches(keys) {
		g.note(cmd.Err())
	}
	return cmd
}

// open waits until a dequeue makes sense; false: not now. Whatever it answers, it has either waited or the answer is yes, so that nothing spins;
// except after the end, when asynq stops by itself within a millisecond.
func (g *gate) open() bool {
	g.mu.Lock()
	pause, idle := g.pause, g.wait != nil && g.empty >= g.queues
	g.mu.Unlock()
	if pause > 0 && !sleep(g.ctx, pause) {
		return false
	}
	if g.ctx.Err() != nil {
		return false
	}
	if g.free != nil {
		ctx, cancel := context.WithTimeout(g.ctx, gateWait)
		err := g.free(ctx)
		cancel()
		if err != nil {
			// A gate that refuses at once, without waiting for its context, must not make asynq spin.
			sleep(g.ctx, 10*time.Millisecond)
			return false
		}
	}
	if idle {
		err := g.wait(g.ctx)
		g.mu.Lock()
		g.empty = 0
		g.mu.Unlock()
		if err != nil {
			g.note(err)
			return false
		}
	}
	return g.ctx.Err() == nil
}

// note keeps count of empty answers and of errors.
func (g *gate) note(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case errors.Is(err, redis.Nil):
		g.empty++
	case err == nil:
		g.empty = 0
	case errors.Is(err, redis.ErrNoScript) || redis.HasErrorPrefix(err, "NOSCRIPT"):
		return // Eval comes next
	default:
		g.pause = min(max(firstPause, 2*g.pause), lastPause)
		if time.Since(g.warned) >= warnEvery {
			g.warned, g.down = time.Now(), true
			g.log.Warn("the queue does not answer", "error", err)
		}
		return
	}
	g.pause = 0
	if g.down {
		g.down = false
		g.log.Info("the queue answers again")
	}
}

// sleep pauses for d; false when ctx ended it.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// waker waits for tokens on behalf of one server.
type waker struct {
	redis     redis.UniversalClient
	pool, own string // keys
}

// wait blocks in Redis until a token comes, release is called, or blockFor has passed; the last two are no error.
func (w *waker) wait(end context.Context) error {
	// Not derived from end: go-redis does not watch for a cancel while it reads, and release ends the wait sooner than a broken connection.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(end), blockFor+ioTimeout)
	defer cancel()
	got, err := w.redis.BRPop(ctx, blockFor, w.own, w.pool).Result()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	if err == nil && end.Err() != nil && slices.Contains(got[:1], w.pool) {
		// The token was for a server that takes work; this one has just ended.
		err = w.redis.LPush(ctx, w.pool, "1").Err()
	}
	return err
}

// release ends a wait of this server, also one that is only about to begin.
func (w *waker) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	pipe := w.redis.Pipeline()
	pipe.LPush(ctx, w.own, "1")
	pipe.Expire(ctx, w.own, time.Minute)
	_, _ = pipe.Exec(ctx) // without Redis the wait has ended, too
}

// test says whether tokens work here. Only a refusal by Redis itself counts against: a server that is away now may be back.
func (w *waker) test(ctx context.Context) error {
	if err := w.redis.LPush(ctx, w.own, "1").Err(); err != nil {
		return refusal(err)
	}
	if err := w.redis.BRPop(ctx, blockFor, w.own, w.pool).Err(); err != nil && !errors.Is(err, redis.Nil) {
		return refusal(err)
	}
	return nil
}

func refusal(err error) error {
	if _, refused := errors.AsType[redis.Error](err); refused {
		return err
	}
	return nil
}
