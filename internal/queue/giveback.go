package queue

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// ErrEnded answers a delivery that this process does not take any more: it goes back to its queue at once, and nothing is spent.
var ErrEnded = errors.New("this server takes no more work")

const (
	// backPause is how long asynq gets to put a task down before it is brought forward, and the pause until the next try.
	backPause = 5 * time.Millisecond
	// backWithin is how long that is tried. What fails until then is left to asynq, which looks every five seconds.
	backWithin = 2 * time.Second
)

// giver puts tasks that were not worked back into their queues. asynq can only be told to deliver one again later, so each is first put down by
// asynq and then brought forward by its inspector.
type giver struct {
	queue *Queue
	pool  string
	log   *slog.Logger
	tasks chan returned
}

type returned struct {
	Task
	until time.Time
}

func (g *giver) add(t Task) {
	select {
	case g.tasks <- returned{t, time.Now().Add(backWithin)}:
	default: // asynq alone brings it back, later
	}
}

// run gives back until tasks is closed and everything has been tried.
func (g *giver) run() {
	var left []returned
	pause := time.NewTimer(0)
	defer pause.Stop()
	for in := g.tasks; in != nil || len(left) > 0; {
		var due <-chan time.Time
		if len(left) > 0 {
			due = pause.C
		}
		select {
		case t, ok := <-in:
			if !ok {
				in = nil
				continue
			}
			left = append(left, t)
			pause.Reset(backPause)
		case <-due:
			left = g.bring(left)
			pause.Reset(backPause)
		}
	}
}

// bring brings tasks forward and returns those that asynq has not put down yet.
func (g *giver) bring(tasks []returned) (left []returned) {
	brought := 0
	for _, t := range tasks {
		err := g.queue.inspect.RunTask(t.Queue, t.ID())
		switch {
		case err == nil:
			brought++
		case time.Now().Before(t.until):
			left = append(left, t)
		default:
			g.log.Info("a task goes back to its queue late", "job", t.Job, "error", err)
		}
	}
	if brought > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
		defer cancel()
		pipe := g.queue.redis.Pipeline()
		pushTokens(ctx, pipe, map[string]int{g.pool: brought})
		_, _ = pipe.Exec(ctx) // without tokens others look within two seconds
	}
	return left
}
