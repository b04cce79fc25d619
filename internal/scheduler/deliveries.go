package scheduler

import (
	"context"
	"slices"
	"time"

	"github.com/millrace/millrace/store"
)

const (
	// claimTrips is how many of the ledger's answers a claim may have to wait for: those of the groups before it, and its own.
	claimTrips = 4
	// longestUnclaimed is how long a delivery is left alone at most, however slow the ledger is: more than a claim waits for its answer.
	longestUnclaimed = 15 * time.Second
)

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
		if now.Sub(since) >= l.patience() {
			old = append(old, d)
		}
	}
	l.active = seen
	if len(old) == 0 {
		l.lag -= l.lag / 4 // nothing says how slow the ledger is now
		return nil
	}
	unclaimed, err := l.Ledger.Unclaimed(ctx, old)
	if err != nil {
		return err
	}
	// Slower answers count at once, quicker ones by and by.
	l.lag = max(time.Since(now), l.lag-l.lag/4)
	// By what is known now: a ledger that has become slow is slow for claims, too, and a new fence would only make all that wait begin anew.
	early := func(d store.Delivery) bool { return now.Sub(seen[d]) < l.patience() }
	return l.refence(ctx, slices.DeleteFunc(unclaimed, early))
}

// patience is how long a delivery may be unclaimed.
func (l *Leader) patience() time.Duration {
	return max(l.Unclaimed, min(claimTrips*l.lag, longestUnclaimed))
}

// sweepArchived finds deliveries that the queue has given up although their jobs are not done: no worker that took them knew the type, or somebody
// archived them on the dashboard. The archive, too, refuses another copy of the same name.
func (l *Leader) sweepArchived(ctx context.Context) error {
	archived, err := l.Queue.Archived(ctx)
	if err != nil || len(archived) == 0 {
		return err
	}
	deliveries := make([]store.Delivery, 0, len(archived))
	for _, t := range archived {
		deliveries = append(deliveries, store.Delivery{Job: t.Job, Fence: t.Fence})
	}
	unclaimed, err := l.Ledger.Unclaimed(ctx, deliveries)
	if err != nil {
		return err
	}
	return l.refence(ctx, unclaimed)
}

// refence gives deliveries that nobody claimed another fence, by which they are sent again.
func (l *Leader) refence(ctx context.Context, unclaimed []store.Delivery) error {
	if len(unclaimed) == 0 {
		return nil
	}
	l.Log.Warn("deliveries that nobody claimed are sent again", "jobs", len(unclaimed))
	return l.Ledger.Refence(ctx, unclaimed)
}
