package rest

import (
	"sync/atomic"

	"github.com/millrace/millrace"
)

// jobCost is about what a job of a batch takes in memory beside its text until it is committed.
const jobCost = 2 << 10

// batchBudget bounds what the batches of a process have in memory at the same time. Nobody waits for a share: there is one, or the client comes
// back later.
type batchBudget struct {
	size int64
	used atomic.Int64
}

// batchShare is what one batch has of the budget.
type batchShare struct {
	budget *batchBudget
	bytes  int64
}

// enter gives a share for a body of an announced length, before a byte of it is read. -1 is a length that nobody told.
func (b *batchBudget) enter(length, limit int64) (*batchShare, error) {
	if length > limit {
		return nil, batchTooLarge(limit)
	}
	share := &batchShare{budget: b}
	return share, share.grow(max(length, 1))
}

// grow takes more. After a refusal the share is what it was.
func (s *batchShare) grow(n int64) error {
	if s.budget.used.Add(n) > s.budget.size {
		s.budget.used.Add(-n)
		return &millrace.Error{Kind: millrace.Unavailable, RetryAfter: 1, Detail: "the server takes in as many batches as it can; try again shortly"}
	}
	s.bytes += n
	return nil
}

// leave gives everything back.
func (s *batchShare) leave() {
	s.budget.used.Add(-s.bytes)
	s.bytes = 0
}
