package cron

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxLength bounds an expression: what needs more is a mistake.
const maxLength = 256

// TimezoneError says that the time zone, and not the expression, is what is wrong.
type TimezoneError struct{ Name string }

func (e *TimezoneError) Error() string {
	return fmt.Sprintf("time zone %q is not known; give an IANA name such as Europe/Paris", e.Name)
}

// shorthands stand for five fields.
func shorthand(name string) (string, bool) {
	switch strings.ToLower(name) {
	case "@hourly":
		return "0 * * * *", true
	case "@daily", "@midnight":
		return "0 0 * * *", true
	case "@weekly":
		return "0 0 * * 0", true
	case "@monthly":
		return "0 0 1 * *", true
	case "@yearly", "@annually":
		return "0 0 1 1 *", true
	}
	return "", false
}

// Parse reads an expression and the name of its time zone, "" for UTC. The error is a sentence for whoever wrote them; a *TimezoneError where it is
// about the zone. An expression that never comes, such as 30 February, is no error here: its Next is zero.
func Parse(expr, timezone string) (Schedule, error) {
	zone, err := location(timezone)
	if err != nil {
		return Schedule{}, err
	}
	if len(expr) > maxLength {
		return Schedule{}, fmt.Errorf("a cron expression has at most %d characters", maxLength)
	}
	fields := strings.Fields(expr)
	if len(fields) == 1 && strings.HasPrefix(fields[0], "@") {
		long, ok := shorthand(fields[0])
		if !ok {
			return Schedule{}, fmt.Errorf("%q is not one of @hourly, @daily, @weekly, @monthly and @yearly", fields[0])
		}
		fields = strings.Fields(long)
	}
	if len(fields) != 5 {
		return Schedule{}, fmt.Errorf("a cron expression has five fields (minute, hour, day of month, month, day of week), not %d", len(fields))
	}
	s := Schedule{zone: zone, anyDay: fields[2][0] == '*', anyWeekday: fields[4][0] == '*', follow: fields[1][0] == '*'}
	for i, f := range s.fields() {
		if *f.to, err = f.parse(fields[i]); err != nil {
			return Schedule{}, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if s.weekday.has(7) {
		s.weekday |= 1 // Sunday has two numbers
	}
	return s, nil
}

func location(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" { // which would be another one on each machine
		return nil, &TimezoneError{Name: name}
	}
	return zone, nil
}

// set holds small numbers.
type set uint64

func (s set) has(n int) bool { return s&(1<<n) != 0 }

// field is one of the five.
type field struct {
	to       *set
	name     string
	min, max int
	names    []string // of min and those after it
}

func (s *Schedule) fields() []field {
	months := []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	days := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	return []field{
		{&s.minute, "minute", 0, 59, nil},
		{&s.hour, "hour", 0, 23, nil},
		{&s.day, "day of month", 1, 31, nil},
		{&s.month, "month", 1, 12, months},
		{&s.weekday, "day of week", 0, 7, days},
	}
}

// parse reads a list of ranges.
func (f field) parse(text string) (set, error) {
	var all set
	for part := range strings.SplitSeq(text, ",") {
		some, err := f.parseRange(part)
		if err != nil {
			return 0, err
		}
		all |= some
	}
	return all, nil
}

// parseRange reads "*", "n" or "n-m", each with "/step" or without. "n/step" goes on to the end.
func (f field) parseRange(text string) (set, error) {
	ends, stepText, stepped := strings.Cut(text, "/")
	first, last, ranged := strings.Cut(ends, "-")
	from, to, step := f.min, f.max, 1
	var err error
	if ends != "*" {
		if from, err = f.number(first); err != nil {
			return 0, err
		}
		switch {
		case ranged:
			if to, err = f.number(last); err != nil {
				return 0, err
			}
		case !stepped:
			to = from
		}
	}
	if from > to {
		return 0, fmt.Errorf("%q ends before it begins", text)
	}
	if stepped {
		if step, err = digits(stepText); err != nil || step == 0 {
			return 0, fmt.Errorf("%q: a step is a number from 1 on", text)
		}
	}
	var some set
	for n := from; n <= to; n += step {
		some |= 1 << n
	}
	return some, nil
}

func (f field) number(text string) (int, error) {
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		return f.min + i, nil
	}
	n, err := digits(text)
	if err != nil || n < f.min || n > f.max {
		return 0, fmt.Errorf("%q is not a number from %d to %d", text, f.min, f.max)
	}
	return n, nil
}

// digits reads a small number without a sign.
func digits(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 8)
	return int(n), err
}
