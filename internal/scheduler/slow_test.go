package scheduler_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/scheduler"
	"github.com/millrace/millrace/store"
)

// taken is a queue that handed one task out.
type taken struct {
	scheduler.Queue
	task queue.Task
}

func (q *taken) Active(context.Context) ([]queue.Task, error) { return []queue.Task{q.task}, nil }

// slowLedger takes its time; nobody claims anything.
type slowLedger struct {
	scheduler.Ledger
	answer   time.Duration
	refenced []time.Time
	queue    *taken
}

func (l *slowLedger) Unclaimed(_ context.Context, deliveries []store.Delivery) ([]store.Delivery, error) {
	<-time.After(l.answer)
	return deliveries, nil
}

func (l *slowLedger) Refence(_ context.Context, deliveries []store.Delivery) error {
	l.refenced = append(l.refenced, time.Now())
	for _, d := range deliveries {
		l.queue.task.Fence = d.Fence + 1 // and sent at once
	}
	return nil
}

// A claim waits for the ledger, so a slow ledger leaves its deliveries more time: else they would all get new fences before their claims are through,
// for ever. A ledger that is quick again shortens it.
func TestSlowLedgerLeavesTimeToClaim(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		answer      time.Duration
		least, most time.Duration // from a delivery to its new fence
	}{
		{"quick", time.Millisecond, 2 * time.Second, 4 * time.Second},
		{"slow", time.Second, 4 * time.Second, 7 * time.Second},
		{"very slow", 3 * time.Second, 12 * time.Second, 17 * time.Second},
		{"hangs", 30 * time.Second, 15 * time.Second, 80 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &taken{}
				ledger := &slowLedger{answer: tt.answer, queue: q}
				leader := scheduler.New(scheduler.Config{Ledger: ledger, Queue: q, Log: slog.New(slog.DiscardHandler)})
				round := func() {
					if err := leader.Do(t.Context(), "find deliveries that nobody claimed"); err != nil {
						t.Fatal(err)
					}
					<-time.After(time.Second)
				}
				since := time.Now()
				for n := range 3 {
					for len(ledger.refenced) == n && time.Since(since) < 10*time.Minute {
						round()
					}
					if len(ledger.refenced) == n {
						t.Fatal("a delivery whose worker died was never sent again")
					}
					if waited := ledger.refenced[n].Sub(since); waited < tt.least || waited > tt.most {
						t.Errorf("delivery %d got another fence after %v, want %v to %v", n, waited, tt.least, tt.most)
					}
					since = ledger.refenced[n]
				}
				ledger.answer = 0
				for range 60 {
					round()
				}
				last := ledger.refenced[len(ledger.refenced)-2:]
				if waited := last[1].Sub(last[0]); waited > 4*time.Second {
					t.Errorf("with a quick ledger again a delivery waits %v", waited)
				}
			})
		})
	}
}
