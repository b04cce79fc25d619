package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func tickTests() []test {
	return []test{
		{"tick", testTick},
		{"a tick that was worked out before a change", testTickStale},
		{"a tick of a schedule that is gone", testTickDeleted},
		{"a refused job is recorded", testTickRefused},
		{"a held unique key is recorded", testTickHeld},
		{"a job that could not even be made is recorded", testTickNotMade},
		{"several ticks at once", testTickMany},
		{"skipped ticks", testTickSkipped},
		{"the last tick of all", testTickNever},
		{"a job that exists is not written again", testTickRepeated},
		{"8 leaders, one tick", raceTicks},
		{"tick and replace", raceTickPut},
	}
}

// tick runs a tick of the schedule "s", unless it names another, and answers the jobs' errors.
func (f *fixture) tick(t store.Tick, want bool) []error {
	f.Helper()
	t.Tenant = f.tenant
	if t.Name == "" {
		t.Name = "s"
	}
	errs, moved, err := f.Ledger.Tick(f.ctx, t)
	f.must(err)
	if moved != want {
		f.Fatalf("Tick moved = %v, want %v", moved, want)
	}
	if want && len(errs) != len(t.Jobs) {
		f.Fatalf("Tick answered %d of %d jobs", len(errs), len(t.Jobs))
	}
	return errs
}

// dueSchedule puts "s", due a minute ago, and makes the tick that is next.
func (f *fixture) dueSchedule() (millrace.Schedule, store.Tick) {
	f.Helper()
	s := f.put(f.schedule("s", func(s *millrace.Schedule) { s.NextRunAt = f.Now().Add(-time.Minute).Truncate(time.Millisecond) }))
	return s, store.Tick{
		Tenant: s.Tenant, Name: s.Name, Version: s.Version, From: s.NextRunAt, Next: s.NextRunAt.Add(time.Hour), Last: s.NextRunAt,
		Jobs: []store.NewJob{{Job: f.job(func(j *millrace.Job) { j.Schedule = "s" })}},
	}
}

func testTick(f *fixture) {
	s, t := f.dueSchedule()
	if errs := f.tick(t, true); errs[0] != nil {
		f.Fatalf("Tick's job: %v", errs[0])
	}
	j := f.wantState(t.Jobs[0].ID, millrace.Queued)
	if j.Schedule != "s" {
		f.Errorf("schedule of the job = %q", j.Schedule)
	}
	got := f.getSchedule("s")
	if !got.NextRunAt.Equal(t.Next) || !got.LastRunAt.Equal(t.Last) || got.LastJob != j.ID || got.LastError != "" {
		f.Errorf("schedule after its tick = %+v, want next %v, last %v, job %s", got, t.Next, t.Last, j.ID)
	}
	if diff := scheduleDiff(got, s, "NextRunAt", "LastRunAt", "LastJob", "Version", "UpdatedAt"); diff != "" {
		f.Errorf("a tick changed more (-want +got):\n%s", diff)
	}
	if names := f.due(10); len(names) > 0 {
		f.Errorf("due after the tick: %v", names)
	}
	f.end(f.claim(f.worker(), j.ID), store.OutcomeSucceeded)
}

// wantTickRefused runs a tick that must not count.
func (f *fixture) wantTickRefused(t store.Tick) {
	f.Helper()
	f.tick(t, false)
	for _, j := range t.Jobs {
		f.wantGone(j.ID)
	}
}

func testTickStale(f *fixture) {
	_, old := f.dueSchedule()
	_, now := f.dueSchedule() // put again: another version
	if old.Version == now.Version {
		f.Fatal("PutSchedule did not raise the version")
	}
	old.From = now.From
	f.wantTickRefused(old)
	early := now
	early.From = now.From.Add(-time.Hour)
	f.wantTickRefused(early)
	f.tick(now, true)
	again := now
	again.Jobs = []store.NewJob{{Job: f.job()}}
	f.wantTickRefused(again)
	if got := f.getSchedule("s"); got.LastJob != now.Jobs[0].ID || !got.NextRunAt.Equal(now.Next) {
		f.Errorf("schedule = %+v, want it as the one tick left it", got)
	}
	f.put(f.schedule("s", func(s *millrace.Schedule) { s.Paused, s.NextRunAt = true, time.Time{} }))
	late := now
	late.From, late.Jobs = now.Next, []store.NewJob{{Job: f.job()}}
	f.wantTickRefused(late)
}

func testTickDeleted(f *fixture) {
	s, t := f.dueSchedule()
	f.must(f.Ledger.DeleteSchedule(f.ctx, f.tenant, "s"))
	f.wantTickRefused(t)
	if _, err := f.Ledger.Schedule(f.ctx, f.tenant, "s"); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Schedule after the tick = %v, want ErrNotFound", err)
	}
	// The same schedule put again is another one: a tick that was worked out before counts for nothing.
	f.put(s)
	f.wantTickRefused(t)
}

func testTickRefused(f *fixture) {
	_, t := f.dueSchedule()
	t.Jobs[0].Inputs = []millrace.Input{{File: newID()}}
	if errs := f.tick(t, true); !errors.Is(errs[0], store.ErrInputMissing) {
		f.Fatalf("Tick's job = %v, want ErrInputMissing", errs[0])
	}
	f.wantGone(t.Jobs[0].ID)
	got := f.getSchedule("s")
	if got.LastJob != "" || got.LastError == "" || !got.LastRunAt.Equal(t.Last) || !got.NextRunAt.Equal(t.Next) {
		f.Errorf("schedule after a refused job = %+v, want the error and no job, and the next tick at %v", got, t.Next)
	}
	f.Age(f, 2*time.Hour)
	moved := f.getSchedule("s")
	good := store.Tick{Version: moved.Version, From: moved.NextRunAt, Next: f.Now().Add(time.Hour), Last: moved.NextRunAt, Jobs: []store.NewJob{{Job: f.job()}}}
	f.must(f.tick(good, true)[0])
	if got := f.getSchedule("s"); got.LastJob != good.Jobs[0].ID || got.LastError != "" {
		f.Errorf("schedule after a good tick = %+v, want its job and no error any more", got)
	}
}

func testTickHeld(f *fixture) {
	holder := f.queued(unique("u", 0))
	_, t := f.dueSchedule()
	t.Jobs[0].Unique = &millrace.Unique{Key: "u"}
	f.wantHeld("Tick's job", f.tick(t, true)[0], holder.ID)
	if got := f.getSchedule("s"); got.LastJob != "" || got.LastError == "" || !got.NextRunAt.Equal(t.Next) {
		f.Errorf("schedule = %+v, want it moved on with the error", got)
	}
}

func testTickNotMade(f *fixture) {
	_, t := f.dueSchedule()
	f.tick(t, true)
	f.Age(f, 2*time.Hour)
	s := f.getSchedule("s")
	f.tick(store.Tick{Version: s.Version, From: s.NextRunAt, Next: f.Now().Add(time.Hour), Last: s.NextRunAt, Refused: "unknown type"}, true)
	got := f.getSchedule("s")
	if got.LastJob != "" || got.LastError != "unknown type" || !got.LastRunAt.Equal(s.NextRunAt) {
		f.Errorf("schedule = %+v, want the refusal in place of the job", got)
	}
	if names := f.due(10); len(names) > 0 {
		f.Errorf("due: %v", names)
	}
}

func testTickMany(f *fixture) {
	_, t := f.dueSchedule()
	for range 4 {
		t.Jobs = append(t.Jobs, store.NewJob{Job: f.job(func(j *millrace.Job) { j.Schedule = "s" })})
	}
	t.Jobs[1].Inputs = []millrace.Input{{File: newID()}}
	errs := f.tick(t, true)
	for i, n := range t.Jobs {
		if i == 1 {
			f.wantGone(n.ID)
			if !errors.Is(errs[i], store.ErrInputMissing) {
				f.Errorf("job %d = %v, want ErrInputMissing", i, errs[i])
			}
			continue
		}
		f.must(errs[i])
		f.wantState(n.ID, millrace.Queued)
	}
	if got := f.getSchedule("s"); got.LastJob != t.Jobs[4].ID || got.LastError != "" {
		f.Errorf("schedule = %+v, want the last job and no error", got)
	}
}

func testTickSkipped(f *fixture) {
	_, first := f.dueSchedule()
	f.tick(first, true)
	f.Age(f, 3*time.Hour)
	s := f.getSchedule("s")
	f.tick(store.Tick{Version: s.Version, From: s.NextRunAt, Next: f.Now().Add(time.Hour)}, true)
	got := f.getSchedule("s")
	if !got.LastRunAt.Equal(s.LastRunAt) || !got.NextRunAt.After(s.NextRunAt) {
		f.Errorf("schedule after skipped ticks: last %v next %v, want last %v and a later next", got.LastRunAt, got.NextRunAt, s.LastRunAt)
	}
	if names := f.due(10); len(names) > 0 {
		f.Errorf("due after the skip: %v", names)
	}
}

func testTickNever(f *fixture) {
	_, t := f.dueSchedule()
	t.Next = time.Time{}
	f.must(f.tick(t, true)[0])
	if got := f.getSchedule("s"); !got.NextRunAt.IsZero() || got.LastJob != t.Jobs[0].ID {
		f.Errorf("schedule = %+v, want no next tick", got)
	}
	f.Age(f, 1000*time.Hour)
	if names := f.due(10); len(names) > 0 {
		f.Errorf("due: %v", names)
	}
}

// testTickRepeated is the leader whose answer was lost after the commit: whatever it hears, nothing happens twice.
func testTickRepeated(f *fixture) {
	_, t := f.dueSchedule()
	f.tick(t, true)
	before := f.getSchedule("s")
	errs, moved, err := f.Ledger.Tick(f.ctx, t)
	f.must(err)
	if moved && (len(errs) != 1 || errs[0] != nil) {
		f.Errorf("the repeated tick answers %v, %v", errs, moved)
	}
	list, err := f.Ledger.List(f.ctx, f.tenant, store.JobFilter{Limit: 10})
	f.must(err)
	if len(list) != 1 || list[0].Run != 1 {
		f.Errorf("%d jobs after a repeated tick, want 1", len(list))
	}
	if diff := scheduleDiff(f.getSchedule("s"), before, "Version", "UpdatedAt"); diff != "" {
		f.Errorf("the repeated tick changed the schedule (-want +got):\n%s", diff)
	}
}

// raceTicks: of leaders that all believe in themselves one runs each tick.
func raceTicks(f *fixture) {
	s, _ := f.dueSchedule()
	for round := range rounds {
		var won atomic.Int32
		var winner atomic.Pointer[millrace.Job]
		var fs []func()
		next := s.NextRunAt.Add(time.Minute)
		for range 8 {
			j := f.job(func(j *millrace.Job) { j.Schedule, j.Tags = "s", []string{fmt.Sprint("round ", round)} })
			fs = append(fs, func() {
				errs, moved, err := f.Ledger.Tick(f.ctx, store.Tick{
					Tenant: f.tenant, Name: "s", Version: s.Version, From: s.NextRunAt, Next: next, Last: s.NextRunAt, Jobs: []store.NewJob{{Job: j}},
				})
				if err != nil || moved && errs[0] != nil {
					f.Errorf("Tick = %v, %v, %v", errs, moved, err)
				}
				if moved {
					won.Add(1)
					winner.Store(j)
				}
			})
		}
		together(fs...)
		if won.Load() != 1 {
			f.Fatalf("round %d: %d ticks counted, want 1", round, won.Load())
		}
		list, err := f.Ledger.List(f.ctx, f.tenant, store.JobFilter{Tag: fmt.Sprint("round ", round), Limit: 10})
		f.must(err)
		if len(list) != 1 || list[0].ID != winner.Load().ID {
			f.Fatalf("round %d: jobs %v, want the winner's %s alone", round, ids(list), winner.Load().ID)
		}
		if s = f.getSchedule("s"); !s.NextRunAt.Equal(next) || s.LastJob != winner.Load().ID {
			f.Fatalf("round %d: schedule = %+v", round, s)
		}
	}
}

// raceTickPut: whoever is first, the tick's jobs exist exactly if it counted, and the change is there.
func raceTickPut(f *fixture) {
	for range rounds {
		_, t := f.dueSchedule()
		change := f.schedule("s", func(s *millrace.Schedule) { s.Cron = "@yearly" })
		var moved bool
		together(func() {
			var err error
			if _, moved, err = f.Ledger.Tick(f.ctx, t); err != nil {
				f.Errorf("Tick: %v", err)
			}
		}, func() {
			if _, _, err := f.Ledger.PutSchedule(f.ctx, change); err != nil {
				f.Errorf("PutSchedule: %v", err)
			}
		})
		if _, err := f.Ledger.Job(f.ctx, f.tenant, t.Jobs[0].ID); moved != (err == nil) {
			f.Fatalf("the tick counted: %v, its job: %v", moved, err)
		}
		if got := f.getSchedule("s"); got.Cron != "@yearly" || !got.NextRunAt.Equal(change.NextRunAt) {
			f.Fatalf("schedule = %+v, want the change", got)
		}
	}
}
