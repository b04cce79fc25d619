package cron_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/cron"
)

func zones() []string {
	return []string{"", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Havana", "Pacific/Apia", "Asia/Kathmandu"}
}

// randomField is a field of numbers between min and max in any of its forms.
func randomField(r *rand.Rand, min, max int) string {
	number := func() int { return min + r.IntN(max-min+1) }
	switch r.IntN(6) {
	case 0, 1:
		return "*"
	case 2:
		return fmt.Sprintf("*/%d", 1+r.IntN(max))
	case 3:
		a, b := number(), number()
		return fmt.Sprintf("%d-%d", min+(a-min)%(b-min+1), b)
	case 4:
		return fmt.Sprintf("%d,%d", number(), number())
	}
	return fmt.Sprint(number())
}

// Ticks strictly increase, lie in UTC on whole minutes, and do not depend on where within the gap before one the question is asked; Latest finds the
// same ones backwards.
func TestTicksAreInOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		expr := strings.Join([]string{randomField(r, 0, 59), randomField(r, 0, 23), randomField(r, 1, 31), randomField(r, 1, 12), randomField(r, 0, 7)}, " ")
		zone := zones()[r.IntN(len(zones()))]
		s := parse(t, expr, zone)
		begin := time.Unix(r.Int64N(2_500_000_000), r.Int64N(1_000_000_000))
		after := begin
		for range 20 {
			next := s.Next(after)
			if next.IsZero() {
				break
			}
			if !next.After(after) || next.Location() != time.UTC || next.Second() != 0 || next.Nanosecond() != 0 {
				t.Fatalf("seed %d: %q in %q after %s: %s", seed, expr, zone, after, next)
			}
			between := after.Add(time.Duration(r.Int64N(int64(min(next.Sub(after), 1000*24*time.Hour)))))
			if again := s.Next(between); !again.Equal(next) {
				t.Fatalf("seed %d: %q in %q after %s: %s, but after %s: %s", seed, expr, zone, after, next, between, again)
			}
			if latest := s.Latest(after, next); !latest.Equal(next) {
				t.Fatalf("seed %d: %q in %q: latest until %s: %s", seed, expr, zone, next, latest)
			}
			after = next
		}
	}
}

// Ticks are those of a clock that is looked at each minute, wherever it does not change.
func TestTicksAreComplete(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		minute, hour := randomField(r, 0, 59), randomField(r, 0, 23)
		s := parse(t, minute+" "+hour+" * * *", "UTC")
		minutes, hours := parse(t, minute+" * * * *", "UTC"), parse(t, "* "+hour+" * * *", "UTC")
		for m := time.Unix(0, 0); m.Before(time.Unix(0, 0).Add(24 * time.Hour)); m = m.Add(time.Minute) {
			is := func(s cron.Schedule) bool { return s.Next(m.Add(-time.Nanosecond)).Equal(m) }
			if is(s) != (is(minutes) && is(hours)) {
				t.Fatalf("seed %d: %s %s at %s: %v", seed, minute, hour, m, is(s))
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"* * * * *", "0 3 * * mon-fri", "@daily", "@every 1s", "CRON_TZ=UTC 0 0 1 1 *", "*/5,7-9/2 1 2 jan 7", "TZ=", "59/59 23/23 31 12 7", ", , , , ,"} {
		f.Add(seed, "Europe/Paris", int64(1_700_000_000))
	}
	f.Fuzz(func(t *testing.T, expr, zone string, unix int64) {
		s, err := cron.Parse(expr, zone)
		if err != nil {
			return
		}
		after := time.Unix(unix%4_000_000_000, 0)
		for range 3 {
			next := s.Next(after)
			if next.IsZero() {
				return
			}
			if !next.After(after) {
				t.Fatalf("%q in %q after %s: %s", expr, zone, after, next)
			}
			after = next
		}
	})
}
