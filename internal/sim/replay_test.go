package sim_test

import (
	"runtime"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"
)

// TestReplay runs seeds twice and compares what happened, to the microsecond. Where the chance of the libraries is not the seed's (see exact) it
// only says how many of them were the same.
func TestReplay(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	redis.SetLogger(mute{})
	from, n := number(t, "SIM_FROM", 1), number(t, "SIM_REPLAYS", defaultReplays)
	r := newRig(t)
	same := 0
	for seed := from; seed < from+n; seed++ {
		first, second := r.simulate(t, uint64(seed), true), r.simulate(t, uint64(seed), true)
		a, b := first.trace.digest(), second.trace.digest()
		if slices.Equal(a, b) {
			same++
			continue
		}
		at := 0
		for at < min(len(a), len(b)) && a[at] == b[at] {
			at++
		}
		if at < min(len(a), len(b)) {
			t.Logf("seed %d: line %d of %d differs:\n%s\n%s", seed, at, len(a), a[at], b[at])
		}
	}
	t.Logf("%d of %d seeds happened twice in the same way", same, n)
	if exact && same < n*95/100 {
		t.Errorf("only %d of %d seeds were replayed exactly", same, n)
	}
}
