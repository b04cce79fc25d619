package worker

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/millrace/millrace/store"
)

// register announces the process under a fresh id and keeps trying while the ledger is out of reach.
func (w *Worker) register(ctx context.Context) error {
	self := w.Self
	self.ID = newID()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		asked := time.Now()
		err := w.Ledger.Register(ctx, self)
		if err == nil {
			w.mu.Lock()
			w.id, w.lastBeat, w.fence = self.ID, asked, false
			w.mu.Unlock()
			w.heard(asked)
			return nil
		}
		if errors.Is(err, store.ErrBuried) {
			self.ID = newID()
		}
		if ctx.Err() == nil {
			w.warn(3, "cannot register with the ledger; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// beat tells the ledger once a second that the process lives, and hears what it must stop.
func (w *Worker) beat(ctx context.Context) error {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		w.beatOnce(ctx)
		if w.budget.idle() {
			debug.FreeOSMemory() // the runtime alone would take minutes, in which other processes may need it
		}
	}
}

func (w *Worker) beatOnce(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if w.fenced() {
		w.startOver(ctx)
		return
	}
	asked := time.Now()
	b := w.status()
	reply, err := w.Ledger.Beat(ctx, b)
	switch {
	case err == nil:
		w.heard(asked)
		w.stopSome(reply.Cancel, errCanceled)
		w.stopSome(reply.Lost, errLost)
		if reply.Quarantine {
			w.callQuarantine(asked)
		}
	case errors.Is(err, store.ErrBuried):
		w.Log.Warn("this process was declared dead; its attempts belong to others and it starts over under a new id", "worker", b.Worker)
		w.startOver(ctx)
	case w.fenced():
		// The leader buries this worker soon, or has: what it goes on doing would be done twice.
		w.warn(2, "no beat for too long; giving up the running attempts", "since", selfFence, "error", err)
		w.cancelAll(errLost)
	default:
		w.warn(1, "beat failed", "error", err)
	}
}

// heard notes that the ledger took a beat that was sent at that time.
func (w *Worker) heard(sent time.Time) {
	w.mu.Lock()
	was := w.outage
	w.lastBeat, w.outage = sent, 0
	w.mu.Unlock()
	if was > 0 {
		w.Log.Info("the ledger takes beats again")
	}
}

// warn logs one step of an outage once; the same again, each second, is for debugging.
func (w *Worker) warn(step int, message string, attrs ...any) {
	w.mu.Lock()
	level := slog.LevelDebug
	if step > w.outage {
		w.outage, level = step, slog.LevelWarn
	}
	w.mu.Unlock()
	w.Log.Log(context.Background(), level, message, attrs...)
}

// callQuarantine says that somebody must take the quarantined job. This process does, if it is the one.
func (w *Worker) callQuarantine(now time.Time) {
	if w.Quarantine == nil || w.Alone {
		return
	}
	w.mu.Lock()
	due := w.asked.IsZero() || now.Sub(w.asked) >= time.Second
	if due {
		w.asked = now
	}
	w.mu.Unlock()
	if due {
		w.Quarantine()
	}
}

// startOver gives up what was done under the present id and takes a new one. The old one leaves, because only the jobs of an owner that does
// not live are rescued: a ledger that is back before the burial would go on counting them as running. While it is away, the next beat tries again.
func (w *Worker) startOver(ctx context.Context) {
	w.cancelAll(errLost)
	w.mu.Lock()
	id := w.id
	w.mu.Unlock()
	if err := w.Ledger.Leave(ctx, id); err != nil && !errors.Is(err, store.ErrBuried) {
		w.warn(2, "no beat for too long; the old identity cannot be given up yet", "worker", id, "error", err)
		return
	}
	_ = w.register(ctx) // its one error is the end of ctx: the next beat comes here again
}

// fenced says whether the last beat is so old that the process must count itself as dead. It stays so until the process has a new id, even if
// the ledger hears the next beat: outcomes may have been thrown away by then, and their jobs still belong to the old one.
func (w *Worker) fenced() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fence = w.fence || time.Since(w.lastBeat) > selfFence
	return w.fence
}

func (w *Worker) status() store.Beat {
	b := store.Beat{MemoryUsed: w.budget.used(), MemoryBudget: w.budget.size}
	w.mu.Lock()
	defer w.mu.Unlock()
	b.Worker = w.id
	for _, a := range w.attempts {
		b.Running = append(b.Running, store.Holding{Job: a.job.ID, Fence: a.job.Fence, Progress: a.host.unheard()})
	}
	return b
}

func (w *Worker) stopSome(deliveries []store.Delivery, cause error) {
	if len(deliveries) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range deliveries {
		if a := w.attempts[d]; a != nil {
			a.cancel(cause)
		}
	}
}

// Cancel stops the attempt of a job that runs here, if one does. It is the quick way; the beat's reply is the sure one, and the cancel is in the
// ledger already.
func (w *Worker) Cancel(job string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.attempts {
		if a.job.ID == job {
			a.cancel(errCanceled)
		}
	}
}

// leave ends the registration once nothing runs any more; with work left behind it stays, and is buried, so that the work is rescued.
func (w *Worker) leave() {
	if w.count() > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	w.mu.Lock()
	id := w.id
	w.mu.Unlock()
	if err := w.Ledger.Leave(ctx, id); err != nil {
		w.Log.Warn("cannot leave the ledger; this process will be buried", "error", err)
	}
}
