package cron_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/cron"
)

func parse(t testing.TB, expr, zone string) cron.Schedule {
	t.Helper()
	s, err := cron.Parse(expr, zone)
	if err != nil {
		t.Fatalf("Parse(%q, %q): %v", expr, zone, err)
	}
	return s
}

// at reads a time with an offset, so that a test says which of two equal times on the clock it means.
func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse("2006-01-02 15:04:05 -0700", text)
	if err != nil {
		if when, err = time.Parse("2006-01-02 15:04 -0700", text); err != nil {
			t.Fatal(err)
		}
	}
	return when
}

func TestNext(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, expr, zone, after string
		want                    []string // the ticks that follow, in order; "never" ends them
	}{
		{"each minute", "* * * * *", "", "2026-11-23 18:59:59 +0000", []string{"2026-11-23 19:00 +0000", "2026-11-23 19:01 +0000"}},
		{"a tick is after", "0 3 * * *", "", "2026-11-23 03:00 +0000", []string{"2026-11-24 03:00 +0000"}},
		{"in a zone", "0 3 * * *", "Europe/Paris", "2026-11-23 18:59:59 +0000", []string{"2026-11-24 02:00 +0000"}},
		{"steps", "*/20 8-10/2 * * *", "", "2026-11-23 08:30 +0000", []string{"2026-11-23 08:40 +0000", "2026-11-23 10:00 +0000"}},
		{"step from a number", "50/5 0 * * *", "", "2026-11-23 00:00 +0000", []string{"2026-11-23 00:50 +0000", "2026-11-23 00:55 +0000", "2026-11-24 00:50 +0000"}},
		{"names", "0 0 * jan,MAR mon-Tue", "", "2026-12-30 00:00 +0000", []string{"2027-01-04 00:00 +0000", "2027-01-05 00:00 +0000"}},
		{"Sunday is 7", "0 0 * * 7", "", "2026-11-23 00:00 +0000", []string{"2026-11-29 00:00 +0000"}},
		{"range to 7", "0 0 * * 6-7", "", "2026-11-23 00:00 +0000", []string{"2026-11-28 00:00 +0000", "2026-11-29 00:00 +0000", "2026-12-05 00:00 +0000"}},
		{"either day", "0 0 13 * fri", "", "2026-11-09 00:00 +0000", []string{"2026-11-13 00:00 +0000", "2026-11-20 00:00 +0000"}},
		{"either day, apart", "0 0 1 * mon", "", "2026-11-24 00:00 +0000", []string{"2026-11-30 00:00 +0000", "2026-12-01 00:00 +0000"}},
		{"both days", "0 0 */2 * mon", "", "2026-11-01 00:00 +0000", []string{"2026-11-09 00:00 +0000", "2026-11-23 00:00 +0000"}},
		{"hourly", "@hourly", "", "2026-11-23 23:10 +0000", []string{"2026-11-24 00:00 +0000"}},
		{"daily", "@daily", "Asia/Kolkata", "2026-11-23 12:00 +0000", []string{"2026-11-23 18:30 +0000"}},
		{"weekly", "@weekly", "", "2026-11-23 00:00 +0000", []string{"2026-11-29 00:00 +0000"}},
		{"monthly", "@monthly", "", "2026-11-23 00:00 +0000", []string{"2026-12-01 00:00 +0000"}},
		{"yearly", "@yearly", "", "2026-11-23 00:00 +0000", []string{"2027-01-01 00:00 +0000"}},
		{"the 31st", "0 0 31 * *", "", "2026-11-01 00:00 +0000", []string{"2026-12-31 00:00 +0000", "2027-01-31 00:00 +0000", "2027-03-31 00:00 +0000"}},
		{"leap day", "0 0 29 2 *", "", "2096-03-01 00:00 +0000", []string{"2104-02-29 00:00 +0000"}},
		{"leap Sunday", "0 0 29 2 */7", "", "2088-03-01 00:00 +0000", []string{"2128-02-29 00:00 +0000"}},
		{"30 February", "0 0 30 2 *", "", "2026-11-23 00:00 +0000", []string{"never"}},
		{"31 of short months", "0 0 31 4,6,9,11 *", "Europe/Paris", "2026-11-23 00:00 +0000", []string{"never"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			walk(t, parse(t, tt.expr, tt.zone), at(t, tt.after), tt.want)
		})
	}
}

func walk(t *testing.T, s cron.Schedule, after time.Time, want []string) {
	t.Helper()
	for _, w := range want {
		got := s.Next(after)
		if w == "never" {
			if !got.IsZero() {
				t.Errorf("after %s: %s, want never", after, got)
			}
			return
		}
		if !got.Equal(at(t, w)) {
			t.Fatalf("after %s: %s, want %s", after, got, w)
		}
		if got.Location() != time.UTC {
			t.Errorf("after %s: in %s, want UTC", after, got.Location())
		}
		after = got
	}
}

// Where clocks change: Paris jumps 02:00 → 03:00 and falls 03:00 → 02:00, New York 02:00 → 03:00 and 02:00 → 01:00, Lord Howe by half an hour
// 02:00 → 02:30 and 02:00 → 01:30, Cairo at midnight; Apia had no 30 December 2011.
func TestNextWhereClocksChange(t *testing.T) {
	t.Parallel()
	const paris, york, howe = "Europe/Paris", "America/New_York", "Australia/Lord_Howe"
	tests := []struct {
		name, expr, zone, after string
		want                    []string
	}{
		{"skipped time runs after the gap", "30 2 * * *", paris, "2027-03-27 02:30 +0100", []string{"2027-03-28 03:00 +0200", "2027-03-29 02:30 +0200"}},
		{"skipped times run once", "*/10 2 * * *", paris, "2027-03-27 02:50 +0100", []string{"2027-03-28 03:00 +0200", "2027-03-29 02:00 +0200"}},
		{"skipped and the time after it", "0 2,3 * * *", paris, "2027-03-27 12:00 +0100", []string{"2027-03-28 03:00 +0200", "2027-03-29 02:00 +0200"}},
		{"any hour knows no gap", "30 * * * *", paris, "2027-03-28 01:00 +0100", []string{"2027-03-28 01:30 +0100", "2027-03-28 03:30 +0200"}},
		{"repeated time runs once", "30 2 * * *", paris, "2026-10-24 12:00 +0200", []string{"2026-10-25 02:30 +0200", "2026-10-26 02:30 +0100"}},
		{"repeated time seen from its repetition", "30 2 * * *", paris, "2026-10-25 02:10 +0100", []string{"2026-10-26 02:30 +0100"}},
		{"any hour runs through both", "0,30 * * * *", paris, "2026-10-25 01:30 +0200", []string{"2026-10-25 02:00 +0200", "2026-10-25 02:30 +0200",
			"2026-10-25 02:00 +0100", "2026-10-25 02:30 +0100", "2026-10-25 03:00 +0100"}},
		{"each second hour through both", "0 */2 * * *", paris, "2026-10-25 01:30 +0200", []string{"2026-10-25 02:00 +0200", "2026-10-25 02:00 +0100",
			"2026-10-25 04:00 +0100"}},
		{"New York skips", "15 2 * * *", york, "2027-03-13 12:00 -0500", []string{"2027-03-14 03:00 -0400", "2027-03-15 02:15 -0400"}},
		{"New York repeats", "15 1 * * *", york, "2026-10-31 12:00 -0400", []string{"2026-11-01 01:15 -0400", "2026-11-02 01:15 -0500"}},
		{"New York runs through both", "15 * * * *", york, "2026-11-01 00:30 -0400", []string{"2026-11-01 01:15 -0400", "2026-11-01 01:15 -0500",
			"2026-11-01 02:15 -0500"}},
		{"half an hour skipped", "0,15,45 2 * * *", howe, "2026-10-03 12:00 +1030", []string{"2026-10-04 02:30 +1100", "2026-10-04 02:45 +1100",
			"2026-10-05 02:00 +1100"}},
		{"the end of the gap is a time", "0,30 2 * * *", howe, "2026-10-03 12:00 +1030", []string{"2026-10-04 02:30 +1100", "2026-10-05 02:00 +1100"}},
		{"any hour in half a gap", "*/30 * * * *", howe, "2026-10-04 01:30 +1030", []string{"2026-10-04 02:30 +1100", "2026-10-04 03:00 +1100"}},
		{"half an hour repeated", "45 1 * * *", howe, "2027-04-03 12:00 +1100", []string{"2027-04-04 01:45 +1100", "2027-04-05 01:45 +1030"}},
		{"any hour through the half", "*/15 * * * *", howe, "2027-04-04 01:15 +1100", []string{"2027-04-04 01:30 +1100", "2027-04-04 01:45 +1100",
			"2027-04-04 01:30 +1030", "2027-04-04 01:45 +1030", "2027-04-04 02:00 +1030"}},
		{"midnight skipped", "@daily", "Africa/Cairo", "2026-04-23 00:00 +0200", []string{"2026-04-24 01:00 +0300", "2026-04-25 00:00 +0300"}},
		{"midnight reached twice", "30 23 * * *", "Africa/Cairo", "2026-10-28 23:30 +0300", []string{"2026-10-29 23:30 +0300", "2026-10-30 23:30 +0200"}},
		{"a day skipped", "0 12 30 12 *", "Pacific/Apia", "2011-12-01 00:00 -1000", []string{"2011-12-31 00:00 +1400", "2012-12-30 12:00 +1400"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			walk(t, parse(t, tt.expr, tt.zone), at(t, tt.after), tt.want)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{"", " ", "* * * *", "* * * * * *", "@every 1m", "@every", "@reboot", "@", "CRON_TZ=UTC * * * * *", "TZ=UTC", "TZ=UTC * * * *",
		"60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *", "* * * 13 *", "* * * * 8", "-1 * * * *", "+1 * * * *", "1- * * * *", "-5 * * * *",
		"5-1 * * * *", "*/0 * * * *", "*/ * * * *", "*/-1 * * * *", "*/1/1 * * * *", "*-5 * * * *", ", * * * *", "1,,2 * * * *", "1-2-3 * * * *", "? * * * *",
		"* * L * *", "* * * foo *", "jan * * * *", "* * * * fri-mon", "1.5 * * * *", "0x1 * * * *", "1_0 * * * *", "99999999999999999999 * * * *",
		"* * * * *" + strings.Repeat(" ", 300)} {
		if s, err := cron.Parse(expr, ""); err == nil {
			t.Errorf("Parse(%q) is no error; next %s", expr, s.Next(time.Unix(0, 0)))
		} else if _, zone := errors.AsType[*cron.TimezoneError](err); zone {
			t.Errorf("Parse(%q) blames the time zone: %v", expr, err)
		}
	}
	for _, zone := range []string{"Local", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "+02:00", "EUROPE PARIS"} {
		_, err := cron.Parse("* * * * *", zone)
		if _, ok := errors.AsType[*cron.TimezoneError](err); !ok {
			t.Errorf("Parse with zone %q: %v, want a TimezoneError", zone, err)
		}
	}
}

func TestLatest(t *testing.T) {
	t.Parallel()
	tests := []struct{ expr, after, until, want string }{
		{"* * * * *", "2016-11-23 10:00 +0000", "2026-11-23 10:00:30 +0000", "2026-11-23 10:00 +0000"},
		{"0 3 * * *", "2026-11-20 03:00 +0000", "2026-11-23 03:00 +0000", "2026-11-23 03:00 +0000"},
		{"0 3 * * *", "2026-11-23 02:59 +0000", "2026-11-23 23:00 +0000", "2026-11-23 03:00 +0000"},
		{"0 3 * * *", "2026-11-23 03:00 +0000", "2026-11-24 02:59 +0000", ""},
		{"@yearly", "2020-01-01 00:00 +0000", "2026-11-23 00:00 +0000", "2026-01-01 00:00 +0000"},
		{"0 0 30 2 *", "1990-01-01 00:00 +0000", "2026-11-23 00:00 +0000", ""},
	}
	for _, tt := range tests {
		var want time.Time
		if tt.want != "" {
			want = at(t, tt.want)
		}
		if got := parse(t, tt.expr, "").Latest(at(t, tt.after), at(t, tt.until)); !got.Equal(want) {
			t.Errorf("%s between %s and %s: %s, want %s", tt.expr, tt.after, tt.until, got, want)
		}
	}
}

func TestZeroScheduleNeverRuns(t *testing.T) {
	t.Parallel()
	if got := (cron.Schedule{}).Next(time.Unix(0, 0)); !got.IsZero() {
		t.Errorf("next is %s", got)
	}
}
