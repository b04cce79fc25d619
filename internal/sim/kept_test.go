package sim_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/redis/go-redis/v9"
)

// kept are seeds that went wrong once, with what it was. They were found before a plan changed now and then, so each stands for its kind of weather.
var kept = []struct {
	seed uint64
	what string
}{
	{24, "a process did not beat while it published an output, and was buried in the middle"},
	{117, "an expired job's outputs go before the job does"},
	{122, "a server whose first subscription was lost never ended"},
	{2006, "a clock that jumped by hours let bytes be collected that an attempt had taken"},
	{2082, "a queue that was emptied and then restored from an older copy looked as if it had gone on"},
}

func TestKeptSeeds(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	redis.SetLogger(mute{})
	r := newRig(t)
	for _, k := range kept {
		t.Run(fmt.Sprint(k.seed), func(t *testing.T) {
			for _, v := range r.simulate(t, k.seed, false).violations {
				t.Errorf("%s: %s", k.what, v)
			}
		})
	}
}
