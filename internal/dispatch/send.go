package dispatch

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/queue"
)

// sender enqueues behind the caller's back: what gathers while one pipeline is on its way leaves in the next. It may drop anything, because
// every row it was given is owed.
type sender struct {
	queue  Queue
	tasks  chan queue.Task
	groups chan []queue.Task // of batches, each in a piece
	redis  *outage
}

const (
	sendGroup   = 500
	sendBacklog = 4 * sendGroup
	sendBatches = 8 // of up to 10,000 tasks
	sendTimeout = time.Second
	sendPause   = 500 * time.Millisecond // after a failure, so that a dead Redis is not asked by every job
)

func newSender(q Queue, log *slog.Logger) *sender {
	return &sender{queue: q, tasks: make(chan queue.Task, sendBacklog), groups: make(chan []queue.Task, sendBatches),
		redis: &outage{log: log, gone: "enqueue failed; the refill sends what is owed", back: "enqueueing works again"}}
}

func (s *sender) send(t queue.Task) {
	select {
	case s.tasks <- t:
	default:
	}
}

func (s *sender) sendGroup(group []queue.Task) {
	if len(group) == 0 {
		return
	}
	select {
	case s.groups <- group:
	default:
	}
}

func (s *sender) run(ctx context.Context) {
	var pausedUntil time.Time
	for {
		group := s.next(ctx)
		if group == nil {
			return
		}
		if time.Now().Before(pausedUntil) {
			continue
		}
		for part := range slices.Chunk(group, sendGroup) {
			if err := s.enqueue(ctx, part); err != nil {
				s.redis.lost(err)
				pausedUntil = time.Now().Add(sendPause)
				break
			}
			s.redis.reached()
		}
	}
}

// next waits for a task and takes all that came with it, or a batch's. When ctx has ended it still returns what is waiting, then nil.
func (s *sender) next(ctx context.Context) []queue.Task {
	select {
	case t := <-s.tasks:
		return s.gather(t)
	case group := <-s.groups:
		return group
	default:
	}
	select {
	case t := <-s.tasks:
		return s.gather(t)
	case group := <-s.groups:
		return group
	case <-ctx.Done():
		return nil
	}
}

func (s *sender) gather(first queue.Task) []queue.Task {
	group := append(make([]queue.Task, 0, 1+min(len(s.tasks), sendGroup-1)), first)
	for len(group) < sendGroup {
		select {
		case t := <-s.tasks:
			group = append(group, t)
		default:
			return group
		}
	}
	return group
}

func (s *sender) enqueue(ctx context.Context, group []queue.Task) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	errs := s.queue.Enqueue(ctx, group)
	fault.Point(fault.Enqueued)
	for _, err := range errs {
		if err != nil {
			return err // the others will be no different
		}
	}
	return nil
}

// window is this process's idea of how full each queue is: what it saw last plus what it let through since.
type window struct {
	size int
	mu   sync.Mutex
	now  map[string]int
	seen time.Time
}

// stale says whether the window was last looked through longer ago than age.
func (w *window) stale(age time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.seen) > age
}

func newWindow(size int) *window { return &window{size: size, now: make(map[string]int)} }

// take lets one task through, if there is room for it.
func (w *window) take(queue string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now[queue] >= w.size {
		return false
	}
	w.now[queue]++
	return true
}

// update notes what is in the queues and answers how many more each may take: nothing until it is half empty, so that a refill is worth its trip.
func (w *window) update(depths map[string]int) map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = time.Now()
	room := make(map[string]int, len(depths))
	for queue, depth := range depths {
		w.now[queue] = depth
		if depth <= w.size/2 {
			room[queue] = w.size - depth
		}
	}
	return room
}
