package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace"
)

// checkHistory compares the source with what clients and workers know.
func (r *report) checkHistory() {
	h := r.History
	h.mu.Lock()
	defer h.mu.Unlock()
	r.found = append(r.found, h.broken...)
	r.checkSubmissions(h)
	for _, j := range r.jobs {
		r.checkEnds(h, j)
	}
	for key, before := range h.seen {
		if j := r.byID[key.job]; j != nil {
			what := wentBack(before, j)
			r.say(what != "", "I5", j.ID, "%s since %s saw it", what, key.observer)
		}
	}
	r.checkAttemptsOf(h)
}

// checkSubmissions is I1 and I3. A history without any submission says nothing about them.
func (r *report) checkSubmissions(h *History) {
	if len(h.jobs) == 0 {
		return
	}
	token := h.Token
	if token == nil {
		token = func(j *millrace.Job) string { return j.ID }
	}
	byToken := map[string]*millrace.Job{}
	for _, j := range r.jobs {
		if j.Schedule != "" {
			continue
		}
		name := token(j)
		s := h.jobs[name]
		if s == nil {
			r.say(true, "I3", j.ID, "nobody asked for it (%q)", name)
			continue
		}
		twin := byToken[name]
		invariant := "I3"
		if s.Idempotency != "" {
			invariant = "I4"
		}
		r.say(twin != nil, invariant, j.ID, "is a second job for submission %q", name)
		byToken[name] = j
		r.say(!s.acknowledged && s.refused > 0 && s.refused == s.requests, "I3", j.ID, "is there, though every request for %q was refused", name)
		r.say(s.acknowledged && s.id != j.ID && twin == nil, invariant, j.ID, "is there for %q, and the client was told %s", name, s.id)
		r.say(s.Tenant != "" && s.Tenant != j.Tenant, "I11", j.ID, "is %q's, and %q asked for it", j.Tenant, s.Tenant)
		spent := j.Run == 1 && !j.Cached && (j.State == millrace.Succeeded || j.State == millrace.Failed)
		r.say(spent && s.Spends > 0 && j.Attempt != s.Spends, "I12", j.ID, "spent %d attempts, %d were its own", j.Attempt, s.Spends)
	}
	for name, s := range h.jobs {
		r.say(s.acknowledged && r.byID[s.id] == nil && !h.deleted[s.id], "I1", s.id, "was accepted as %q and is lost", name)
	}
}

// checkEnds is I2: what the source holds now is one more sight of the job.
func (r *report) checkEnds(h *History, j *millrace.Job) {
	if end := h.runs[runKey{j.ID, j.Run}]; end != nil {
		if !j.State.Final() {
			r.say(true, "I2", j.ID, "run %d ended %s, says %s, and the job is %s", j.Run, end.state, end.witness, j.State)
		} else if what := differ(*end, runEnd{j.State, digest(j), "the ledger"}); what != "" {
			r.say(true, "I2", j.ID, "%s", what)
		}
	}
}

// checkAttemptsOf holds the ledger to what it told workers.
func (r *report) checkAttemptsOf(h *History) {
	starts := map[string]int{}
	for key := range h.claims {
		starts[key.job]++
	}
	for id, n := range starts {
		j := r.byID[id]
		r.say(j != nil && !r.Public && n > j.Starts, "I5", id, "workers hold %d attempts of %d", n, max(0, startsOf(j)))
	}
	won := map[runKey]millrace.State{}
	for key, o := range h.outcomes {
		claimed, known := h.claims[key]
		for i, state := range o.won {
			r.say(i > 0 && state != o.won[0], "I2", key.job, "one attempt won as %s and as %s", o.won[0], state)
			if !known || i > 0 {
				continue
			}
			run := runKey{key.job, claimed.run}
			before, twice := won[run]
			r.say(twice, "I2", key.job, "two attempts of run %d won, as %s and %s", run.run, before, state)
			won[run] = state
			if j := r.byID[key.job]; j != nil && j.Run == run.run {
				r.say(j.State != state, "I2", key.job, "its worker was told that it is %s, and it is %s", state, j.State)
			}
		}
	}
}

func startsOf(j *millrace.Job) int {
	if j == nil {
		return 0
	}
	return j.Starts
}

// checkBlobs is I8, over the ledger's word and, where there is one, the blob store.
func (r *report) checkBlobs(ctx context.Context) error {
	knows, ok := r.Source.(interface {
		KnowsBlob(ctx context.Context, key string) (bool, error)
	})
	referred := map[string]bool{}
	for _, file := range r.files {
		if referred[file.Blob] {
			continue
		}
		referred[file.Blob] = true
		if ok {
			known, err := knows.KnowsBlob(ctx, file.Blob)
			if err != nil {
				return fmt.Errorf("look for blob: %w", err)
			}
			r.say(!known, "I8", file.Job, "blob %s of file %s is unknown", file.Blob, file.ID)
		}
	}
	if r.Blobs == nil {
		return nil
	}
	there := map[string]bool{}
	if err := r.Blobs.Keys(ctx, time.Now().Add(1000*time.Hour), func(key string) error { there[key] = true; return nil }); err != nil {
		return fmt.Errorf("list blobs: %w", err)
	}
	for _, file := range r.files {
		r.say(!there[file.Blob], "I8", file.Job, "blob %s of file %s is gone", file.Blob, file.ID)
	}
	if r.Grace == 0 {
		return nil
	}
	return r.Blobs.Keys(ctx, r.Now.Add(-r.Grace), func(key string) error {
		r.say(!referred[key], "I8", "", "blob %s is older than %v and nobody refers to it", key, r.Grace)
		return nil
	})
}
