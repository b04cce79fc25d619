// Package cache keeps values that are dear to compute: in this process, in front of Redis, in front of whoever computes them.
//
// One caller per key and process computes, the others wait for it. Invalidate reaches every process by publish/subscribe; a process that misses
// the word is wrong for at most the local lifetime, so users of a value check what matters (the ledger refuses a cached result that is gone).
// A Redis that is down is a miss and costs the callers of the next second nothing.
package cache

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"
)

// Config is what a Cache stands on.
type Config struct {
	Redis redis.UniversalClient
	Name  string // of the set of values: part of the keys and the channel in Redis
	Log   *slog.Logger

	Size     int           // values kept in process. 0: 4,096
	LocalTTL time.Duration // 0: 1 min
	TTL      time.Duration // in Redis. 0: 1 h
	MaxValue int           // bytes; larger values are computed each time. 0: 64 KiB
}

const (
	redisTimeout = 100 * time.Millisecond
	redisPause   = time.Second // after a failure
	loadTimeout  = 30 * time.Second
)

// Cache is a cache of bytes by key.
type Cache struct {
	Config
	local  *expirable.LRU[string, []byte]
	flight singleflight.Group
	paused atomic.Int64 // Redis is left alone until then, in nanoseconds of the Unix epoch
	hits   [3]atomic.Int64
}

// New makes a Cache. Run must be running for invalidations of other processes to be heard.
func New(c Config) *Cache {
	if c.Size == 0 {
		c.Size = 4096
	}
	if c.LocalTTL == 0 {
		c.LocalTTL = time.Minute
	}
	if c.TTL == 0 {
		c.TTL = time.Hour
	}
	if c.MaxValue == 0 {
		c.MaxValue = 64 << 10
	}
	return &Cache{Config: c, local: expirable.NewLRU[string, []byte](c.Size, nil, c.LocalTTL)}
}

// Stats counts where values came from.
type Stats struct{ Local, Redis, Computed int64 }

// Stats returns the counts since the process started.
func (c *Cache) Stats() Stats {
	return Stats{Local: c.hits[0].Load(), Redis: c.hits[1].Load(), Computed: c.hits[2].Load()}
}

// Get returns the value of key, from wherever it is nearest. Errors are load's own and are not cached.
func (c *Cache) Get(ctx context.Context, key string, load func(context.Context) ([]byte, error)) ([]byte, error) {
	if v, ok := c.local.Get(key); ok {
		c.hits[0].Add(1)
		return v, nil
	}
	// Others wait for this one, so its caller's leaving must not end it.
	flying := c.flight.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		return c.fetch(ctx, key, load)
	})
	select {
	case r := <-flying:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.([]byte), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Cache) fetch(ctx context.Context, key string, load func(context.Context) ([]byte, error)) ([]byte, error) {
	if v, ok := c.fromRedis(ctx, key); ok {
		c.hits[1].Add(1)
		c.local.Add(key, v)
		return v, nil
	}
	v, err := load(ctx)
	if err != nil {
		return nil, err
	}
	c.hits[2].Add(1)
	if len(v) <= c.MaxValue {
		c.local.Add(key, v)
		c.withRedis(ctx, func(ctx context.Context) error { return c.Redis.Set(ctx, c.redisKey(key), v, c.TTL).Err() })
	}
	return v, nil
}

func (c *Cache) fromRedis(ctx context.Context, key string) (v []byte, ok bool) {
	c.withRedis(ctx, func(ctx context.Context) error {
		var err error
		v, err = c.Redis.Get(ctx, c.redisKey(key)).Bytes()
		ok = err == nil
		if err == redis.Nil {
			return nil
		}
		return err
	})
	return v, ok
}

// Invalidate forgets key here, in Redis and in every other process.
func (c *Cache) Invalidate(ctx context.Context, key string) {
	c.local.Remove(key)
	c.withRedis(ctx, func(ctx context.Context) error {
		pipe := c.Redis.Pipeline()
		pipe.Del(ctx, c.redisKey(key))
		pipe.Publish(ctx, c.channel(), key)
		_, err := pipe.Exec(ctx)
		return err
	})
}

// withRedis asks Redis briefly, and not at all for a moment after it failed.
func (c *Cache) withRedis(ctx context.Context, ask func(context.Context) error) {
	if time.Now().UnixNano() < c.paused.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	if err := ask(ctx); err != nil {
		c.paused.Store(time.Now().Add(redisPause).UnixNano())
		c.Log.Debug("cache: redis failed", "cache", c.Name, "error", err)
	}
}

// Run hears other processes' invalidations until ctx ends.
func (c *Cache) Run(ctx context.Context) error {
	sub := c.Redis.Subscribe(ctx, c.channel())
	defer func() { _ = sub.Close() }()
	messages := sub.Channel()
	for {
		select {
		case m, ok := <-messages:
			if !ok {
				return nil
			}
			c.local.Remove(m.Payload)
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *Cache) redisKey(key string) string { return "millrace:cache:" + c.Name + ":" + key }
func (c *Cache) channel() string            { return "millrace:cache:" + c.Name }
