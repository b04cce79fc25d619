package notify

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// publishTimeout bounds what news may cost their sender, who has real work to do.
	publishTimeout = time.Second
	// quiet is how long nothing is tried after a failure.
	quiet = time.Second
)

// Publisher sends news. It is safe for concurrent use and has nothing to close.
type Publisher struct {
	redis   redis.UniversalClient
	log     *slog.Logger
	retry   atomic.Int64 // unix nanoseconds; before it everything is dropped
	dropped atomic.Uint64
}

// NewPublisher makes a Publisher.
func NewPublisher(cfg Config) *Publisher { return &Publisher{redis: cfg.Redis, log: cfg.log()} }

// Publish tells all hubs of events, in one message. While Redis is away they are dropped and counted.
func (p *Publisher) Publish(ctx context.Context, events []Event) {
	p.send(ctx, eventsChannel, len(events), events)
}

// Cancel tells all workers that somebody wants these jobs canceled. The ledger knows already; this is only quicker than the next beat.
func (p *Publisher) Cancel(ctx context.Context, jobs []string) {
	p.send(ctx, cancelChannel, len(jobs), jobs)
}

// Dropped is how many events and cancels did not leave this process, for /metrics.
func (p *Publisher) Dropped() uint64 { return p.dropped.Load() }

func (p *Publisher) send(ctx context.Context, channel string, n int, message any) {
	if n == 0 {
		return
	}
	if time.Now().UnixNano() < p.retry.Load() {
		p.dropped.Add(uint64(n))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	body, err := json.Marshal(message)
	if err == nil {
		err = p.redis.Publish(ctx, channel, body).Err()
	}
	if err != nil {
		p.dropped.Add(uint64(n))
		p.retry.Store(time.Now().Add(quiet).UnixNano())
		p.log.Debug("news were dropped", "channel", channel, "count", n, "error", err)
	}
}
