package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// silence is how long a subscription may say nothing before it is asked whether it lives, and then once more before it is given up.
	silence    = 3 * time.Second
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// Run hears of other processes' changes, and tells them of those that could not be told at once, until ctx ends.
func (c *Cache) Run(ctx context.Context) error {
	var settling sync.WaitGroup
	settling.Go(func() { c.settle(ctx) })
	defer settling.Wait()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		heard, err := c.listen(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if heard {
			pause = firstPause
		}
		c.Log.Debug("cache: changes of other processes are not heard", "cache", c.Name, "error", err, "pause", pause)
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil
		}
	}
}

// listen hears over one connection until it fails or ctx ends. heard: Redis took the subscription.
func (c *Cache) listen(ctx context.Context) (heard bool, err error) {
	sub := c.Redis.Subscribe(ctx) // connects with the first channel
	// go-redis does not watch for a cancel while it reads; closing the subscription ends the read.
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() })
	defer func() {
		if stop() {
			_ = sub.Close()
		}
	}()
	if err := sub.Subscribe(ctx, c.channel()); err != nil {
		return false, fmt.Errorf("subscribe: %w", err)
	}
	asked := false
	for {
		m, err := sub.ReceiveTimeout(ctx, silence)
		if ctx.Err() != nil {
			return heard, ctx.Err()
		}
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() && !asked {
			asked = true
			if err := sub.Ping(ctx); err != nil {
				return heard, fmt.Errorf("ping the subscription: %w", err)
			}
			continue
		}
		if err != nil {
			return heard, fmt.Errorf("receive: %w", err)
		}
		heard, asked = true, false
		c.hear(m)
	}
}

// hear acts on what a subscription received. What was changed while nobody listened is unknown, so a subscription begins with nothing kept.
func (c *Cache) hear(message any) {
	switch m := message.(type) {
	case *redis.Subscription:
		c.local.purge()
	case *redis.Message:
		c.local.forget(m.Payload)
		c.counts.changes.Add(1)
	}
}
