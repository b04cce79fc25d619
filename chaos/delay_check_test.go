//go:build linux

package chaos_test

import (
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// The test of the measure: a delay beyond its bound is seen, and what no fault has caused is not laid at one's door.
func TestMeasure(t *testing.T) {
	t.Parallel()
	zero := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sec := func(s float64) time.Time { return zero.Add(time.Duration(s * float64(time.Second))) }
	at := func(start, end float64, outcome string) millrace.Attempt {
		return millrace.Attempt{StartedAt: sec(start), EndedAt: sec(end), Outcome: outcome}
	}
	struck := func(k kind, began, ended float64) strike {
		return strike{name: k.name, kind: k, began: sec(began), ended: sec(ended), hit: true}
	}
	done := millrace.AttemptSucceeded
	tests := []struct {
		name     string
		attempts []millrace.Attempt
		strikes  []strike
		of       string
		want     float64
		over     bool
	}{
		{"killed while it ran, again after 2 s", []millrace.Attempt{at(0, 10, millrace.AttemptCrashed), at(12, 13, done)}, []strike{struck(killed, 10, 10)}, killed.name, 2, false},
		{"killed while it ran, again after 6 s", []millrace.Attempt{at(0, 10, millrace.AttemptCrashed), at(16, 17, done)}, []strike{struck(killed, 10, 10)}, killed.name, 6, true},
		{"waited when Redis was flushed", []millrace.Attempt{at(14, 15, done)}, []strike{struck(flushed, 3, 3)}, flushed.name, 11, true},
		{"waited for PostgreSQL, counted from its return", []millrace.Attempt{at(21, 22, done)}, []strike{struck(pgOut, 1, 20)}, pgOut.name, 1, false},
		{"frozen, counted from the beginning", []millrace.Attempt{at(0, 11, millrace.AttemptReleased), at(17, 18, done)}, []strike{struck(lost, 1, 20)}, lost.name, 16, true},
		{"its own error and its backoff", []millrace.Attempt{at(0, 1, millrace.AttemptError), at(30, 31, done)}, []strike{struck(killed, 5, 5)}, killed.name, 0, false},
		{"several kinds", []millrace.Attempt{at(20, 21, done)}, []strike{struck(killed, 1, 1), struck(flushed, 8, 8)}, several, 12, false},
		{"a fault that did not strike", []millrace.Attempt{at(20, 21, done)}, []strike{{kind: killed, began: sec(1), ended: sec(1)}}, killed.name, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := measure([]*millrace.Job{{ID: "j", CreatedAt: zero, RunAt: zero, Attempts: tt.attempts}}, tt.strikes)
			if got := d.longest[tt.of].Seconds(); got != tt.want || (len(d.over) > 0) != tt.over {
				t.Errorf("%s: %v s, beyond the bound: %v; want %v s, %v", tt.of, got, d.over, tt.want, tt.over)
			}
		})
	}
}
