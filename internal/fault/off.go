//go:build !faults || !unix

package fault

import "time"

// Point is a moment at which a process may be struck.
func Point(string) {}

// For is Point for a moment that belongs to one job, known by its tags: an order may be meant for one of them alone.
func For(string, []string) {}

// Error is Point for a moment at which a call may fail instead.
func Error(string) error { return nil }

// Duration is normal, unless an order shortens it: what takes an hour in the product must happen within a fault run.
func Duration(_ string, normal time.Duration) time.Duration { return normal }
