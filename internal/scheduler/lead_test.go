package scheduler_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/scheduler"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store"
)

// candidate is a leader whose rounds are counted.
type candidate struct {
	queue  *countedQueue
	ledger *faultyLedger
	stop   func()
}

func (f *fixture) candidate() *candidate {
	c := &candidate{queue: &countedQueue{Queue: f.Queue}, ledger: &faultyLedger{Ledger: f.Ledger}}
	c.stop = f.lead(func(cfg *scheduler.Config) { cfg.Queue, cfg.Ledger = c.queue, c.ledger })
	return c
}

func (c *candidate) rounds() int64 { return c.queue.pulses.Load() }

func TestOneLeadsAndTheOtherStandsBy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first, second := f.candidate(), f.candidate()
	testrig.Eventually(t, "rounds, and both having asked for the lease", func() bool {
		return first.rounds()+second.rounds() >= 10 && first.ledger.lastHolder() != "" && second.ledger.lastHolder() != ""
	})
	leads, stands := first, second
	if second.rounds() > 0 {
		leads, stands = second, first
	}
	if n := stands.rounds() + stands.ledger.rescues.Load() + stands.queue.registers.Load(); n != 0 {
		t.Errorf("the one that stands by did %d rounds, while the other did %d", n, leads.rounds())
	}
	leads.stop()
	done := leads.rounds()
	testrig.Eventually(t, "the other to lead", func() bool { return stands.rounds() > 3 })
	if now := leads.rounds(); now != done {
		t.Errorf("the leader that was stopped went from %d rounds to %d", done, now)
	}
}

func TestStandbyTakesOverFromOneThatVanished(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	// A lease that nobody renews or gives back.
	_, leads, err := f.Ledger.Lead(t.Context(), scheduler.LeaseName, "vanished", time.Second)
	if err != nil || !leads {
		t.Fatalf("Lead = %v, %v", leads, err)
	}
	c := f.candidate()
	testrig.Eventually(t, "the stand-by to lead", func() bool { return c.rounds() > 3 })
	if _, leads, err := f.Ledger.Lead(t.Context(), scheduler.LeaseName, "late", time.Second); err != nil || leads {
		t.Errorf("another one got the lease, too: %v, %v", leads, err)
	}
}

func TestLeaderThatLostItsLeaseStops(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := f.candidate()
	testrig.Eventually(t, "the leader at work", func() bool { return c.rounds() > 3 })
	// As if it had been frozen for longer than its lease, and another had come.
	f.must(f.Ledger.Resign(t.Context(), scheduler.LeaseName, c.ledger.lastHolder()))
	if _, leads, err := f.Ledger.Lead(t.Context(), scheduler.LeaseName, "another", time.Minute); err != nil || !leads {
		t.Fatalf("Lead = %v, %v", leads, err)
	}
	quiet, since := c.rounds(), time.Now()
	testrig.Eventually(t, "the rounds to end", func() bool {
		if now := c.rounds(); now != quiet {
			quiet, since = now, time.Now()
		}
		return time.Since(since) > time.Second // twenty rounds
	})
}

func TestRoundThatFailsStopsNoOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	broken := errors.New("out of order")
	var failures atomic.Int64
	fail := func() error { failures.Add(1); return broken }
	var log logBuffer
	ledger := &faultyLedger{Ledger: f.Ledger, bury: fail, expire: func(context.Context) error { return fail() }}
	q := &countedQueue{Queue: f.Queue, active: fail}
	f.lead(func(c *scheduler.Config) {
		c.Ledger, c.Queue, c.Log = ledger, q, slog.New(slog.NewTextHandler(&log, nil))
	})
	testrig.Eventually(t, "rounds besides the failing ones", func() bool { return ledger.rescues.Load() >= 20 && q.pulses.Load() >= 20 })
	testrig.Eventually(t, "the failing ones tried again", func() bool { return failures.Load() >= 6 })
	if rounds, tries := q.pulses.Load(), failures.Load(); tries > rounds {
		t.Errorf("%d tries of three failing rounds in %d looks, want them further and further apart", tries, rounds)
	}
	for _, name := range []string{"bury silent workers", "find deliveries that nobody claimed", "expire jobs and files"} {
		if n := strings.Count(log.String(), name); n != 1 {
			t.Errorf("%q was logged %d times, want once", name, n)
		}
	}
}

// logBuffer is a log that several goroutines write.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A clean-up that takes long must not keep the jobs of dead workers waiting, nor cost the lease.
func TestSlowCleanUpHoldsUpNoRescue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	begun := make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	ledger := &faultyLedger{Ledger: f.Ledger, expire: func(ctx context.Context) error {
		begin()
		<-ctx.Done()
		return ctx.Err()
	}}
	job := f.submit()
	worker := f.worker()
	f.claim(worker, job.ID)
	f.lead(func(c *scheduler.Config) { c.Ledger = ledger })
	<-begun
	f.must(f.Ledger.Bury(t.Context(), worker, store.Death{Crash: true}))
	testrig.Eventually(t, "the job put back", func() bool { return f.Job(job.ID).WorkerID == "" })
	done := ledger.rescues.Load()
	testrig.Eventually(t, "rounds going on", func() bool { return ledger.rescues.Load() > done+10 })
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := f.candidate()
	testrig.Eventually(t, "the leader at work", func() bool { return c.rounds() > 1 })
	c.stop() // fails the test when Run answers an error
	if _, leads, err := f.Ledger.Lead(t.Context(), scheduler.LeaseName, "next", time.Second); err != nil || !leads {
		t.Errorf("the lease was not given back: %v, %v", leads, err)
	}
}
