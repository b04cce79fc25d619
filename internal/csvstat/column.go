package csvstat

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zeebo/xxh3"
)

// column gathers what is said about one column. What it may still be narrows with each value; once it cannot be numbers it pays no more for
// parsing them.
type column struct {
	name         string
	count, nulls int64

	notNumber, notBoolean, notTime bool

	numbers numbers
	times   times
	values  values

	minLength, maxLength int
}

func newColumn(name string, columns int) *column {
	name, _ = cutText(name)
	return &column{name: strings.Clone(name), numbers: newNumbers(columns), values: newValues(columns)}
}

// add counts a cell. The string may share memory with the whole row and is not kept.
func (c *column) add(cell string) {
	c.count++
	if cell == "" {
		c.nulls++
		return
	}
	c.values.add(xxh3.HashString(cell), cell)
	length := utf8.RuneCountInString(cell)
	if c.count-c.nulls == 1 {
		c.minLength = length
	}
	c.minLength, c.maxLength = min(c.minLength, length), max(c.maxLength, length)
	if !c.notNumber {
		if n, ok := parseNumber(cell); ok {
			c.numbers.add(n)
			c.notBoolean, c.notTime = true, true
			return
		}
		c.notNumber, c.numbers = true, numbers{}
	}
	c.narrow(cell)
}

// narrow looks at a value that is no number.
func (c *column) narrow(cell string) {
	if !c.notBoolean && !strings.EqualFold(cell, "true") && !strings.EqualFold(cell, "false") {
		c.notBoolean = true
	}
	if !c.notTime {
		at, date, ok := parseTime(cell)
		if !ok {
			c.notTime = true
			return
		}
		c.times.add(at, date)
	}
}

func (c *column) kind() Type {
	switch {
	case c.count == c.nulls:
		return Null
	case !c.notNumber && c.numbers.integers:
		return Integer
	case !c.notNumber:
		return Decimal
	case !c.notBoolean:
		return Boolean
	case !c.notTime && c.times.dates:
		return Date
	case !c.notTime:
		return DateTime
	}
	return Text
}

func (c *column) summary() Column {
	s := Column{Name: c.name, Type: c.kind(), Count: c.count, Nulls: c.nulls}
	c.values.summarize(&s)
	switch s.Type {
	case Integer, Decimal:
		c.numbers.summarize(&s)
	case Date, DateTime:
		c.times.summarize(&s)
	case Text:
		s.MinLength, s.MaxLength = &c.minLength, &c.maxLength
	}
	return s
}

// times gathers the extremes of a column of dates or times.
type times struct {
	seen     bool
	dates    bool // all are dates without a time
	min, max time.Time
}

func (t *times) add(at time.Time, date bool) {
	if !t.seen {
		*t = times{seen: true, dates: date, min: at, max: at}
		return
	}
	t.dates = t.dates && date
	if at.Before(t.min) {
		t.min = at
	}
	if at.After(t.max) {
		t.max = at
	}
}

func (t *times) summarize(s *Column) {
	layout := time.RFC3339Nano
	if t.dates {
		layout = time.DateOnly
	}
	s.Min = json.RawMessage(strconv.Quote(t.min.UTC().Format(layout)))
	s.Max = json.RawMessage(strconv.Quote(t.max.UTC().Format(layout)))
}

// parseTime reads the forms that Date and DateTime name.
func parseTime(s string) (at time.Time, date, ok bool) {
	if len(s) < len(time.DateOnly) || len(s) > 40 || s[4] != '-' || s[7] != '-' {
		return time.Time{}, false, false
	}
	if len(s) == len(time.DateOnly) {
		at, err := time.Parse(time.DateOnly, s)
		return at, true, err == nil
	}
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04", "2006-01-02 15:04"} {
		if len(s) > 10 && s[10] == layout[10] {
			if at, err := time.Parse(layout, s); err == nil {
				return at, false, true
			}
		}
	}
	return time.Time{}, false, false
}
