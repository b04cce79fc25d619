package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// watch stands beside the ledger and sees what it commits, whoever hears the answer.
type watch struct {
	world *world
	mu    sync.Mutex
	fence map[string]int64 // the newest that was claimed, by job
	won   map[store.Delivery]bool
	seen  map[string]millrace.State
	asked map[string]request // by job id
	skew  time.Duration      // of the clock at the last look
	ticks map[time.Time]bool // those that the schedule ran
	made  map[string]bool    // the jobs that it made
}

func newWatch(w *world) *watch {
	return &watch{world: w, fence: map[string]int64{}, won: map[store.Delivery]bool{}, seen: map[string]millrace.State{}, asked: map[string]request{},
		ticks: map[time.Time]bool{}, made: map[string]bool{}}
}

// claimed notes a claim that was committed.
func (w *watch) claimed(worker string, lived bool, d store.Delivery, j *millrace.Job) {
	if !lived {
		w.world.wrongly("I5: worker %s, which is dead, was given job %s", worker, j.ID)
	}
	if j.Fence != d.Fence+1 {
		w.world.wrongly("I5: a delivery with fence %d was given job %s with fence %d", d.Fence, j.ID, j.Fence)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fence[j.ID] = max(w.fence[j.ID], j.Fence)
}

// over reads the jobs of outcomes that can change nothing any more, because a newer attempt was claimed or this one has ended: by index.
func (w *watch) over(ctx context.Context, outcomes []store.Outcome) map[int]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	over := map[int]string{}
	for i, o := range outcomes {
		if w.won[store.Delivery{Job: o.Job, Fence: o.Fence}] || o.Fence < w.fence[o.Job] {
			over[i] = w.picture(ctx, o.Job)
		}
	}
	return over
}

// picture is everything of a job.
func (w *watch) picture(ctx context.Context, id string) string {
	j, err := w.world.ledger.Job(ctx, tenant, id)
	if err != nil {
		return err.Error()
	}
	j.Progress = millrace.Progress{}
	text, err := json.Marshal(j)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// finished notes outcomes that were committed. What was over before must be as it was.
func (w *watch) finished(ctx context.Context, outcomes []store.Outcome, won []bool, over map[int]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, o := range outcomes {
		d := store.Delivery{Job: o.Job, Fence: o.Fence}
		if before, ok := over[i]; ok {
			if after := w.picture(ctx, o.Job); after != before {
				w.world.wrongly("I2: an outcome with fence %d came too late for job %s and changed it from %s to %s", o.Fence, o.Job, before, after)
			}
			continue
		}
		w.won[d] = w.won[d] || won[i]
	}
}

func (w *watch) accepted(id string, r request) {
	if r.keep < time.Hour {
		w.world.history.Deleted(id) // once it is final; look sees to it that it is not sooner
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[id] = r
}

// look reads everything as an observer does, and says how many jobs are not final.
func (w *watch) look(ctx context.Context) (live int, err error) {
	w.world.mu.Lock()
	skew := w.world.skew
	w.world.mu.Unlock()
	jobs, err := w.world.ledger.List(ctx, tenant, store.JobFilter{Limit: 500})
	if err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	there := make(map[string]bool, len(jobs))
	for _, j := range jobs {
		there[j.ID] = true
		w.world.history.Saw("the observer", j)
		w.seen[j.ID] = j.State
		if !j.State.Final() {
			live++
		}
	}
	for id, state := range w.seen {
		if there[id] {
			continue
		}
		delete(w.seen, id)
		if !state.Final() && skew == w.skew && w.asked[id].remove == 0 {
			w.world.wrongly("I1: job %s was %s and is gone", id, state)
		}
	}
	w.skew = skew
	return live, nil
}

// finals are the jobs that were over when the observer looked last, and that nobody opens again.
func (w *watch) finals() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	over := map[string]bool{}
	for id, state := range w.seen {
		if r, ok := w.asked[id]; ok && r.retry == 0 && state.Final() {
			over[id] = true
		}
	}
	return over
}

// ends looks at every job once all is over: what the clients' plans allow.
func (w *watch) ends(ctx context.Context) error {
	jobs, err := w.world.ledger.List(ctx, tenant, store.JobFilter{Limit: 500})
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	there := map[string]bool{}
	for _, j := range jobs {
		there[j.ID] = true
		if j.Schedule != "" && !w.made[j.ID] {
			w.world.wrongly("I3: no tick of the schedule made job %s", j.ID)
		}
		if j.State == millrace.Succeeded {
			var r result
			if err := json.Unmarshal(j.Result, &r); err != nil || r.Fence != j.Fence && j.Schedule == "" && j.CacheKey == "" { // those share one token
				w.world.wrongly("I2: job %s succeeded with the result %s, its fence is %d", j.ID, j.Result, j.Fence)
			}
			for _, out := range j.Outputs {
				w.output(ctx, j, out)
			}
		}
		if j.State == millrace.Failed && j.Error.Code == millrace.CodeInputFailed {
			w.world.wrongly("I8: job %s failed because its input is gone, which nobody deleted", j.ID)
		}
		r, ok := w.asked[j.ID]
		if ok && j.State == millrace.Canceled && r.cancel == 0 {
			w.world.wrongly("job %s is canceled, though nobody asked for it", j.ID)
		}
	}
	for id := range w.made {
		if !there[id] {
			w.world.wrongly("I1: job %s, which the schedule made, is lost", id)
		}
	}
	return nil
}

func (w *watch) output(ctx context.Context, j *millrace.Job, out millrace.Output) {
	f, err := w.world.ledger.File(ctx, tenant, out.File)
	if errors.Is(err, store.ErrNotFound) && w.world.now().After(j.ExpiresAt) {
		return // its time is over, and the job's
	}
	if err != nil {
		w.world.wrongly("I6: output %s of job %s: %v", out.File, j.ID, err)
		return
	}
	data, ok := w.world.bytes.get(f.Blob)
	if !ok || sumOf(data) != out.SHA256 {
		w.world.wrongly("I6: output %s of job %s: the bytes are gone or other ones", out.File, j.ID)
	}
}
