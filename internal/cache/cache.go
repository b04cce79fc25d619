// Package cache keeps values that are dear to get: in this process, in front of Redis, in front of whoever knows them.
//
// One caller per key and process gets a value, the others wait for it. Change and Invalidate reach every process by publish/subscribe, and what was
// on its way to a cache when the value changed is not kept, neither here nor in Redis. A process that cannot hear forgets everything when it hears
// again, and is wrong for at most the local lifetime until then. A Redis that is down is a miss and costs the callers of the next second nothing.
//
// It is no store: what it holds may be gone at any moment, and it knows nothing of what the values mean.
package cache

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Config is what a Cache stands on.
type Config struct {
	Redis redis.UniversalClient
	Name  string // of the set of values: part of the keys and the channel in Redis
	Log   *slog.Logger

	Size     int           // values kept in process. 0: 4,096
	Bytes    int           // of all values kept in process. 0: 32 MiB
	LocalTTL time.Duration // how long a value is kept in process at most. 0: 1 min
	TTL      time.Duration // how long a value is kept in Redis at most. 0: 1 h
	MaxValue int           // bytes; larger values are got each time. 0: 64 KiB

	Now    func() time.Time // nil: time.Now
	Chance func() float64   // spreads the lifetimes: uniform in [0, 1). nil: math/rand
}

// jitter is the part of a lifetime that chance takes away, so that values kept together do not end together.
const jitter = 0.2

// loadTimeout bounds the getting of one value. Nothing that was read before a change can arrive in Redis later than this: see holdFor.
const loadTimeout = 10 * time.Second

// Cache is a cache of bytes by key.
type Cache struct {
	Config
	local  *local
	counts counts
	paused atomic.Int64 // Redis is left alone until then, in nanoseconds of the Unix epoch

	owing chan struct{} // holds a token while something may be owed

	mu    sync.Mutex // guards what follows
	owed  map[string]debt
	debts int64 // so far
}

// New makes a Cache. Run must be running for the changes of other processes to be heard.
func New(c Config) *Cache {
	c.Size = cmp.Or(c.Size, 4096)
	c.Bytes = cmp.Or(c.Bytes, 32<<20)
	c.LocalTTL = cmp.Or(c.LocalTTL, time.Minute)
	c.TTL = cmp.Or(c.TTL, time.Hour)
	c.MaxValue = cmp.Or(c.MaxValue, 64<<10)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Chance == nil {
		c.Chance = rand.Float64
	}
	return &Cache{Config: c, local: newLocal(c.Size, c.Bytes), owed: make(map[string]debt), owing: make(chan struct{}, 1)}
}

// Get returns the value of key, from wherever it is nearest. An empty value says that there is none; it is kept in process only. Errors are load's
// own and are not kept.
func (c *Cache) Get(ctx context.Context, key string, load func(context.Context) ([]byte, error)) ([]byte, error) {
	v, flying, mine := c.local.get(key, c.Now())
	if flying == nil {
		c.counts.localHits.Add(1)
		return v, nil
	}
	c.counts.localMisses.Add(1)
	if mine {
		// Others wait for this one, so its caller's leaving must not end it.
		go c.fly(context.WithoutCancel(ctx), key, flying, load)
	}
	select {
	case <-flying.landed:
		return flying.value, flying.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fly gets a value and keeps it, unless it changed meanwhile.
func (c *Cache) fly(ctx context.Context, key string, f *flight, load func(context.Context) ([]byte, error)) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	value, err := c.fetch(ctx, key, load)
	keep := err == nil && len(value) <= c.MaxValue
	c.local.land(key, f, value, err, keep, c.Now().Add(c.lifetime(c.LocalTTL)))
}

func (c *Cache) fetch(ctx context.Context, key string, load func(context.Context) ([]byte, error)) ([]byte, error) {
	v, found := c.fromRedis(ctx, key)
	if found == hit {
		c.counts.redisHits.Add(1)
		return v, nil
	}
	c.counts.redisMisses.Add(1)
	v, err := load(ctx)
	if err == nil && found == miss && 0 < len(v) && len(v) <= c.MaxValue {
		c.toRedis(ctx, key, v)
	}
	return v, err
}

func (c *Cache) lifetime(most time.Duration) time.Duration {
	return time.Duration(float64(most) * (1 - jitter*c.Chance()))
}

// Change changes a value where it is kept for good, by write, and forgets it everywhere. When it returns, this process answers from after the change,
// and the others do as soon as they hear of it. That it is marked in Redis before, too, is for a process that dies in between: the others are wrong
// for the local lifetime then. The error is write's own; a change whose outcome nobody knows is forgotten like any other.
func (c *Cache) Change(ctx context.Context, key string, write func(context.Context) error) error {
	_ = c.hold(ctx, key) // what matters is the second one
	err := write(ctx)
	c.tell(context.WithoutCancel(ctx), key)
	return err
}

// Invalidate forgets key here, in Redis and in every other process. While Redis is left alone they hear of it later.
func (c *Cache) Invalidate(ctx context.Context, key string) {
	if c.resting() {
		c.owe(key)
		c.local.forget(key)
		return
	}
	c.tell(ctx, key)
}

// counts are where values came from since the process started.
type counts struct{ localHits, localMisses, redisHits, redisMisses, changes atomic.Int64 }

// Stats are the figures of a cache: counts since the process started, and what it holds now.
type Stats struct {
	LocalHits, LocalMisses int64 // of all that was asked for
	RedisHits, RedisMisses int64 // of what was not in process and nobody was getting already; a Redis that is down is a miss
	Changes                int64 // heard of, of this process and others
	Entries, Bytes         int   // kept in process
}

// Stats returns the figures.
func (c *Cache) Stats() Stats {
	entries, bytes := c.local.size()
	return Stats{
		LocalHits: c.counts.localHits.Load(), LocalMisses: c.counts.localMisses.Load(),
		RedisHits: c.counts.redisHits.Load(), RedisMisses: c.counts.redisMisses.Load(),
		Changes: c.counts.changes.Load(), Entries: entries, Bytes: bytes,
	}
}
