package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/queue"
)

// sender enqueues behind the caller's back: what gathers while one pipeline is on its way leaves in the next. It may drop anything, because
// every row it was given is owed.
type sender struct {
	queue Queue
	log   *slog.Logger
	tasks chan queue.Task
}

const (
	sendGroup   = 500
	sendBacklog = 4 * sendGroup
	sendTimeout = time.Second
	sendPause   = 500 * time.Millisecond // after a failure, so that a dead Redis is not asked by every job
)

func newSender(q Queue, log *slog.Logger) *sender {
	return &sender{queue: q, log: log, tasks: make(chan queue.Task, sendBacklog)}
}

func (s *sender) send(t queue.Task) {
	select {
	case s.tasks <- t:
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
		if err := s.enqueue(ctx, group); err != nil {
			s.log.Warn("enqueue failed; the refill will send these jobs", "jobs", len(group), "error", err)
			pausedUntil = time.Now().Add(sendPause)
		}
	}
}

// next waits for a task and takes all that came with it. When ctx has ended it still returns what is waiting, then nil.
func (s *sender) next(ctx context.Context) []queue.Task {
	var group []queue.Task
	select {
	case t := <-s.tasks:
		group = append(group, t)
	default:
		select {
		case t := <-s.tasks:
			group = append(group, t)
		case <-ctx.Done():
			return nil
		}
	}
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
	err := errors.Join(s.queue.Enqueue(ctx, group)...)
	fault.Point(fault.Enqueued)
	return err
}

// window is this process's idea of how full each queue is: what the last refill saw plus what was let through since.
type window struct {
	size int
	mu   sync.Mutex
	now  map[string]int
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
	room := make(map[string]int, len(depths))
	for queue, depth := range depths {
		w.now[queue] = depth
		if depth <= w.size/2 {
			room[queue] = w.size - depth
		}
	}
	return room
}
