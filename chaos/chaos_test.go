//go:build linux

package chaos_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// chaosRun is one server under load and fire.
type chaosRun struct {
	t       testing.TB
	ctx     context.Context // ends with the faults
	f       *fleet
	load    *load
	rand    *rand.Rand
	strikes []strike
	missed  []string // faults that did not come about
	skipped []string // faults that this machine does not allow

	freezeLow, freezeHigh float64
	verdictOnTime         bool // delays beyond their bounds fail the run
}

// TestFaults is the short run: a fixed plan that strikes with each kind of fault once. Its verdict is about what happened, never about how long
// it took: other tests may have the machine.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers and breaks them for two minutes")
	}
	t.Parallel()
	if os.Getenv("CHAOS_MINUTES") != "" {
		t.Skip("the long run was asked for")
	}
	for _, mode := range []string{embedded, production} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRun(t, mode, 1, 60)
			r.freezeLow, r.freezeHigh = 11, 11
			r.run(time.Hour, func() []step { return shortPlan(mode) }, false)
			r.report()
		})
	}
}

// TestLongFaults is `make chaos`: faults at random for CHAOS_MINUTES, half of them for each mode, from CHAOS_SEED.
func TestLongFaults(t *testing.T) {
	minutes, err := strconv.ParseFloat(os.Getenv("CHAOS_MINUTES"), 64)
	if err != nil {
		t.Skip("make chaos runs this one; CHAOS_MINUTES says for how long")
	}
	seed, err := strconv.ParseUint(os.Getenv("CHAOS_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64() % 1_000_000
	}
	rate, err := strconv.Atoi(os.Getenv("CHAOS_RATE"))
	if err != nil {
		rate = 120
	}
	modes := []string{production, embedded}
	if mode := os.Getenv("CHAOS_MODE"); mode != "" {
		modes = []string{mode}
	}
	t.Logf("CHAOS_SEED=%d: the same faults in the same order; when they meet which job is up to the machine", seed)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			r := newRun(t, mode, seed, rate)
			r.freezeLow, r.freezeHigh, r.verdictOnTime = 15, 20, true
			r.run(time.Duration(minutes*float64(time.Minute))/time.Duration(len(modes)), func() []step {
				plan := longPlan(mode)
				r.rand.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
				return plan
			}, true)
			r.report()
		})
	}
}

func newRun(t *testing.T, mode string, seed uint64, rate int) *chaosRun {
	f := newFleet(t, mode)
	return &chaosRun{t: t, f: f, load: newLoad(t, f, rate), rand: rand.New(rand.NewPCG(seed, 0))}
}

// blobGrace is an hour in the product.
const blobGrace = 3 * time.Second

// run breaks things under load, then heals and lets everything end.
func (r *chaosRun) run(length time.Duration, plan func() []step, again bool) {
	ctx, cancel := context.WithTimeout(r.t.Context(), length+3*time.Minute)
	defer cancel()
	submitting, stop := context.WithCancel(ctx)
	loaded := make(chan struct{})
	go func() { defer close(loaded); r.load.run(submitting, ctx) }()
	watched := make(chan struct{})
	watching, stopWatch := context.WithCancel(ctx)
	go func() { defer close(watched); r.load.watch(watching, 8*time.Second) }()

	faults, end := context.WithTimeout(ctx, length)
	r.ctx = faults
	if err := r.f.order("blob-grace", blobGrace.String()); err != nil {
		r.t.Error(err)
	}
	r.sleep(2 * time.Second)
	for {
		for _, s := range plan() {
			if faults.Err() != nil || r.t.Failed() && again {
				break
			}
			r.strike(s)
			r.sleep(r.between(again))
		}
		if !again || faults.Err() != nil || r.t.Failed() {
			break
		}
	}
	end()
	r.f.withdrawAll()
	r.thawAll()
	stop()
	<-loaded
	left, took := r.load.settle(ctx, time.Minute)
	stopWatch()
	<-watched
	r.t.Logf("everything was final %v after the last fault", took.Round(100*time.Millisecond))
	if len(left) > 0 {
		r.t.Errorf("not final a minute after the last fault: %v", left)
	}
}

// between is the pause after a fault: long enough to see what it alone has cost; now and then none at all.
func (r *chaosRun) between(random bool) time.Duration {
	if !random {
		return 500 * time.Millisecond
	}
	if r.rand.IntN(4) == 0 {
		return 0
	}
	return seconds(2, 5)(r)
}

func (r *chaosRun) strike(s step) {
	did, err := s.do(r)
	did.name, did.kind = s.name, s.kind
	if _, ok := errors.AsType[skipped](err); ok {
		r.skipped = append(r.skipped, s.name+": "+err.Error())
		return
	}
	if err != nil {
		r.missed = append(r.missed, s.name+": "+err.Error())
	}
	if did.hit {
		r.strikes = append(r.strikes, did)
	}
	r.t.Logf("%s %-45s %6.1f s %s %v", did.began.Format("15:04:05.000"), s.name, did.ended.Sub(did.began).Seconds(), did.note, errText(err))
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// thawAll lets every process go on that is still stopped.
func (r *chaosRun) thawAll() {
	for _, u := range r.f.units {
		for _, pid := range append(childrenOf(u.pid()), u.pid()) {
			if stopped(pid) {
				_ = signal(pid, syscall.SIGCONT)
			}
		}
	}
}
