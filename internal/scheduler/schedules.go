package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/cron"
	"github.com/millrace/millrace/store"
)

// Jobs makes rows of the jobs that schedules keep.
type Jobs interface {
	// Prepare makes the row of a job from its JSON and writes nothing. A refusal is a millrace.Error; anything else passes.
	Prepare(ctx context.Context, tenant string, raw json.RawMessage) (store.NewJob, error)
	// Room refuses while so many jobs wait that no more should come.
	Room() error
}

const (
	schedulePage = 100
	maxPages     = 20               // of one round; the next goes on from there
	maxTicks     = 100              // of one schedule in one round, so that the others get their turn; the rest follows in the next
	maxTickBytes = 8 << 20          // of their jobs together, which are one transaction
	lateTick     = 60 * time.Second // CatchUpNone skips what is older
)

// runSchedules runs what is due. All that it does to a schedule is one transaction, guarded by the schedule's version and the tick it stood at: two
// leaders, or one whose answer was lost, run each tick once.
//
// A round goes through all that are due, page by page: neither one that fails nor one with much to catch up with keeps those behind it waiting.
func (l *Leader) runSchedules(ctx context.Context) error {
	seen := make(map[[2]string]bool) // one that moves on by less than it was late comes again in a later page
	var failed error
	for range maxPages {
		due, now, err := l.Ledger.DueSchedules(ctx, l.turn, schedulePage)
		if err != nil {
			return err
		}
		for _, s := range due {
			if ctx.Err() != nil {
				return failed
			}
			if id := [2]string{s.Tenant, s.Name}; !seen[id] {
				seen[id] = true
				if err := l.runSchedule(ctx, s, now); err != nil && failed == nil {
					failed = fmt.Errorf("schedule %q: %w", s.Name, err)
				}
			}
		}
		if len(due) < schedulePage {
			l.turn = store.Due{}
			break
		}
		l.turn = store.DueAt(due[len(due)-1])
	}
	return failed
}

func (l *Leader) runSchedule(ctx context.Context, s millrace.Schedule, now time.Time) error {
	if s.CatchUp == millrace.CatchUpAll && now.Sub(s.NextRunAt) > lateTick && l.Jobs.Room() != nil {
		return nil // what is late already can wait until there is room
	}
	tick, err := l.plan(ctx, s, now)
	if err != nil {
		return err
	}
	// Once more where nobody knows whether it was written: then the same call says so. What is still open after that, the next round reads.
	for range 2 {
		errs, moved, tickErr := l.Ledger.Tick(ctx, tick)
		if err = tickErr; err != nil {
			continue
		}
		if moved {
			l.report(s, tick, errs)
		}
		return nil
	}
	return err
}

// plan works out which ticks of a due schedule run now, by its policy, and makes their jobs.
func (l *Leader) plan(ctx context.Context, s millrace.Schedule, now time.Time) (store.Tick, error) {
	tick := store.Tick{Tenant: s.Tenant, Name: s.Name, Version: s.Version, From: s.NextRunAt}
	when, err := cron.Parse(s.Cron, s.Timezone)
	if err != nil { // it was checked when it was put; nothing that comes by itself makes it right
		tick.Refused = err.Error()
		return tick, nil
	}
	ticks, next := due(when, s.CatchUp, s.NextRunAt, now, min(maxTicks, max(1, maxTickBytes/max(1, len(s.Job)))))
	tick.Next = next
	for _, at := range ticks {
		tick.Last = at
		job, err := l.Jobs.Prepare(ctx, s.Tenant, s.Job)
		if refusal, ok := asRefusal(err); ok {
			tick.Refused = refusal
			continue
		}
		if err != nil {
			return store.Tick{}, err
		}
		job.Schedule, job.RunAt, tick.Refused = s.Name, at, ""
		tick.Jobs = append(tick.Jobs, job)
	}
	return tick, nil
}

// due are the ticks from one time to another that a policy wants, at most limit, and the first after those that are settled.
func due(when cron.Schedule, policy millrace.CatchUp, from, now time.Time, limit int) (ticks []time.Time, next time.Time) {
	before := from.Add(-time.Nanosecond) // from itself is the first
	switch policy {
	case millrace.CatchUpAll:
	case millrace.CatchUpNone:
		if late := now.Add(-lateTick - time.Nanosecond); late.After(before) {
			before = late
		}
	default:
		if latest := when.Latest(before, now); !latest.IsZero() {
			ticks = []time.Time{latest}
		}
		return ticks, when.Next(now)
	}
	for next = when.Next(before); !next.IsZero() && !next.After(now) && len(ticks) < limit; next = when.Next(next) {
		ticks = append(ticks, next)
	}
	return ticks, next
}

// asRefusal tells a job that nobody can make from a moment at which it could not be made.
func asRefusal(err error) (sentence string, ok bool) {
	e, ok := errors.AsType[*millrace.Error](err)
	if !ok || e.Kind == millrace.Unavailable || e.Kind == millrace.Internal {
		return "", false
	}
	return e.Detail, true
}

func (l *Leader) report(s millrace.Schedule, tick store.Tick, errs []error) {
	refused := tick.Refused
	for _, err := range errs {
		if err != nil {
			refused = err.Error()
		}
	}
	if refused != "" {
		l.Log.Info("a job of a schedule was refused", "schedule", s.Name, "reason", refused)
	}
}
