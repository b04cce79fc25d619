// Package cron works out when a schedule runs: five fields, or @hourly and the like, on the clocks of one time zone.
//
// It is arithmetic alone: it starts nothing, waits for nothing and keeps nothing. Who runs a tick, and once, is the scheduler's and the ledger's affair.
//
// Expressions are crontab's: minute, hour, day of month, month, day of week, with lists, ranges, steps, and names of months and days. Sunday is 0 or 7.
// Where day of month and day of week are both restricted, a day that fits either is meant; a field that begins with * restricts nothing in this sense.
//
// Where clocks are set forward, the times between do not exist. Where they are set back, some exist twice. An expression whose hour field begins
// with * follows the clock through both: it skips what does not exist and runs through what comes twice. Any other names times of day: one that does
// not exist runs once, right after the gap, and one that comes twice runs the first time only.
package cron

import (
	"time"
	_ "time/tzdata" // time zones where the machine has none
)

// Schedule says when something runs.
type Schedule struct {
	minute, hour, day, month, weekday set
	anyDay, anyWeekday                bool // the field begins with *
	follow                            bool // through skipped and repeated hours
	zone                              *time.Location
}

// horizon ends the search for a tick, in years. The longest wait that any expression has is 40 years, over 2100, for a 29 February that falls on a given weekday.
const horizon = 100

// Next is the first tick after that time, in UTC, or zero when there will never be one.
func (s Schedule) Next(after time.Time) time.Time {
	if s.zone == nil {
		return time.Time{}
	}
	if s.follow {
		return s.nextFollowing(after)
	}
	// Times of day come in the order of their instants, and one that is not later on the clock is not later at all.
	wall := clock(after.In(s.zone))
	for end := wall.Year() + horizon; ; {
		if wall = s.nextWall(wall, end); wall.IsZero() {
			return wall
		}
		if t := s.instant(wall); t.After(after) {
			return t
		}
	}
}

// nextFollowing looks through the stretches of time between two changes of the clock, each by its own offset.
func (s Schedule) nextFollowing(after time.Time) time.Time {
	local := after.In(s.zone)
	wall := clock(local)
	for end := wall.Year() + horizon; ; {
		next := s.nextWall(wall, end)
		if next.IsZero() {
			return next
		}
		_, change := local.ZoneBounds()
		if t := next.Add(-offset(local)); change.IsZero() || t.Before(change) {
			return t
		}
		// Before next there is nothing, whatever the clock does on the way there.
		if near := next.Add(-beforeAnyOffset); near.After(change) {
			change = near
		}
		local = change.In(s.zone)
		wall = clock(local).Add(-time.Nanosecond) // the change itself may be a tick
	}
}

// Latest is the last tick after one time and not after another, or zero. It takes no longer for a year than for an hour.
func (s Schedule) Latest(after, until time.Time) time.Time {
	var latest time.Time
	for back := time.Hour; latest.IsZero(); back *= 2 {
		from := until.Add(-back)
		reached := !from.After(after) || back > horizon*366*24*time.Hour
		if reached {
			from = after
		}
		for t := s.Next(from); !t.IsZero() && !t.After(until); t = s.Next(t) {
			latest = t
		}
		if reached {
			break
		}
	}
	return latest
}

// clock is what a clock on the wall shows, as if it were UTC: a time whose arithmetic knows no changes.
func clock(t time.Time) time.Time { return t.UTC().Add(offset(t)) }

func offset(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// beforeAnyOffset is more than any clock was ever away from UTC.
const beforeAnyOffset = 26 * time.Hour

// instant is when the clock first shows wall, or, where it never does, when it has jumped over it.
func (s Schedule) instant(wall time.Time) time.Time {
	local, begin := wall.Add(-beforeAnyOffset).In(s.zone), time.Time{}
	for {
		t := wall.Add(-offset(local))
		if t.Before(begin) {
			return begin
		}
		_, change := local.ZoneBounds()
		if change.IsZero() || t.Before(change) {
			return t
		}
		local, begin = change.In(s.zone), change.UTC()
	}
}

// nextWall is the first time after wall, in whole minutes, that fits the fields, or zero when the year end begins without one.
func (s Schedule) nextWall(wall time.Time, end int) time.Time {
	t := wall.Truncate(time.Minute).Add(time.Minute)
	for t.Year() < end {
		year, month, day := t.Date()
		switch {
		case !s.month.has(int(month)):
			t = time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC)
		case !s.fitsDay(t):
			t = time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC)
		case !s.hour.has(t.Hour()):
			t = t.Truncate(time.Hour).Add(time.Hour)
		case !s.minute.has(t.Minute()):
			t = t.Add(time.Minute)
		default:
			return t
		}
	}
	return time.Time{}
}

func (s Schedule) fitsDay(t time.Time) bool {
	day, weekday := s.day.has(t.Day()), s.weekday.has(int(t.Weekday()))
	if s.anyDay || s.anyWeekday {
		return day && weekday
	}
	return day || weekday
}
