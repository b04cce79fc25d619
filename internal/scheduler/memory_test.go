package scheduler_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/scheduler"
	"github.com/millrace/millrace/internal/testrig"
)

func TestFlushedQueueIsFilledAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const jobs = 40
	ids := make(map[string]bool)
	for range jobs {
		ids[f.submit().ID] = true
	}
	f.refill()
	f.lead()
	testrig.Eventually(t, "all jobs in the queue and the pulse felt", func() bool { return f.waiting() == jobs && f.beats() >= 2 })
	before := f.generation()
	f.must(f.Redis.FlushAll(t.Context()).Err())
	testrig.Eventually(t, "all jobs in the queue again", func() bool { return f.waiting() == jobs })
	if after := f.generation(); after != before+1 {
		t.Errorf("generation rose from %d to %d, want by one: each rise sends everything", before, after)
	}
	testrig.Eventually(t, "the queues registered for the dashboard", func() bool {
		known, err := f.Redis.SCard(t.Context(), "asynq:queues").Result()
		return err == nil && int(known) == len(millrace.Queues())
	})
	sent, err := f.Redis.LRange(t.Context(), "asynq:{cpu.normal}:pending", 0, -1).Result()
	f.must(err)
	for _, name := range sent {
		if id := name[:36]; !ids[id] {
			t.Errorf("%s is in the queue twice, or was never submitted", name)
		} else {
			delete(ids, id)
		}
	}
}

// A pulse that rises by one each time and in the same run is no reason to send anything again.
func TestSteadyPulseDoubtsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.lead()
	testrig.Eventually(t, "the first pulse", func() bool { return f.beats() >= 1 && f.generation() == 2 })
	testrig.Eventually(t, "more pulses", func() bool { return f.beats() >= 4 })
	if gen := f.generation(); gen != 2 {
		t.Errorf("generation = %d after a quiet while, want the 2 of the leader's beginning", gen)
	}
}

func TestLostMemoryIsNoticed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		lose func(f *fixture, q *countedQueue)
	}{
		{"an old copy restored", func(f *fixture, _ *countedQueue) { f.must(f.Redis.Set(f.Context(), "millrace:pulse", 1, 0).Err()) }},
		{"a copy of this moment restored", func(f *fixture, _ *countedQueue) { f.must(f.Redis.Decr(f.Context(), "millrace:pulse").Err()) }},
		{"another server with a higher pulse", func(f *fixture, q *countedQueue) {
			f.must(f.Redis.Set(f.Context(), "millrace:pulse", 1000, 0).Err())
			q.run.Store("another")
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			q := &countedQueue{Queue: f.Queue}
			f.lead(func(c *scheduler.Config) { c.Queue = q })
			testrig.Eventually(t, "the pulse felt", func() bool { return f.beats() >= 3 })
			before := f.generation()
			test.lose(f, q)
			testrig.Eventually(t, "everything owed again", func() bool { return f.generation() > before })
		})
	}
}

// The ledger may be out of reach at the very moment when the queue has lost its memory; it must not be forgotten over that.
func TestLostMemoryIsToldToALedgerThatComesBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var away atomic.Bool
	var refused atomic.Int64
	ledger := &faultyLedger{Ledger: f.Ledger, newGeneration: func() error {
		if away.Load() {
			refused.Add(1)
			return errors.New("the ledger is away")
		}
		return nil
	}}
	f.lead(func(c *scheduler.Config) { c.Ledger = ledger })
	testrig.Eventually(t, "the leader at work", func() bool { return f.beats() >= 2 && f.generation() == 2 })
	away.Store(true)
	f.must(f.Redis.FlushAll(t.Context()).Err())
	// The pulse of the new memory has long passed the old one's when the ledger comes back.
	testrig.Eventually(t, "the ledger asked in vain", func() bool { return refused.Load() >= 1 })
	f.must(f.Redis.IncrBy(t.Context(), "millrace:pulse", 1000).Err())
	away.Store(false)
	testrig.Eventually(t, "everything owed again", func() bool { return f.generation() == 3 })
}

func TestLeaderBeginsWithDoubtEvenIfTheLedgerStumbles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var asked atomic.Int64
	ledger := &faultyLedger{Ledger: f.Ledger, newGeneration: func() error {
		if asked.Add(1) == 1 {
			return errors.New("the ledger stumbles")
		}
		return nil
	}}
	f.lead(func(c *scheduler.Config) { c.Ledger = ledger })
	testrig.Eventually(t, "everything owed after the second try", func() bool { return f.generation() == 2 })
}
