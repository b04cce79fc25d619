package scheduler

import (
	"context"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// pulse is what the queue said the last time.
type pulse struct {
	n     int64
	runID string
}

// watchPulse notices a Redis that was flushed, restored from an old copy, or replaced: then everything unfinished is owed again, which is one
// row written.
func (l *Leader) watchPulse(ctx context.Context) error {
	n, runID, err := l.Queue.Pulse(ctx)
	if err != nil {
		return err
	}
	last := l.pulse
	l.pulse = pulse{n: n, runID: runID}
	if last.n > 0 && (n <= last.n || runID != last.runID) {
		l.Log.Warn("the queue lost its memory or was replaced; everything unfinished is sent again")
		l.doubtful = true
	}
	if !l.doubtful {
		return nil
	}
	// After the pulse: what is lost from now on shows in the next one.
	if err := l.doubt(ctx); err != nil {
		return err
	}
	l.doubtful = false
	return l.Queue.Register(ctx)
}

// doubt makes everything unfinished owed again. What is in the queue already refuses the second copy.
func (l *Leader) doubt(ctx context.Context) error {
	gen, err := l.Ledger.Generation(ctx)
	if err != nil {
		return err
	}
	return l.Ledger.NewGeneration(ctx, gen)
}

func (l *Leader) bury(ctx context.Context) error {
	n, err := l.Ledger.BurySilent(ctx, l.Silence)
	if n > 0 {
		l.Log.Warn("workers without a sign of life were declared dead", "workers", n)
	}
	return err
}

// rescue is a standing sweep and not only an event at the burial: a claim that raced with the burial must not stay behind. Whoever saw a process
// crash has rescued its jobs already, so what is found here does not count against them.
func (l *Leader) rescue(ctx context.Context) error {
	n, err := l.Ledger.Rescue(ctx)
	if n > 0 {
		l.Log.Warn("jobs of dead workers were put back", "jobs", n)
	}
	return err
}

// followPauses makes the queue hand out nothing of what the ledger has paused. The ledger refuses such deliveries anyway; a Redis that was emptied, or a
// hand on the dashboard, makes the two differ.
func (l *Leader) followPauses(ctx context.Context) error {
	paused, err := l.Ledger.PausedQueues(ctx)
	if err != nil {
		return err
	}
	followed, err := l.Queue.Paused(ctx)
	if err != nil {
		return err
	}
	for _, name := range millrace.Queues() {
		if want := slices.Contains(paused, name); want != slices.Contains(followed, name) {
			if err := l.Queue.Pause(ctx, name, want); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Leader) forceCancel(ctx context.Context) error {
	_, err := l.Ledger.ForceCancel(ctx, l.CancelGrace)
	return err
}

func (l *Leader) failOverdue(ctx context.Context) error {
	n, err := repeat(ctx, l.Ledger.FailOverdue)
	if n > 0 {
		l.Log.Info("jobs whose deadline passed before they were done have failed", "jobs", n)
	}
	return err
}

// sweepActive finds deliveries whose worker died between taking them and claiming the job. The queue calls them active and refuses another copy
// of the same name, so the job gets a new fence.
func (l *Leader) sweepActive(ctx context.Context) error {
	active, err := l.Queue.Active(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	seen := make(map[store.Delivery]time.Time, len(active))
	var old []store.Delivery
	for _, t := range active {
		d := store.Delivery{Job: t.Job, Fence: t.Fence}
		since, ok := l.active[d]
		if !ok {
			since = now
		}
		seen[d] = since
		if now.Sub(since) >= l.Unclaimed {
			old = append(old, d)
		}
	}
	l.active = seen
	return l.resend(ctx, old)
}

// sweepArchived finds deliveries that the queue has given up although their jobs are not done: no worker that took them knew the type, or somebody
// archived them on the dashboard. The archive, too, refuses another copy of the same name.
func (l *Leader) sweepArchived(ctx context.Context) error {
	archived, err := l.Queue.Archived(ctx)
	if err != nil {
		return err
	}
	deliveries := make([]store.Delivery, 0, len(archived))
	for _, t := range archived {
		deliveries = append(deliveries, store.Delivery{Job: t.Job, Fence: t.Fence})
	}
	return l.resend(ctx, deliveries)
}

// resend gives those of the deliveries that nobody claimed another fence.
func (l *Leader) resend(ctx context.Context, deliveries []store.Delivery) error {
	if len(deliveries) == 0 {
		return nil
	}
	unclaimed, err := l.Ledger.Unclaimed(ctx, deliveries)
	if err != nil || len(unclaimed) == 0 {
		return err
	}
	l.Log.Warn("deliveries that nobody claimed are sent again", "jobs", len(unclaimed))
	return l.Ledger.Refence(ctx, unclaimed)
}
