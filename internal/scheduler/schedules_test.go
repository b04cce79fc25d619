package scheduler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/cron"
	"github.com/millrace/millrace/internal/scheduler"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store"
)

const runDue = "run due schedules"

// rows makes jobs of whatever a schedule keeps; a job of type "bad" is refused.
type rows struct {
	err  func() error
	room func() error
}

func (r rows) Room() error {
	if r.room == nil {
		return nil
	}
	return r.room()
}

func (r rows) Prepare(_ context.Context, tenant string, raw json.RawMessage) (store.NewJob, error) {
	if r.err != nil {
		if err := r.err(); err != nil {
			return store.NewJob{}, err
		}
	}
	var spec struct {
		Type   string           `json:"type"`
		Unique *millrace.Unique `json:"unique"`
	}
	if err := json.Unmarshal(raw, &spec); err != nil {
		return store.NewJob{}, err
	}
	if spec.Type == "bad" {
		return store.NewJob{}, millrace.InvalidField("/type", "must be one of the task types")
	}
	return store.NewJob{Job: &millrace.Job{ID: newID(), Tenant: tenant, Type: spec.Type, State: millrace.Queued, Priority: millrace.Normal,
		Queue: "cpu.normal", Params: json.RawMessage(`{}`), Run: 1, MaxAttempts: 1, Timeout: time.Minute, Retention: time.Hour,
		Unique: spec.Unique, CreatedAt: time.Now()}}, nil
}

func withJobs(c *scheduler.Config) { c.Jobs = rows{} }

// schedule puts a schedule whose next run lies at that time.
func (f *fixture) schedule(name, expr string, policy millrace.CatchUp, next time.Time, job string) {
	f.Helper()
	_, _, err := f.Ledger.PutSchedule(f.Context(), millrace.Schedule{Tenant: millrace.DefaultTenant, Name: name, Cron: expr, Timezone: "UTC",
		CatchUp: policy, Job: json.RawMessage(job), NextRunAt: next})
	f.must(err)
}

func (f *fixture) kept(name string) millrace.Schedule {
	f.Helper()
	s, err := f.Ledger.Schedule(f.Context(), millrace.DefaultTenant, name)
	f.must(err)
	return s
}

// ran are the ticks of a schedule that have a job, in order.
func (f *fixture) ran(name string) []time.Time {
	f.Helper()
	var ticks []time.Time
	before := ""
	for {
		jobs, err := f.Ledger.List(f.Context(), millrace.DefaultTenant, store.JobFilter{Before: before, Limit: 500})
		f.must(err)
		for _, j := range jobs {
			if before = j.ID; j.Schedule == name {
				ticks = append(ticks, j.RunAt.UTC())
			}
		}
		if len(jobs) < 500 {
			slices.SortFunc(ticks, time.Time.Compare)
			return ticks
		}
	}
}

func TestTicksThatWereMissed(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(h, m int) time.Time { return time.Date(2026, 11, 23, h, m, 0, 0, time.UTC) }
	tests := []struct {
		name, expr string
		policy     millrace.CatchUp
		now        time.Time
		want       []time.Time
		next       time.Time
	}{
		{"none, in time", "0 * * * *", millrace.CatchUpNone, at(12, 1), []time.Time{noon}, at(13, 0)},
		{"none, late", "0 * * * *", millrace.CatchUpNone, at(12, 1).Add(time.Millisecond), nil, at(13, 0)},
		{"none, long late", "*/5 * * * *", millrace.CatchUpNone, at(14, 0), []time.Time{at(14, 0)}, at(14, 5)},
		{"last, in time", "0 * * * *", millrace.CatchUpLast, noon, []time.Time{noon}, at(13, 0)},
		{"last, late", "*/15 * * * *", millrace.CatchUpLast, at(14, 20), []time.Time{at(14, 15)}, at(14, 30)},
		{"all", "*/15 * * * *", millrace.CatchUpAll, at(12, 50), []time.Time{noon, at(12, 15), at(12, 30), at(12, 45)}, at(13, 0)},
		{"the last there is", "0 12 23 11 *", millrace.CatchUpAll, at(12, 50), []time.Time{noon}, noon.AddDate(1, 0, 0)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, later, _ := aged(t)
			later(time.Until(tt.now))
			f.schedule("s", tt.expr, tt.policy, noon, `{"type":"test.work"}`)
			// The clock goes on while the test runs; only what lies between is compared.
			due := tt.now
			f.must(f.leader(withJobs, func(c *scheduler.Config) { c.Ledger = stopped{c.Ledger, due} }).Do(t.Context(), runDue))
			if got := f.ran("s"); !slices.EqualFunc(got, tt.want, time.Time.Equal) {
				t.Errorf("ran %v, want %v", got, tt.want)
			}
			s := f.kept("s")
			if !s.NextRunAt.Equal(tt.next) {
				t.Errorf("next run at %s, want %s", s.NextRunAt, tt.next)
			}
			if n := len(tt.want); n > 0 && (!s.LastRunAt.Equal(tt.want[n-1]) || s.LastJob == "" || s.LastError != "") || n == 0 && !s.LastRunAt.IsZero() {
				t.Errorf("last run at %s, job %q, error %q", s.LastRunAt, s.LastJob, s.LastError)
			}
		})
	}
}

// stopped is a ledger whose clock stands still for schedules.
type stopped struct {
	scheduler.Ledger
	now time.Time
}

func (l stopped) DueSchedules(ctx context.Context, after store.Due, limit int) ([]millrace.Schedule, time.Time, error) {
	due, _, err := l.Ledger.DueSchedules(ctx, after, limit)
	return due, l.now, err
}

// A hundred ticks a round, the rest in the next; every job is owed at once and names its schedule.
func TestAllMissedTicksRunInTurns(t *testing.T) {
	t.Parallel()
	f, later, _ := aged(t)
	begin := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	now := begin.Add(249 * time.Minute)
	later(time.Until(now))
	f.schedule("s", "* * * * *", millrace.CatchUpAll, begin, `{"type":"test.work"}`)
	f.schedule("other", "0 0 * * *", millrace.CatchUpLast, now.Truncate(24*time.Hour), `{"type":"test.work"}`)
	leader := f.leader(withJobs, func(c *scheduler.Config) { c.Ledger = stopped{c.Ledger, now} })
	for _, want := range []int{100, 200, 250, 250} {
		f.must(leader.Do(t.Context(), runDue))
		got := f.ran("s")
		if len(got) != want {
			t.Fatalf("%d ticks ran, want %d", len(got), want)
		}
		for i, tick := range got {
			if !tick.Equal(begin.Add(time.Duration(i) * time.Minute)) {
				t.Fatalf("tick %d is %s", i, tick)
			}
		}
	}
	if len(f.ran("other")) != 1 {
		t.Error("a schedule that catches up kept another from running")
	}
	owed, err := f.Ledger.Owed(t.Context(), map[string]int{"cpu.normal": 5000})
	f.must(err)
	if len(owed) != 251 {
		t.Errorf("%d jobs are owed to the queue, want 251", len(owed))
	}
}

// More schedules than a page that fail, or that have much to catch up with, stand before one that has just come due: it has its turn in the same round.
func TestEverySchedulesTurnComes(t *testing.T) {
	t.Parallel()
	f, later, _ := aged(t)
	begin := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	now := begin.Add(3 * time.Hour)
	later(time.Until(now))
	for i := range 130 { // 100 is a page
		f.schedule(fmt.Sprintf("fails%03d", i), "0 * * * *", millrace.CatchUpLast, begin, `{"type":"away"}`)
	}
	f.schedule("catches up", "* * * * *", millrace.CatchUpAll, begin.Add(time.Minute), `{"type":"test.work"}`)
	f.schedule("new", "0 * * * *", millrace.CatchUpLast, now, `{"type":"test.work"}`)
	away := errors.New("connection refused")
	leader := f.leader(func(c *scheduler.Config) { c.Ledger, c.Jobs = stopped{c.Ledger, now}, unreachable{err: away} })
	if err := leader.Do(t.Context(), runDue); !errors.Is(err, away) {
		t.Errorf("the round says %v, want what kept some from running", err)
	}
	if n := len(f.ran("new")); n != 1 {
		t.Errorf("the schedule behind all others ran %d times, want once", n)
	}
	if n := len(f.ran("catches up")); n != 100 {
		t.Errorf("the schedule that catches up ran %d ticks in a round, want 100", n)
	}
	if s := f.kept("fails000"); !s.NextRunAt.Equal(begin) {
		t.Errorf("a schedule whose job could not be made is next due at %s", s.NextRunAt)
	}
}

// unreachable makes no job of type "away".
type unreachable struct {
	rows
	err error
}

func (u unreachable) Prepare(ctx context.Context, tenant string, raw json.RawMessage) (store.NewJob, error) {
	if strings.Contains(string(raw), `"away"`) {
		return store.NewJob{}, u.err
	}
	return u.rows.Prepare(ctx, tenant, raw)
}

// While the backlog is full nothing is added to it that is late already; what comes in time runs, and nothing that waited is lost.
func TestCatchingUpWaitsForRoom(t *testing.T) {
	t.Parallel()
	f, later, _ := aged(t)
	begin := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	now := begin.Add(10 * time.Minute)
	later(time.Until(now))
	f.schedule("late", "* * * * *", millrace.CatchUpAll, begin, `{"type":"test.work"}`)
	f.schedule("in time", "* * * * *", millrace.CatchUpAll, now, `{"type":"test.work"}`)
	f.schedule("last", "* * * * *", millrace.CatchUpLast, begin, `{"type":"test.work"}`)
	full := millrace.Errorf(millrace.Limited, "full")
	room := func() error {
		if full == nil {
			return nil
		}
		return full
	}
	leader := f.leader(func(c *scheduler.Config) { c.Ledger, c.Jobs = stopped{c.Ledger, now}, rows{room: room} })
	for _, want := range []map[string]int{{"late": 0, "in time": 1, "last": 1}, {"late": 11, "in time": 1, "last": 1}} {
		f.must(leader.Do(t.Context(), runDue))
		for name, n := range want {
			if got := len(f.ran(name)); got != n {
				t.Errorf("%q ran %d ticks, want %d", name, got, n)
			}
		}
		full = nil
	}
}

// A job that nobody can make, and one that the ledger refuses, keep no schedule from moving on.
func TestRefusedTicksMoveOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	past := time.Now().UTC().Truncate(time.Hour)
	f.schedule("bad", "0 * * * *", millrace.CatchUpLast, past, `{"type":"bad"}`)
	f.schedule("zone", "0 0 30 2 *", millrace.CatchUpLast, past, `{"type":"test.work"}`)
	f.submit(func(j *millrace.Job) { j.Unique = &millrace.Unique{Key: "k"} })
	f.schedule("held", "0 * * * *", millrace.CatchUpLast, past, `{"type":"test.work","unique":{"key":"k"}}`)
	f.must(f.leader(withJobs).Do(t.Context(), runDue))
	for name, sentence := range map[string]string{"bad": "must be one of the task types", "held": "has the unique key"} {
		s := f.kept(name)
		if !s.NextRunAt.After(past) || !s.LastRunAt.Equal(past) || s.LastJob != "" || !strings.Contains(s.LastError, sentence) {
			t.Errorf("%s: next %s, last %s, job %q, error %q", name, s.NextRunAt, s.LastRunAt, s.LastJob, s.LastError)
		}
	}
	if s := f.kept("zone"); !s.NextRunAt.IsZero() || len(f.ran("zone")) != 0 {
		t.Errorf("a schedule without ticks: next %s, ran %v", s.NextRunAt, f.ran("zone"))
	}
}

func TestScheduleWaitsForAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	past := time.Now().UTC().Truncate(time.Hour)
	f.schedule("s", "0 * * * *", millrace.CatchUpLast, past, `{"type":"test.work"}`)
	away := errors.New("connection refused")
	leader := f.leader(func(c *scheduler.Config) { c.Jobs = rows{err: func() error { return away }} })
	if err := leader.Do(t.Context(), runDue); !errors.Is(err, away) {
		t.Errorf("the round says %v", err)
	}
	if s := f.kept("s"); !s.NextRunAt.Equal(past) || s.LastError != "" {
		t.Errorf("next %s, error %q, want it due as before", s.NextRunAt, s.LastError)
	}
	away = nil
	f.must(leader.Do(t.Context(), runDue))
	if len(f.ran("s")) != 1 {
		t.Error("the tick did not run when the store was back")
	}
}

// unsure is a ledger that loses answers: of two calls in three the tick is not written, or written and not answered.
type unsure struct {
	scheduler.Ledger
	calls *atomic.Int64
}

func (l unsure) Tick(ctx context.Context, t store.Tick) ([]error, bool, error) {
	lost := errors.New("the connection broke")
	switch l.calls.Add(1) % 3 {
	case 0:
		return nil, false, lost
	case 1:
		_, _, err := l.Ledger.Tick(ctx, t)
		return nil, false, errors.Join(lost, err)
	}
	return l.Ledger.Tick(ctx, t)
}

// Two leaders at the same time, a clock that jumps about, and a connection that loses answers: each tick that has come runs, once.
func TestEachTickRunsOnce(t *testing.T) {
	t.Parallel()
	f, later, _ := aged(t)
	begin := time.Now().UTC().Truncate(time.Minute).Add(time.Minute)
	exprs := []string{"* * * * *", "*/2 * * * *", "*/3 * * * *", "5-50/7 * * * *", "*/10 * * * *"}
	for i, expr := range exprs {
		when, err := cron.Parse(expr, "")
		f.must(err)
		f.schedule(fmt.Sprint(i), expr, millrace.CatchUpAll, when.Next(begin), `{"type":"test.work"}`)
	}
	leader := func() *scheduler.Leader {
		return f.leader(withJobs, func(c *scheduler.Config) { c.Ledger = unsure{c.Ledger, new(atomic.Int64)} })
	}
	var working sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		working.Go(func() {
			for l := leader(); ; {
				_ = l.Do(context.Background(), runDue) // its errors are the lost answers
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	ahead := time.Duration(0)
	for _, jump := range []time.Duration{5 * time.Minute, -time.Hour, 90 * time.Minute, -20 * time.Minute, 50 * time.Minute, 20 * time.Minute} {
		later(jump)
		ahead += jump
		_, err := f.Ledger.Generation(t.Context()) // some rounds may see each of the times
		f.must(err)
	}
	until := begin.Add(ahead - 5*time.Minute)
	testrig.Eventually(t, "every schedule past the last tick", func() bool {
		for i := range exprs {
			if f.kept(fmt.Sprint(i)).NextRunAt.Before(until) {
				return false
			}
		}
		return true
	})
	close(done)
	working.Wait()
	for i, expr := range exprs {
		when, _ := cron.Parse(expr, "")
		got := f.ran(fmt.Sprint(i))
		next := begin
		for _, tick := range got {
			if next = when.Next(next); !tick.Equal(next) {
				t.Fatalf("%q ran %s, want %s next", expr, tick, next)
			}
		}
		if when.Next(next).Before(until) {
			t.Errorf("%q: the last of %d ticks is %s, and %s is missing", expr, len(got), next, when.Next(next))
		}
	}
}
