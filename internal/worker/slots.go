package worker

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/millrace/millrace"
)

// slots bound the handlers that really run in one pool. The queue's own bound does not: it frees a place when its context ends, although the
// handler still works.
type slots struct {
	size int
	sem  *semaphore.Weighted
}

func newSlots(size int) *slots { return &slots{size: size, sem: semaphore.NewWeighted(int64(size))} }

// wait returns when a slot is free. It takes none, so the next may still have to wait.
func (s *slots) wait(ctx context.Context) error {
	if err := s.sem.Acquire(ctx, 1); err != nil {
		return err
	}
	s.sem.Release(1)
	return nil
}

// budget is the memory that running jobs may reserve together.
type budget struct {
	size int64
	sem  *semaphore.Weighted
	mu   sync.Mutex
	now  int64
}

func newBudget(size int64) *budget { return &budget{size: size, sem: semaphore.NewWeighted(size)} }

func (b *budget) used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// reserve waits for bytes. More than the whole budget can never be had here, which the job's owner must hear.
func (b *budget) reserve(ctx context.Context, bytes int64) (release func(), err error) {
	if bytes <= 0 {
		return func() {}, nil
	}
	if bytes > b.size {
		return nil, millrace.BadInput(millrace.CodeTooLarge,
			"this input needs about %d MiB of memory, a worker may use %d MiB; make the input smaller or raise MILLRACE_MEMORY", bytes>>20, b.size>>20)
	}
	if err := b.sem.Acquire(ctx, bytes); err != nil {
		return nil, context.Cause(ctx)
	}
	b.add(bytes)
	return sync.OnceFunc(func() {
		b.add(-bytes)
		b.sem.Release(bytes)
	}), nil
}

func (b *budget) add(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now += bytes
}
