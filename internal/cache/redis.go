package cache

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	redisTimeout = 100 * time.Millisecond
	redisPause   = time.Second // after a failure
	tellTimeout  = 500 * time.Millisecond

	// holdFor is how long nobody puts a value of a changed key into Redis: longer than anything that was read before the change can be on its way.
	holdFor = loadTimeout + 5*time.Second
)

// held stands in Redis in place of a value that has just changed. No value that is kept there is empty.
const held = ""

// found is what Redis says to a key.
type found int

const (
	miss found = iota // what is loaded may be put there
	hit
	leave // held, or Redis is not to be asked: what is loaded must not be put there
)

// fromRedis looks a value up.
func (c *Cache) fromRedis(ctx context.Context, key string) (v []byte, f found) {
	if c.owes(key) {
		return nil, leave // what is there is from before the change
	}
	f = leave
	c.withRedis(ctx, func(ctx context.Context) (err error) {
		v, err = c.Redis.Get(ctx, c.redisKey(key)).Bytes()
		switch {
		case errors.Is(err, redis.Nil):
			f = miss
			return nil
		case err == nil && string(v) != held:
			f = hit
		}
		return err
	})
	return v, f
}

// toRedis puts a value where there is none. One that was marked as changed since it was missed stays marked.
func (c *Cache) toRedis(ctx context.Context, key string, v []byte) {
	c.withRedis(ctx, func(ctx context.Context) error {
		err := c.Redis.SetArgs(ctx, c.redisKey(key), v, redis.SetArgs{Mode: "NX", TTL: c.lifetime(c.TTL)}).Err()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		return err
	})
}

// withRedis asks Redis briefly, and not at all for a moment after it failed.
func (c *Cache) withRedis(ctx context.Context, ask func(context.Context) error) {
	if c.resting() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	c.rest(ask(ctx))
}

func (c *Cache) resting() bool { return c.Now().UnixNano() < c.paused.Load() }

// rest leaves Redis alone for a moment where err says that it failed.
func (c *Cache) rest(err error) {
	if err != nil {
		c.paused.Store(c.Now().Add(redisPause).UnixNano())
		c.Log.Debug("cache: redis failed", "cache", c.Name, "error", err)
	}
}

// hold marks a key in Redis as changed.
func (c *Cache) hold(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	return c.Redis.Set(ctx, c.redisKey(key), held, holdFor).Err()
}

// tell makes all processes forget a key. The mark comes first, also where channels and keys are on different servers: who hears of the change must
// not find the old value there. The own level comes after it for the same reason.
func (c *Cache) tell(ctx context.Context, key string) {
	err := c.say(ctx, key)
	if err != nil {
		c.owe(key)
		c.rest(err)
	}
	c.local.forget(key)
}

func (c *Cache) say(ctx context.Context, key string) error {
	if err := c.hold(ctx, key); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	return c.Redis.Publish(ctx, c.channel(), key).Err()
}

func (c *Cache) redisKey(key string) string { return "millrace:cache:" + c.Name + ":" + key }
func (c *Cache) channel() string            { return "millrace:cache:" + c.Name }
