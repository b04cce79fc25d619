package sim_test

import (
	"context"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func (l *ledger) Register(ctx context.Context, w millrace.Worker) error {
	return act(l.p, ctx, "register", func(ctx context.Context) error { return l.real().Register(ctx, w) })
}

func (l *ledger) Beat(ctx context.Context, b store.Beat) (store.BeatReply, error) {
	return do(l.p, ctx, "beat", func(ctx context.Context) (store.BeatReply, error) { return l.real().Beat(ctx, b) })
}

func (l *ledger) Claim(ctx context.Context, worker string, deliveries []store.Delivery) ([]store.Claimed, error) {
	w := l.p.world
	claimed, err := do(l.p, ctx, "claim", func(ctx context.Context) ([]store.Claimed, error) {
		lived, err := w.lives(worker)
		if err != nil {
			return nil, err
		}
		claimed, err := l.real().Claim(ctx, worker, deliveries)
		for i, c := range claimed {
			if c.Job != nil {
				w.watch.claimed(worker, lived, deliveries[i], c.Job)
			}
		}
		return claimed, err
	})
	for _, c := range claimed {
		if err == nil && c.Job != nil {
			w.holds(l.p, c.Job)
		}
	}
	return claimed, err
}

func (l *ledger) Finish(ctx context.Context, outcomes []store.Outcome) ([]bool, error) {
	w := l.p.world
	won, err := do(l.p, ctx, "finish", func(ctx context.Context) ([]bool, error) {
		over := w.watch.over(ctx, outcomes)
		won, err := l.real().Finish(ctx, outcomes)
		if err == nil {
			w.watch.finished(ctx, outcomes, won, over)
		}
		return won, err
	})
	for i, o := range outcomes {
		if err != nil {
			w.history.FinishUnknown(o)
		} else {
			w.history.Finished(o, won[i])
		}
	}
	return won, err
}

func (l *ledger) Leave(ctx context.Context, worker string) error {
	return act(l.p, ctx, "leave", func(ctx context.Context) error { return l.real().Leave(ctx, worker) })
}

func (l *ledger) Generation(ctx context.Context) (int64, error) {
	return do(l.p, ctx, "generation", l.real().Generation)
}

func (l *ledger) NewGeneration(ctx context.Context, from int64) error {
	return act(l.p, ctx, "newgeneration", func(ctx context.Context) error { return l.real().NewGeneration(ctx, from) })
}

func (l *ledger) Owed(ctx context.Context, limits map[string]int) ([]store.Owed, error) {
	return do(l.p, ctx, "owed", func(ctx context.Context) ([]store.Owed, error) { return l.real().Owed(ctx, limits) })
}

func (l *ledger) MarkSent(ctx context.Context, deliveries []store.Delivery, gen int64) error {
	return act(l.p, ctx, "marksent", func(ctx context.Context) error { return l.real().MarkSent(ctx, deliveries, gen) })
}

func (l *ledger) Unclaimed(ctx context.Context, deliveries []store.Delivery) ([]store.Delivery, error) {
	return do(l.p, ctx, "unclaimed", func(ctx context.Context) ([]store.Delivery, error) { return l.real().Unclaimed(ctx, deliveries) })
}

func (l *ledger) Refence(ctx context.Context, deliveries []store.Delivery) error {
	return act(l.p, ctx, "refence", func(ctx context.Context) error { return l.real().Refence(ctx, deliveries) })
}

func (l *ledger) Lead(ctx context.Context, name, holder string, ttl time.Duration) (int64, bool, error) {
	r, err := do(l.p, ctx, "lead", func(ctx context.Context) (pair[int64, bool], error) {
		return both(l.real().Lead(ctx, name, holder, ttl))
	})
	return r.a, r.b, err
}

func (l *ledger) Resign(ctx context.Context, name, holder string) error {
	return act(l.p, ctx, "resign", func(ctx context.Context) error { return l.real().Resign(ctx, name, holder) })
}

func (l *ledger) Workers(ctx context.Context) ([]millrace.Worker, error) {
	return do(l.p, ctx, "workers", l.real().Workers)
}

func (l *ledger) Bury(ctx context.Context, worker string, d store.Death) error {
	return act(l.p, ctx, "bury", func(ctx context.Context) error { return l.real().Bury(ctx, worker, d) })
}

func (l *ledger) BuryHost(ctx context.Context, host string, alive func(millrace.Worker) bool, death func(millrace.Worker) store.Death) (int, error) {
	return do(l.p, ctx, "buryhost", func(ctx context.Context) (int, error) { return l.real().BuryHost(ctx, host, alive, death) })
}

func (l *ledger) BurySilent(ctx context.Context, silence time.Duration) (int, error) {
	return do(l.p, ctx, "burysilent", func(ctx context.Context) (int, error) { return l.real().BurySilent(ctx, silence) })
}

func (l *ledger) Rescue(ctx context.Context) (int, error) {
	return do(l.p, ctx, "rescue", l.real().Rescue)
}

func (l *ledger) ForceCancel(ctx context.Context, grace time.Duration) (int, error) {
	return do(l.p, ctx, "forcecancel", func(ctx context.Context) (int, error) { return l.real().ForceCancel(ctx, grace) })
}

// limited is a duty of the clean-up.
func (l *ledger) limited(ctx context.Context, op string, limit int, fn func(context.Context, int) (int, error)) (int, error) {
	return do(l.p, ctx, op, func(ctx context.Context) (int, error) { return fn(ctx, limit) })
}

func (l *ledger) FailOverdue(ctx context.Context, limit int) (int, error) {
	return l.limited(ctx, "failoverdue", limit, l.real().FailOverdue)
}

func (l *ledger) ReleaseWaiting(ctx context.Context, limit int) (int, error) {
	return l.limited(ctx, "releasewaiting", limit, l.real().ReleaseWaiting)
}

func (l *ledger) ExpireKeys(ctx context.Context, limit int) (int, error) {
	return l.limited(ctx, "expirekeys", limit, l.real().ExpireKeys)
}

func (l *ledger) ExpireJobs(ctx context.Context, limit int) (int, error) {
	return l.limited(ctx, "expirejobs", limit, l.real().ExpireJobs)
}

func (l *ledger) ExpireFiles(ctx context.Context, limit int) (int, error) {
	return l.limited(ctx, "expirefiles", limit, l.real().ExpireFiles)
}

func (l *ledger) DyingBlobs(ctx context.Context, grace time.Duration, limit int) ([]string, error) {
	return do(l.p, ctx, "dyingblobs", func(ctx context.Context) ([]string, error) { return l.real().DyingBlobs(ctx, grace, limit) })
}

func (l *ledger) ForgetBlob(ctx context.Context, key string) error {
	return act(l.p, ctx, "forgetblob", func(ctx context.Context) error { return l.real().ForgetBlob(ctx, key) })
}

func (l *ledger) KnowsBlob(ctx context.Context, key string) (bool, error) {
	return do(l.p, ctx, "knowsblob", func(ctx context.Context) (bool, error) { return l.real().KnowsBlob(ctx, key) })
}

func (l *ledger) Depths(ctx context.Context, limit int) ([]store.Depth, error) {
	return do(l.p, ctx, "depths", func(ctx context.Context) ([]store.Depth, error) { return l.real().Depths(ctx, limit) })
}

func (l *ledger) Backlog(ctx context.Context, limit int) (int, error) {
	return do(l.p, ctx, "backlog", func(ctx context.Context) (int, error) { return l.real().Backlog(ctx, limit) })
}
