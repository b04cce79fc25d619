package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// waker waits for tokens on behalf of one server.
type waker struct {
	redis     redis.UniversalClient
	pool, own string // keys
}

// wait blocks in Redis until a token comes, release is called, or blockFor has passed; the last two are no error.
func (w *waker) wait(end context.Context) (token bool, err error) {
	// Not derived from end: go-redis does not watch for a cancel while it reads, and release ends the wait sooner than a broken connection.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(end), blockFor+ioTimeout)
	defer cancel()
	got, err := w.redis.BRPop(ctx, blockFor, w.own, w.pool).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err == nil && end.Err() != nil && slices.Contains(got[:1], w.pool) {
		// The token was for a server that takes work; this one has just ended.
		err = w.redis.LPush(ctx, w.pool, "1").Err()
	}
	return err == nil, err
}

// sweep removes all tokens of the pool, as the first command of a pipeline that looks at the queues: whatever they announced it then sees.
func (w *waker) sweep(ctx context.Context, pipe redis.Pipeliner) { pipe.Del(ctx, w.pool) }

// restore puts one token back, after a sweep whose look did not take everything.
func (w *waker) restore(ctx context.Context) {
	_ = w.redis.LPush(ctx, w.pool, "1").Err() // without it others look within two seconds
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
