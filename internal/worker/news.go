package worker

import (
	"context"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/notify"
)

const (
	// newsDelay is how long the news that a job runs, or how far it is, waits for company. Most jobs have ended by then and nobody needs it.
	newsDelay = 10 * time.Millisecond
	// newsMost bounds what waits while the publisher is held up: what is more is dropped, as a hint may be.
	newsMost = 1024
)

// news tells watchers what happens to jobs: ends at once, a message for each group of outcomes, and everything else a moment later.
type news struct {
	publisher Publisher
	wake      chan struct{}

	mu    sync.Mutex
	ended []notify.Event
	later map[string]notify.Event // the newest of each job that goes on
}

func newNews(p Publisher) *news {
	return &news{publisher: p, wake: make(chan struct{}, 1), later: map[string]notify.Event{}}
}

// add tells of a job that goes on.
func (n *news) add(e notify.Event) {
	n.mu.Lock()
	first := len(n.later) == 0
	if len(n.later) < newsMost {
		n.later[e.Job] = e
	}
	n.mu.Unlock()
	if first {
		n.ring()
	}
}

// end tells of attempts that have ended.
func (n *news) end(events []notify.Event) {
	if len(events) == 0 {
		return
	}
	n.mu.Lock()
	for _, e := range events {
		delete(n.later, e.Job)
		if len(n.ended) < newsMost {
			n.ended = append(n.ended, e)
		}
	}
	n.mu.Unlock()
	n.ring()
}

func (n *news) ring() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// run publishes until ctx ends, and then what was told before.
func (n *news) run(ctx context.Context) error {
	delay := time.NewTimer(newsDelay)
	defer delay.Stop()
	due := true // delay runs, or has fired and nobody has looked
	for {
		select {
		case <-n.wake:
			if n.send(ctx, false) && !due {
				due = true
				delay.Reset(newsDelay)
			}
		case <-delay.C:
			due = false
			n.send(ctx, true)
		case <-ctx.Done():
			n.send(ctx, true)
			return nil
		}
	}
}

// send publishes what has ended, and everything else where all says so. It says whether something is left.
func (n *news) send(ctx context.Context, all bool) (left bool) {
	n.mu.Lock()
	events := n.ended
	n.ended = nil
	if all {
		for _, e := range n.later {
			events = append(events, e)
		}
		clear(n.later)
	}
	left = len(n.later) > 0
	n.mu.Unlock()
	if len(events) > 0 {
		n.publisher.Publish(context.WithoutCancel(ctx), events)
	}
	return left
}
