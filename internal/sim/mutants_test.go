//go:build mutants

package sim_test

import (
	"runtime"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/internal/mutant"
)

// TestMutants takes one rule after the other out of the product and wants the simulation to notice each within a thousand seeds.
func TestMutants(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	redis.SetLogger(mute{})
	most := number(t, "SIM_SEEDS", 1000)
	r := newRig(t)
	for _, rule := range []mutant.Rule{
		mutant.Fence, mutant.State, mutant.Live, mutant.Unclaimed, mutant.Unique, mutant.UniqueOwner, mutant.Idempotency, mutant.Generation,
		mutant.SentAgain, mutant.Refence, mutant.Rescue, mutant.Collect, mutant.TakeLive, mutant.KeepInputs, mutant.Expire, mutant.Loose, mutant.Spent, mutant.Webhook,
		mutant.Paused, mutant.Overdue, mutant.CancelSticks, mutant.Released,
	} {
		t.Run(string(rule), func(t *testing.T) {
			put := mutant.TakeOut(rule)
			defer put()
			for seed := 1; seed <= most; seed++ {
				if o := r.simulate(t, uint64(seed), false); len(o.violations) > 0 {
					t.Logf("found at seed %d: %s", seed, o.violations[0])
					return
				}
			}
			t.Errorf("not noticed in %d seeds; taken out of a statement: %v", most, mutant.Struck())
		})
	}
}
