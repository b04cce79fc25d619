package cache

import (
	"context"
	"maps"
	"time"
)

const (
	maxOwed    = 10_000
	firstRetry = 100 * time.Millisecond
	lastRetry  = time.Second
)

// debt is a change that Redis has not heard of.
type debt struct {
	number int64     // of the change
	until  time.Time // when Redis has forgotten by itself what is from before it
}

// owe notes that Redis and the other processes are to be told of a change. What is told too late, or not at all because too much is owed, has left
// Redis by itself when the lifetime of values there is over.
func (c *Cache) owe(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.owed) >= maxOwed {
		return
	}
	c.debts++
	c.owed[key] = debt{c.debts, c.Now().Add(c.TTL)}
	select {
	case c.owing <- struct{}{}:
	default:
	}
}

func (c *Cache) owes(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.owed[key]
	return ok
}

// settle tells what is owed until ctx ends.
func (c *Cache) settle(ctx context.Context) {
	pause := firstRetry
	for {
		select {
		case <-c.owing:
		case <-ctx.Done():
			return
		}
		for !c.settled(ctx) {
			wait := time.NewTimer(pause)
			select {
			case <-wait.C:
			case <-ctx.Done():
				wait.Stop()
				return
			}
			pause = min(2*pause, lastRetry)
		}
		pause = firstRetry
	}
}

// settled tells what is owed and says whether nothing of it is left.
func (c *Cache) settled(ctx context.Context) bool {
	for key, d := range c.outstanding() {
		if c.Now().Before(d.until) {
			if err := c.say(ctx, key); err != nil {
				return false
			}
		}
		c.mu.Lock()
		if c.owed[key] == d { // not changed again meanwhile
			delete(c.owed, key)
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.owed) == 0
}

func (c *Cache) outstanding() map[string]debt {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.owed)
}
