package supervise

import (
	"context"
	"sync"
)

// board is where instances show whether they are ready.
type board struct {
	mu      sync.Mutex
	ready   []bool
	changed chan struct{} // closed and replaced at each change
}

// noSeat is for an instance that nobody waits for.
const noSeat = -1

func newBoard(seats int) *board {
	return &board{ready: make([]bool, seats), changed: make(chan struct{})}
}

func (b *board) set(seat int, ready bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if seat != noSeat && b.ready[seat] != ready {
		b.ready[seat] = ready
		close(b.changed)
		b.changed = make(chan struct{})
	}
}

// any reports whether one of the seats is ready.
func (b *board) any(seats ...int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range seats {
		if b.ready[s] {
			return true
		}
	}
	return false
}

// waitAll returns nil once all are ready, or the cause of ctx's end.
func (b *board) waitAll(ctx context.Context) error {
	for {
		b.mu.Lock()
		all, changed := true, b.changed
		for _, ready := range b.ready {
			all = all && ready
		}
		b.mu.Unlock()
		if all {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
