package scheduler_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/scheduler"
)

// generations is a ledger that has a generation and nothing else.
type generations struct {
	scheduler.Ledger
	now int64
}

func (g *generations) Generation(context.Context) (int64, error) { return g.now, nil }

func (g *generations) NewGeneration(_ context.Context, from int64) error {
	if g.now == from {
		g.now++
	}
	return nil
}

// The delivery of a job may be refused because of a pause and still be in the queue when the job is owed again: then the resume alone brings nothing,
// and what follows it must come when every such delivery is gone.
func TestResumeIsFollowedByASecondLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ledger := &generations{now: 7}
		leader := scheduler.New(scheduler.Config{Ledger: ledger, Queue: &taken{}, Log: slog.New(slog.DiscardHandler)})
		rounds := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); <-time.After(time.Second) {
				if err := leader.Do(t.Context(), "follow resumed queues"); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := func(gen int64, when string) {
			t.Helper()
			if ledger.now != gen {
				t.Fatalf("generation = %d %s, want %d", ledger.now, when, gen)
			}
		}
		rounds(time.Minute)
		want(7, "after a quiet minute")
		ledger.now++ // a resume
		rounds(8 * time.Second)
		want(8, "while a claim may still wait for its answer")
		rounds(4 * time.Second)
		want(9, "when all that was refused is dropped")
		rounds(time.Minute)
		want(9, "a minute later: its own look is not followed by another")

		if err := leader.Do(t.Context(), "doubt the queue"); err != nil {
			t.Fatal(err)
		}
		rounds(time.Minute)
		want(10, "after a doubt of the leader's own")
		ledger.now++ // a resume, which the next doubt meets first
		if err := leader.Do(t.Context(), "doubt the queue"); err != nil {
			t.Fatal(err)
		}
		rounds(time.Minute)
		want(13, "after a resume and a doubt at once")
	})
}

// The same through a real ledger: only a resume that ends a pause counts.
func TestResumeRaisesTheGenerationTheLeaderSees(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	before := f.generation()
	f.must(f.Ledger.PauseQueue(t.Context(), "cpu.normal", true))
	if gen := f.generation(); gen != before {
		t.Errorf("a pause raised the generation from %d to %d", before, gen)
	}
	f.must(f.Ledger.PauseQueue(t.Context(), "cpu.normal", false))
	if gen := f.generation(); gen != before+1 {
		t.Errorf("a resume left the generation at %d after %d", gen, before)
	}
}
