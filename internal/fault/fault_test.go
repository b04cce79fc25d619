package fault_test

import (
	"testing"

	"github.com/millrace/millrace/internal/fault"
)

// Without the tag a point costs nothing: no allocation, no look at the disk.
func BenchmarkPoint(b *testing.B) {
	tags := []string{"a"}
	for b.Loop() {
		fault.Point(fault.Inserted)
		fault.For(fault.Claimed, tags)
	}
}

func TestNamesAreDistinct(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, name := range fault.Names() {
		if seen[name] {
			t.Errorf("two points are called %s", name)
		}
		seen[name] = true
	}
}
