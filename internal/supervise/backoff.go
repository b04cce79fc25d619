package supervise

import "time"

// firstDelay is the wait before the first restart: short, since a process that was killed once should be missed for no longer than it takes to start.
const firstDelay = 100 * time.Millisecond

// backoff doubles the delay between restarts from firstDelay up to max.
type backoff struct {
	max  time.Duration
	last time.Duration
}

func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, firstDelay), b.max)
	return b.last
}

func (b *backoff) reset() { b.last = 0 }
