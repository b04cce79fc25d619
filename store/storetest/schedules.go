package storetest

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func scheduleTests() []test {
	return []test{
		{"put and read", testSchedulePut},
		{"replaced", testScheduleReplaced},
		{"list by name", testScheduleList},
		{"of another tenant", testScheduleForeign},
		{"delete", testScheduleDelete},
		{"due ones", testScheduleDue},
	}
}

// schedule is one of the fixture's tenant that is due in an hour.
func (f *fixture) schedule(name string, change ...func(*millrace.Schedule)) millrace.Schedule {
	s := millrace.Schedule{
		Tenant: f.tenant, Name: name, Cron: "*/5 * * * *", Timezone: "Europe/Berlin", CatchUp: millrace.CatchUpLast,
		Job: json.RawMessage(`{"type":"file.compress","params":{"codec":"zstd"}}`), NextRunAt: f.Now().Add(time.Hour).Truncate(time.Millisecond),
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func (f *fixture) put(s millrace.Schedule) millrace.Schedule {
	f.Helper()
	stored, _, err := f.Ledger.PutSchedule(f.ctx, s)
	f.must(err)
	return stored
}

func (f *fixture) getSchedule(name string) millrace.Schedule {
	f.Helper()
	s, err := f.Ledger.Schedule(f.ctx, f.tenant, name)
	f.must(err)
	return s
}

func scheduleDiff(got, want millrace.Schedule, ignore ...string) string {
	return cmp.Diff(want, got,
		cmpopts.IgnoreFields(millrace.Schedule{}, ignore...),
		cmp.Comparer(func(a, b time.Time) bool { return a.Truncate(time.Millisecond).Equal(b.Truncate(time.Millisecond)) }),
		cmp.Comparer(func(a, b json.RawMessage) bool { return sameJSON(a, b) }))
}

func testSchedulePut(f *fixture) {
	if _, err := f.Ledger.Schedule(f.ctx, f.tenant, "s"); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Schedule before PutSchedule = %v, want ErrNotFound", err)
	}
	want := f.schedule("s")
	stored, created, err := f.Ledger.PutSchedule(f.ctx, want)
	f.must(err)
	if !created || stored.Version < 1 {
		f.Errorf("PutSchedule: created %v, version %d, want a new one", created, stored.Version)
	}
	if diff := scheduleDiff(stored, want, "Version", "CreatedAt", "UpdatedAt"); diff != "" {
		f.Errorf("PutSchedule answers (-want +got):\n%s", diff)
	}
	f.wantNear("CreatedAt", stored.CreatedAt, f.Now())
	f.wantNear("UpdatedAt", stored.UpdatedAt, f.Now())
	if diff := scheduleDiff(f.getSchedule("s"), stored); diff != "" {
		f.Errorf("Schedule differs from what PutSchedule answered (-put +got):\n%s", diff)
	}
	paused := f.put(f.schedule("paused", func(s *millrace.Schedule) { s.Paused, s.NextRunAt, s.CatchUp = true, time.Time{}, millrace.CatchUpAll }))
	if got := f.getSchedule("paused"); !got.Paused || !got.NextRunAt.IsZero() || !paused.NextRunAt.IsZero() || got.CatchUp != millrace.CatchUpAll {
		f.Errorf("paused schedule = %+v", got)
	}
}

func testScheduleReplaced(f *fixture) {
	first := f.put(f.schedule("s", func(s *millrace.Schedule) { s.NextRunAt = f.Now().Add(-time.Minute) }))
	j := f.job()
	f.tick(store.Tick{Version: first.Version, From: first.NextRunAt, Next: f.Now().Add(time.Hour), Last: first.NextRunAt, Jobs: []store.NewJob{{Job: j}}}, true)
	ran := f.getSchedule("s")
	f.Age(f, time.Hour)
	before := f.getSchedule("s")
	change := f.schedule("s", func(s *millrace.Schedule) { s.Cron, s.Timezone, s.CatchUp = "@daily", "UTC", millrace.CatchUpNone })
	stored, created, err := f.Ledger.PutSchedule(f.ctx, change)
	f.must(err)
	if created || stored.Version <= ran.Version || stored.Cron != "@daily" || stored.Timezone != "UTC" || stored.CatchUp != millrace.CatchUpNone {
		f.Errorf("PutSchedule again: created %v, %+v, want it replaced, version over %d", created, stored, ran.Version)
	}
	if stored.LastJob != j.ID || !stored.LastRunAt.Equal(before.LastRunAt) || !stored.CreatedAt.Equal(before.CreatedAt) {
		f.Errorf("LastJob %s, LastRunAt %v, CreatedAt %v, want them to stay as %s, %v, %v", stored.LastJob, stored.LastRunAt, stored.CreatedAt,
			j.ID, before.LastRunAt, before.CreatedAt)
	}
	f.wantNear("UpdatedAt", stored.UpdatedAt, f.Now())
	if diff := scheduleDiff(f.getSchedule("s"), stored); diff != "" {
		f.Errorf("Schedule differs from what PutSchedule answered (-put +got):\n%s", diff)
	}
	if third := f.put(change); third.Version <= stored.Version {
		f.Errorf("version after the same again = %d, want more than %d", third.Version, stored.Version)
	}
}

func testScheduleList(f *fixture) {
	for _, name := range []string{"c", "a", "e", "b", "d"} {
		f.put(f.schedule(name))
	}
	f.put(f.schedule("0", func(s *millrace.Schedule) { s.Tenant = f.other }))
	var got []string
	for after := ""; ; {
		page, err := f.Ledger.ListSchedules(f.ctx, f.tenant, after, 2)
		f.must(err)
		for _, s := range page {
			got = append(got, s.Name)
		}
		if len(page) < 2 {
			break
		}
		after = page[len(page)-1].Name
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d", "e"}, got); diff != "" {
		f.Errorf("names (-want +got):\n%s", diff)
	}
	page, err := f.Ledger.ListSchedules(f.ctx, f.tenant, "d", 10)
	f.must(err)
	if len(page) != 1 || scheduleDiff(page[0], f.getSchedule("e")) != "" {
		f.Errorf("ListSchedules after d = %+v, want e as Schedule gives it", page)
	}
}

func testScheduleForeign(f *fixture) {
	mine := f.put(f.schedule("s"))
	theirs := f.put(f.schedule("s", func(s *millrace.Schedule) { s.Tenant, s.Cron = f.other, "@hourly" }))
	if theirs.Version < 1 || theirs.Cron != "@hourly" {
		f.Errorf("another tenant's schedule of that name = %+v", theirs)
	}
	f.must(f.Ledger.DeleteSchedule(f.ctx, f.other, "s"))
	if diff := scheduleDiff(f.getSchedule("s"), mine); diff != "" {
		f.Errorf("another tenant changed the schedule (-want +got):\n%s", diff)
	}
	if _, err := f.Ledger.Schedule(f.ctx, f.other, "s"); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Schedule of another tenant = %v, want ErrNotFound", err)
	}
	if err := f.Ledger.DeleteSchedule(f.ctx, f.other, "s"); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("DeleteSchedule of another tenant = %v, want ErrNotFound", err)
	}
}

func testScheduleDelete(f *fixture) {
	s := f.put(f.schedule("s"))
	j := f.queued(func(j *millrace.Job) { j.Schedule = "s" })
	if got := f.get(j.ID).Schedule; got != "s" {
		f.Errorf("schedule of the job = %q, want s", got)
	}
	f.must(f.Ledger.DeleteSchedule(f.ctx, f.tenant, "s"))
	if err := f.Ledger.DeleteSchedule(f.ctx, f.tenant, "s"); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("DeleteSchedule again = %v, want ErrNotFound", err)
	}
	f.wantState(j.ID, millrace.Queued)
	again, created, err := f.Ledger.PutSchedule(f.ctx, s)
	f.must(err)
	if !created || !again.LastRunAt.IsZero() || again.LastJob != "" {
		f.Errorf("PutSchedule after DeleteSchedule: created %v, %+v, want a fresh one", created, again)
	}
}

// due are the names of due schedules of both tenants.
func (f *fixture) due(limit int) []string {
	f.Helper()
	due, now, err := f.Ledger.DueSchedules(f.ctx, store.Due{}, limit)
	f.must(err)
	f.wantNear("the ledger's time", now, f.Now())
	var names []string
	for _, s := range due {
		names = append(names, s.Name)
		if s.NextRunAt.After(now) {
			f.Errorf("schedule %s is due at %v, after %v", s.Name, s.NextRunAt, now)
		}
	}
	return names
}

func testScheduleDue(f *fixture) {
	at := func(name string, d time.Duration, change ...func(*millrace.Schedule)) {
		f.put(f.schedule(name, append(change, func(s *millrace.Schedule) { s.NextRunAt = f.Now().Add(d) })...))
	}
	if got := f.due(10); len(got) > 0 {
		f.Errorf("due in an empty ledger: %v", got)
	}
	at("middle", -2*time.Hour)
	at("new", -time.Hour)
	at("old", -3*time.Hour, func(s *millrace.Schedule) { s.Tenant = f.other })
	at("later", 10*time.Hour)
	at("paused", -4*time.Hour, func(s *millrace.Schedule) { s.Paused = true })
	f.put(f.schedule("never", func(s *millrace.Schedule) { s.NextRunAt = time.Time{} }))
	if diff := cmp.Diff([]string{"old", "middle", "new"}, f.due(10)); diff != "" {
		f.Errorf("due (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"old", "middle"}, f.due(2)); diff != "" {
		f.Errorf("the two longest due (-want +got):\n%s", diff)
	}
	// One that stands at the same moment as another must be found behind it, whatever the page's end.
	twin := f.put(f.schedule("middle", func(s *millrace.Schedule) { s.Tenant, s.NextRunAt = f.other, f.getSchedule("middle").NextRunAt }))
	var pages [][2]string
	for at := (store.Due{}); ; {
		page, _, err := f.Ledger.DueSchedules(f.ctx, at, 1)
		f.must(err)
		if len(page) == 0 || len(pages) > 4 {
			break
		}
		at = store.DueAt(page[0])
		pages = append(pages, [2]string{page[0].Tenant, page[0].Name})
	}
	same := [][2]string{{f.tenant, "middle"}, {f.other, "middle"}}
	slices.SortFunc(same, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	if diff := cmp.Diff([][2]string{{f.other, "old"}, same[0], same[1], {f.tenant, "new"}}, pages); diff != "" {
		f.Errorf("due, one by one (-want +got):\n%s", diff)
	}
	f.must(f.Ledger.DeleteSchedule(f.ctx, f.other, twin.Name))
	due, _, err := f.Ledger.DueSchedules(f.ctx, store.Due{}, 10)
	f.must(err)
	if len(due) == 3 {
		if diff := scheduleDiff(due[1], f.getSchedule("middle")); diff != "" {
			f.Errorf("a due schedule differs from what Schedule gives (-want +got):\n%s", diff)
		}
	}
	f.Age(f, 11*time.Hour)
	if diff := cmp.Diff([]string{"old", "middle", "new", "later"}, f.due(10)); diff != "" {
		f.Errorf("due later (-want +got):\n%s", diff)
	}
}
