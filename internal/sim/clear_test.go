package sim_test

import (
	"context"
	"strconv"
	"time"

	"github.com/millrace/millrace"
)

// clearAway lets hours pass, so that the clean-up has something to do, while a job waits in a paused queue for its input, whose own time is over.
func (w *world) clearAway(ctx context.Context) error {
	w.pause("cpu.low", true)
	w.submitLate(request{token: "t-late", kind: typeCPU, priority: millrace.Low})
	w.leap(2 * time.Hour)
	time.Sleep(100 * time.Second) // every duty of the leader has its turn
	w.pause("cpu.low", false)
	for i := range w.plan.workers {
		w.submitLate(request{token: "t-busy-" + strconv.Itoa(i), kind: typeCPU, priority: millrace.High, work: work{Ms: 900}})
	}
	w.submitLate(request{token: "t-last", kind: typeCPU, priority: millrace.Low, delay: 300 * time.Millisecond})
	time.Sleep(750 * time.Millisecond)
	// Whoever pauses the queue dies before Redis hears of it: the delivery that waits there is refused, and only the resumption makes another.
	if err := w.ledger.PauseQueue(ctx, "cpu.low", true); err != nil {
		return err
	}
	time.Sleep(3 * time.Second)
	w.pause("cpu.low", false)
	return w.settle(ctx, make(chan struct{}))
}

// submitLate asks for a job once all faults are over.
func (w *world) submitLate(r request) {
	r.bring, r.attempts, r.timeout, r.keep, r.keyed = &upload{keep: time.Minute}, 1, time.Minute, 72*time.Hour, true
	r.work.Token = r.token
	w.submit(w.dice(r.token), r)
}

// blobGrace is how long the collector leaves bytes alone.
const blobGrace = time.Hour

// collected looks for bytes that the collector should have taken: of files that are gone, and old. Those that never had a row are left alone for a day.
func (w *world) collected(ctx context.Context, grace time.Duration) error {
	files, err := w.ledger.ListFiles(ctx, tenant, "", 500)
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, f := range files {
		needed[f.Blob] = true
	}
	for _, key := range w.bytes.older(w.now().Add(-grace)) {
		known, err := w.ledger.KnowsBlob(ctx, key)
		if err != nil {
			return err
		}
		if known && !needed[key] {
			w.wrongly("I9: nobody refers to blob %s, and it is still there", key)
		}
	}
	return nil
}
