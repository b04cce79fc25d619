package worker

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// aheadTime is how much work a pool holds beyond what runs, by how long its attempts took of late: enough that short ones do not wait for the
	// ledger one after the other, and little enough that none waits long behind another. Jobs of more than that are never held ahead.
	aheadTime = 25 * time.Millisecond
	// aheadMost bounds it, too, and finishing the attempts whose outcomes are on their way to the ledger: they are what memory it takes.
	aheadMost = 64
	finishing = 128
	// slotWait is how long a claimed job may wait for its slot before it is put back: something long has come before it.
	slotWait = 100 * time.Millisecond
)

// slots bound the handlers that really run in one pool. The queue's own bound does not: it frees a place when its context ends, although the
// handler still works.
type slots struct {
	size  int
	alone bool // one job from claim to recorded outcome, and none ahead
	eager bool // claims ahead
	sem   *semaphore.Weighted
	freed chan struct{} // tells room that a place may be free

	mu    sync.Mutex
	held  int           // deliveries whose handlers have not returned
	total int           // all deliveries that the queue waits for
	mean  time.Duration // of the latest attempts; 0: unknown
}

// newSlots makes slots. eager ones claim ahead: that is for jobs that mostly wait, since one that computes may be a thousand times as long as the
// one before it, and what was claimed behind it is put back, which its history shows.
func newSlots(size int, alone, eager bool) *slots {
	return &slots{size: size, alone: alone, eager: eager, sem: semaphore.NewWeighted(int64(size)), freed: make(chan struct{}, 1)}
}

// most is how many deliveries the queue may have with us at once.
func (s *slots) most() int {
	if s.alone {
		return s.size
	}
	return s.size + aheadMost + finishing
}

// ahead is how many deliveries are held beyond those that run. The caller has mu.
func (s *slots) ahead() int {
	if !s.eager || s.mean <= 0 {
		return 0
	}
	return int(min(aheadMost, time.Duration(s.size)*aheadTime/s.mean))
}

// room waits until deliveries can be taken, and says how many. It waits for several while there is work enough in hand, because they cost one
// round trip together. It reserves nothing: one goroutine alone asks.
func (s *slots) room(ctx context.Context) (int, error) {
	for {
		s.mu.Lock()
		ahead := s.ahead()
		n := min(s.size+ahead-s.held, s.most()-s.total)
		s.mu.Unlock()
		if n >= max(1, ahead/2) {
			return n, nil
		}
		select {
		case <-s.freed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// place is one delivery in a pool.
type place struct {
	slots   *slots
	passed  bool      // it does not count as held any more
	started time.Time // when it got its slot; zero: it has none
}

func (s *slots) enter() *place {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held++
	s.total++
	return &place{slots: s}
}

// start waits for a slot, at most wait.
func (p *place) start(ctx context.Context, wait time.Duration) error {
	s := p.slots
	if !s.sem.TryAcquire(1) {
		ctx, cancel := context.WithTimeoutCause(ctx, wait, errCrowded)
		defer cancel()
		if s.sem.Acquire(ctx, 1) != nil {
			if err := context.Cause(ctx); err != errCrowded {
				return err
			}
			s.mu.Lock()
			s.mean = max(s.mean, 2*time.Duration(s.size)*aheadTime) // what runs is longer than what ran: hold none ahead
			s.mu.Unlock()
			return errCrowded
		}
	}
	p.started = time.Now()
	return nil
}

// stop gives the slot back, and the place among those held.
func (p *place) stop() {
	s := p.slots
	s.mu.Lock()
	if !p.started.IsZero() {
		s.sem.Release(1)
		took := max(time.Since(p.started), time.Microsecond)
		if s.mean == 0 {
			s.mean = took
		}
		s.mean += (took - s.mean) / 8
		p.started = time.Time{}
	}
	if !p.passed {
		p.passed = true
		s.held--
	}
	s.mu.Unlock()
	s.tell()
}

// back takes the delivery among those held again, after a stop: what is held delays what would be claimed after it.
func (p *place) back() {
	p.slots.mu.Lock()
	defer p.slots.mu.Unlock()
	p.passed = false
	p.slots.held++
}

// leave ends the delivery.
func (p *place) leave() {
	p.stop()
	p.slots.mu.Lock()
	p.slots.total--
	p.slots.mu.Unlock()
	p.slots.tell()
}

func (s *slots) tell() {
	select {
	case s.freed <- struct{}{}:
	default:
	}
}
