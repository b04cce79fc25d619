package scheduler

import (
	"context"
	"slices"

	"github.com/millrace/millrace"
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

// releaseWaiting goes on where many jobs waited for one that has ended.
func (l *Leader) releaseWaiting(ctx context.Context) error {
	_, err := repeat(ctx, l.Ledger.ReleaseWaiting)
	return err
}

func (l *Leader) failOverdue(ctx context.Context) error {
	n, err := repeat(ctx, l.Ledger.FailOverdue)
	if n > 0 {
		l.Log.Info("jobs whose deadline passed before they were done have failed", "jobs", n)
	}
	return err
}
