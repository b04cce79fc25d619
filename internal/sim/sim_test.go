package sim_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// outcome is what is left of a world.
type outcome struct {
	seed       uint64
	jobs       int
	struck     map[string]int
	violations []string
	trace      *trace
	virtual    time.Duration
	plan       string
}

// simulate runs one seed in a bubble of its own.
func (r *rig) simulate(t *testing.T, seed uint64, traced bool) outcome {
	t.Helper()
	o := outcome{seed: seed}
	restore := seedRandom(seed)
	defer restore()
	synctest.Test(t, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, seed)
		began := time.Now()
		w, err := newWorld(r, seed, traced)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		r.world.Store(w)
		if err := w.run(context.Background()); err != nil {
			w.wrongly("the run broke off: %v", err)
		}
		w.tasks.Wait()
		time.Sleep(5 * time.Second) // goroutines that nobody waits for: the Redis client's, and the worker's look at handlers that were stuck
		if err := w.close(); err != nil {
			w.wrongly("close: %v", err)
		}
		o.jobs, o.struck, o.violations, o.trace, o.plan = len(w.watch.asked), w.struck, w.violations(), w.trace, w.describe()
		o.virtual = time.Since(began)
	})
	return o
}

func number(t *testing.T, name string, standard int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// mostFailures is how many worlds may go wrong before the rest is not looked at.
const mostFailures = 8

// TestSeeds lives through many worlds. SIM_SEEDS says how many and SIM_FROM with which to begin; SIM_TRACE=1 prints what happened in them.
func TestSeeds(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	from, n := number(t, "SIM_FROM", 1), number(t, "SIM_SEEDS", defaultSeeds)
	traced := os.Getenv("SIM_TRACE") != ""
	r := newRig(t)
	redis.SetLogger(mute{})
	struck := map[string]int{}
	jobs := 0
	var virtual time.Duration
	began := time.Now()
	failed := 0
	for seed := from; seed < from+n && failed < mostFailures; seed++ {
		o := r.simulate(t, uint64(seed), traced)
		for kind, n := range o.struck {
			struck[kind] += n
		}
		jobs += o.jobs
		virtual += o.virtual
		if traced {
			fmt.Println(o.trace)
		}
		for _, v := range o.violations {
			t.Errorf("seed %d: %s", o.seed, v)
		}
		if len(o.violations) > 0 {
			failed++
			t.Logf("seed %d: %s", o.seed, o.plan)
		}
	}
	t.Logf("%d seeds, %d jobs, %v of virtual time in %v", n, jobs, virtual.Round(time.Second), time.Since(began).Round(time.Millisecond))
	for _, kind := range slices.SortedFunc(maps.Keys(struck), cmp.Compare[string]) {
		t.Logf("%8d × %s", struck[kind], kind)
	}
}
