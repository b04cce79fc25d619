package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// silence is how long a subscription may say nothing before it is asked whether it lives, and then once more before it is given up.
	silence     = 15 * time.Second
	firstPause  = 100 * time.Millisecond
	lastPause   = 5 * time.Second
	pauseFactor = 2
)

// listen hands every message of a channel to handle until ctx ends, through as many connections as it takes.
func listen(ctx context.Context, cfg Config, channel string, handle func(payload string)) error {
	log := cfg.log()
	pause := firstPause
	for {
		heard, err := subscribe(ctx, cfg.Redis, channel, handle)
		if ctx.Err() != nil {
			return nil
		}
		if heard {
			pause = firstPause
		}
		log.Debug("news are interrupted", "channel", channel, "error", err, "pause", pause)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
		pause = min(pauseFactor*pause, lastPause)
	}
}

// subscribe listens over one connection until it fails or ctx ends. heard: Redis took the subscription.
func subscribe(ctx context.Context, client redis.UniversalClient, channel string, handle func(payload string)) (heard bool, err error) {
	sub := client.Subscribe(ctx) // connects with the first channel
	// go-redis does not watch for a cancel while it reads; closing the subscription ends the read.
	stop := context.AfterFunc(ctx, func() { sub.Close() })
	defer func() {
		if stop() {
			sub.Close()
		}
	}()
	if err := sub.Subscribe(ctx, channel); err != nil {
		return false, fmt.Errorf("subscribe to %s: %w", channel, err)
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
				return heard, fmt.Errorf("ping the subscription to %s: %w", channel, err)
			}
			continue
		}
		if err != nil {
			return heard, fmt.Errorf("receive from %s: %w", channel, err)
		}
		heard, asked = true, false
		if m, ok := m.(*redis.Message); ok {
			handle(m.Payload)
		}
	}
}

// Cancels calls cancel for every job that somebody wants canceled, until ctx ends. cancel must not block: it holds up the ones after it.
func Cancels(ctx context.Context, cfg Config, cancel func(job string)) error {
	return listen(ctx, cfg, cancelChannel, func(payload string) {
		for _, job := range parseJobs(payload) {
			cancel(job)
		}
	})
}
