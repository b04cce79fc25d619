package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/storetest"
)

// answer is what a client heard.
type answer struct {
	job *millrace.Job
	err error
	// unknown says that the request may or may not have been done.
	unknown bool
}

const patience = 10 * time.Second // of a client that waits for an answer

// ask makes a request of some api that lives. The request goes on when its client has gone; a dead api answers nobody.
func (w *world) ask(d dice, do func(context.Context, *dispatch.Dispatcher) (*millrace.Job, error)) answer {
	first := d.IntN(2)
	lost := !w.healed() && d.chance(0.06)
	for i := range 2 {
		s := w.slot([]string{"api-1", "api-2"}[(first+i)%2])
		p := s.process()
		if p == nil || !p.begin() {
			continue
		}
		s.mu.Lock()
		dispatcher := s.dispatcher
		s.mu.Unlock()
		heard := make(chan answer, 1)
		w.tasks.Go(func() {
			defer p.served.Done()
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			job, err := do(ctx, dispatcher)
			if p.thawed() == nil {
				heard <- answer{job: job, err: err, unknown: err != nil && unknown(err)}
			}
		})
		t := time.NewTimer(patience)
		defer t.Stop()
		select {
		case a := <-heard:
			if lost {
				w.strike("answer to a client lost")
				return answer{err: errCut, unknown: true}
			}
			return a
		case <-p.gone:
		case <-t.C:
		}
		return answer{err: errCut, unknown: true}
	}
	return answer{err: errRefused}
}

// begin takes a request in, unless the process takes none any more.
func (p *process) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slot.mu.Lock()
	ready := p.slot.dispatcher != nil
	p.slot.mu.Unlock()
	if p.dead || p.closed || !ready {
		return false
	}
	p.served.Add(1)
	return true
}

// unknown says whether an error leaves open what became of the request.
func unknown(err error) bool {
	e, ok := errors.AsType[*millrace.Error](err)
	return !ok || e.Kind == millrace.Unavailable || e.Kind == millrace.Internal
}

// live is one client: it asks for its job, and does with it what the plan says.
func (w *world) live(r request) {
	time.Sleep(r.at)
	d := w.dice("client", r.token)
	id := w.submit(d, r)
	for _, one := range append([]request{r}, r.more...) {
		w.letGo(one)
	}
	if id == "" || id == refused {
		return
	}
	began := time.Now()
	for _, act := range []struct {
		after time.Duration
		what  string
		do    func(context.Context, *dispatch.Dispatcher) (*millrace.Job, error)
	}{
		{r.cancel, "cancels", func(ctx context.Context, d *dispatch.Dispatcher) (*millrace.Job, error) {
			return d.Cancel(ctx, tenant, id)
		}},
		{r.retry, "retries", func(ctx context.Context, d *dispatch.Dispatcher) (*millrace.Job, error) {
			return d.Retry(ctx, tenant, id, nil)
		}},
		{r.remove, "deletes", func(ctx context.Context, d *dispatch.Dispatcher) (*millrace.Job, error) {
			return nil, d.Delete(ctx, tenant, id)
		}},
	} {
		if act.after == 0 {
			continue
		}
		time.Sleep(time.Until(began.Add(act.after)))
		if act.what == "deletes" {
			w.history.Deleted(id)
		}
		a := w.ask(d, act.do)
		w.trace.add("client", act.what+" "+r.token+": "+text(a.err))
	}
}

func text(err error) string {
	if err == nil {
		return "done"
	}
	return err.Error()
}

// spec is the request in the dispatcher's words.
func (w *world) spec(r request, input string) dispatch.Spec {
	params, err := json.Marshal(r.work)
	if err != nil {
		w.wrongly("encode params: %v", err)
	}
	short, most := 100*time.Millisecond, time.Second
	never := false
	spec := dispatch.Spec{
		Tenant: tenant, Type: r.kind, Params: params, Inputs: []millrace.Input{{File: input}}, Priority: r.priority, Delay: r.delay,
		Timeout: r.timeout, MaxAttempts: r.attempts, Backoff: dispatch.BackoffSpec{Initial: &short, Max: &most}, Cache: &never,
		Tags: []string{r.token}, Retention: r.keep, Unique: r.unique, Webhook: r.webhook,
	}
	if r.equal {
		spec.Cache = nil
	}
	if r.deadline > 0 {
		spec.Deadline = w.now().Add(r.deadline)
	}
	return spec
}

// key is the idempotency key of a request: what is kept for its repetitions are the ids of its jobs.
func (r request) key() string {
	if !r.keyed {
		return ""
	}
	return "key " + r.token
}

// submit asks for the jobs of a request until it is known what became of it, or without a key once, and answers the first one's id.
func (w *world) submit(d dice, r request) string {
	all := append([]request{r}, r.more...)
	spec := w.spec(r, w.input(r))
	others := make([]dispatch.Spec, len(r.more))
	for i, one := range r.more {
		others[i] = w.spec(one, w.input(one))
	}
	for calmly := 0; ; {
		if w.tired(&calmly, r.token) {
			return ""
		}
		for _, one := range all {
			w.history.Attempted(storetest.Submission{Token: one.token, Tenant: tenant, Spends: one.spends(w.plan), Idempotency: r.key()})
		}
		before := w.watch.finals()
		var ids []string
		a := w.ask(d, func(ctx context.Context, d *dispatch.Dispatcher) (job *millrace.Job, err error) {
			if len(others) > 0 {
				heard, err := batch(ctx, d, r, append([]dispatch.Spec{spec}, others...))
				ids = heard
				return nil, err
			}
			if r.keyed {
				spec.Key = &dispatch.Key{Key: r.key(), Hash: "hash", Answer: func(j *millrace.Job) []byte { return []byte(j.ID) }}
			}
			job, err = d.Submit(ctx, spec)
			if err == nil {
				ids = []string{job.ID}
			}
			return job, err
		})
		if replayed, ok := errors.AsType[*store.ReplayedError](a.err); ok {
			a.err, ids = nil, strings.Split(string(replayed.Answer), " ")
		}
		if held, ok := errors.AsType[*store.HeldError](a.err); ok && before[held.Job] {
			w.wrongly("I4: job %s is over and still has a unique key", held.Job)
		}
		w.trace.add("client", "asks for "+r.token+": "+text(a.err)+" "+strings.Join(ids, " "))
		switch {
		case a.err == nil:
			for i, one := range all {
				if ids[i] == refused {
					w.history.Refused(one.token)
					continue
				}
				w.history.Acknowledged(one.token, ids[i])
				w.watch.accepted(ids[i], one)
			}
			return ids[0]
		case a.unknown && !r.keyed:
			return ""
		case !a.unknown:
			for _, one := range all {
				w.history.Refused(one.token)
			}
			if !errors.Is(a.err, errRefused) {
				return ""
			}
		}
		time.Sleep(d.between(100*time.Millisecond, time.Second))
	}
}

// refused stands for the id of a job that a batch did not take.
const refused = "-"

// batch asks for several jobs at once.
func batch(ctx context.Context, d *dispatch.Dispatcher, r request, specs []dispatch.Spec) ([]string, error) {
	b := d.Batch(tenant, len(specs))
	for _, spec := range specs {
		b.Add(ctx, spec)
	}
	ids := func(items []dispatch.BatchItem) []string {
		var ids []string
		for _, item := range items {
			if item.Err != nil {
				item.ID = refused
			}
			ids = append(ids, item.ID)
		}
		return ids
	}
	var key *dispatch.BatchKey
	if r.keyed {
		key = &dispatch.BatchKey{Key: r.key(), Hash: "hash", Answer: func(items []dispatch.BatchItem) []byte {
			return []byte(strings.Join(ids(items), " "))
		}}
	}
	items, err := b.Commit(ctx, key)
	return ids(items), err
}

// pause stops a queue or lets it go on; whoever does that repeats it until it is heard.
func (w *world) pause(queue string, paused bool) {
	d := w.dice("pause", queue)
	for {
		a := w.ask(d, func(ctx context.Context, d *dispatch.Dispatcher) (*millrace.Job, error) {
			return nil, d.PauseQueue(ctx, queue, paused)
		})
		w.trace.add("client", "pauses "+queue+": "+text(a.err))
		if a.err == nil {
			return
		}
		time.Sleep(d.between(100*time.Millisecond, time.Second))
	}
}
