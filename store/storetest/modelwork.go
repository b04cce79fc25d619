package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func (m *machine) register(rt *rapid.T) {
	w := newWorker()
	must(rt, m.Worker.Register(m.ctx, w))
	m.workers = append(m.workers, &modelWorker{id: w.ID, alive: true, beat: m.now})
}

// anyWorker draws a worker, dead or alive; recent ones are likelier to live.
func (m *machine) anyWorker(rt *rapid.T) *modelWorker {
	return m.workers[len(m.workers)-1-rapid.IntRange(0, min(3, len(m.workers)-1)).Draw(rt, "worker")]
}

func (m *machine) leave(rt *rapid.T) {
	w := m.anyWorker(rt)
	must(rt, m.Worker.Leave(m.ctx, w.id))
	w.alive = false
}

func (m *machine) bury(rt *rapid.T) {
	w := m.anyWorker(rt)
	if m.now-w.beat > 20*time.Hour {
		rt.Skip("nobody is silent for a day and crashes then")
	}
	crash := rapid.IntRange(0, 3).Draw(rt, "crash") > 0
	must(rt, m.Ledger.Bury(m.ctx, w.id, store.Death{Crash: crash, Detail: "signal: killed"}))
	if w.alive {
		w.alive, w.crash = false, crash
	}
}

func (m *machine) burySilent(rt *rapid.T) {
	want := 0
	for _, w := range m.workers {
		if w.alive && m.now-w.beat > soon {
			w.alive = false
			want++
		}
	}
	n, err := m.Ledger.BurySilent(m.ctx, soon)
	must(rt, err)
	if n != want {
		rt.Fatalf("BurySilent = %d, want %d", n, want)
	}
}

// claim lets a worker try up to three jobs, also under fences that are not theirs.
func (m *machine) claim(rt *rapid.T) {
	w := m.anyWorker(rt)
	var tried []*modelJob
	var deliveries []store.Delivery
	for range rapid.IntRange(1, 3).Draw(rt, "deliveries") {
		j := m.pick(rt, "job", anyJob)
		if slices.Contains(tried, j) {
			continue
		}
		d := j.delivery()
		d.Fence += int64(rapid.SampledFrom([]int{0, 0, 0, 0, -1, 1}).Draw(rt, "fence"))
		tried, deliveries = append(tried, j), append(deliveries, d)
	}
	claimed, err := m.Worker.Claim(m.ctx, w.id, deliveries)
	if !w.alive {
		if !errors.Is(err, store.ErrBuried) {
			rt.Fatalf("Claim by a worker that is not alive = %v, want ErrBuried", err)
		}
		return
	}
	must(rt, err)
	for i, j := range tried {
		want := m.mayClaim(w, j, deliveries[i])
		got := claimed[i].Job
		if (got != nil) != want {
			rt.Fatalf("Claim(%v) = %v, want %v; the job is %s, fence %d, %s", deliveries[i], got != nil, want, j.state, j.fence, j.queue)
		}
		if want {
			m.claimed(rt, w, j, got)
		}
	}
}

func (m *machine) mayClaim(w *modelWorker, j *modelJob, d store.Delivery) bool {
	if j.state == millrace.Running {
		return j.owner == w.id && d.Fence+1 == j.fence // it has it already
	}
	return j.claimable() && d.Fence == j.fence && !m.paused[j.queue] && !m.late(j)
}

func (m *machine) claimed(rt *rapid.T, w *modelWorker, j *modelJob, got *millrace.Job) {
	if j.state != millrace.Running {
		j.state, j.owner = millrace.Running, w.id
		j.fence++
		j.attempt++
		j.starts++
		j.history = append(j.history, "")
		j.claimed[j.fence] = w.id
	}
	m.compareJob(rt, j, got)
}

func (m *machine) beat(rt *rapid.T) {
	w := m.anyWorker(rt)
	b := store.Beat{Worker: w.id}
	var cancel, lost []store.Delivery
	for _, j := range m.jobs {
		for fence, owner := range j.claimed {
			if owner != w.id {
				continue
			}
			d := store.Delivery{Job: j.new.ID, Fence: fence}
			b.Running = append(b.Running, store.Holding{Job: d.Job, Fence: d.Fence})
			switch {
			case j.state != millrace.Running || j.fence != fence:
				lost = append(lost, d)
			case j.cancel:
				cancel = append(cancel, d)
			}
		}
	}
	reply, err := m.Worker.Beat(m.ctx, b)
	if !w.alive {
		if !errors.Is(err, store.ErrBuried) {
			rt.Fatalf("Beat of a worker that is not alive = %v, want ErrBuried", err)
		}
		return
	}
	must(rt, err)
	w.beat = m.now
	waiting, open := false, false
	for _, j := range m.jobs {
		if j.queue == string(millrace.Quarantine) && j.claimable() && j.due <= m.now {
			waiting = true
			open = open || m.paused[j.queue] || m.late(j)
		}
	}
	if !sameDeliveries(reply.Cancel, cancel) || !sameDeliveries(reply.Lost, lost) || reply.Quarantine != waiting && !open {
		rt.Fatalf("Beat = %+v, want cancel %v, lost %v, quarantine %v", reply, cancel, lost, waiting)
	}
}

func sameDeliveries(a, b []store.Delivery) bool {
	text := func(all []store.Delivery) []string {
		var s []string
		for _, d := range all {
			s = append(s, fmt.Sprint(d))
		}
		slices.Sort(s)
		return s
	}
	return slices.Equal(text(a), text(b))
}

var modelKinds = []store.OutcomeKind{
	store.OutcomeSucceeded, store.OutcomeFailed, store.OutcomeRetry, store.OutcomeReleased, store.OutcomeCanceled,
}

func (m *machine) outcome(j *modelJob, fence int64, kind store.OutcomeKind) store.Outcome {
	f := &fixture{tenant: m.tenant}
	o := f.outcome(&millrace.Job{ID: j.new.ID, Tenant: m.tenant, Fence: fence}, kind)
	if o.Delay = 0; kind == store.OutcomeRetry {
		o.Delay = later
	}
	return o
}

// finish ends attempts, some of which have lost their job.
func (m *machine) finish(rt *rapid.T) {
	var outcomes []store.Outcome
	var want []bool
	var tried []*modelJob
	for range rapid.IntRange(1, 2).Draw(rt, "outcomes") {
		j := m.pick(rt, "job", func(j *modelJob) bool { return j.state == millrace.Running && !slices.Contains(tried, j) })
		tried = append(tried, j)
		fence := j.fence
		if rapid.IntRange(0, 5).Draw(rt, "stale") == 0 {
			fence += 7 // nobody's
		}
		kind := rapid.SampledFrom(modelKinds).Draw(rt, "kind")
		o := m.outcome(j, fence, kind)
		if kind == store.OutcomeReleased && rapid.Bool().Draw(rt, "delayed") {
			o.Delay = later
		}
		outcomes, want = append(outcomes, o), append(want, fence == j.fence)
	}
	won, err := m.Worker.Finish(m.ctx, outcomes)
	must(rt, err)
	if !slices.Equal(won, want) {
		rt.Fatalf("Finish = %v, want %v", won, want)
	}
	for i, o := range outcomes {
		if won[i] {
			m.ended(tried[i], o)
		}
	}
}

// finishAgain repeats the outcome of an attempt that is over: its own wins again, another's loses.
func (m *machine) finishAgain(rt *rapid.T) {
	j := m.pick(rt, "job", func(j *modelJob) bool { return len(j.claimed) > 0 })
	fences := make([]int64, 0, len(j.claimed))
	for fence := range j.claimed {
		if fence != j.fence || j.state != millrace.Running {
			fences = append(fences, fence)
		}
	}
	if len(fences) == 0 {
		rt.Skip("no attempt is over")
	}
	slices.Sort(fences)
	fence := rapid.SampledFrom(fences).Draw(rt, "attempt")
	kind, finished := j.finished[fence]
	if !finished { // it was taken away: by then success must lose
		kind = store.OutcomeSucceeded
	}
	won, err := m.Worker.Finish(m.ctx, []store.Outcome{m.outcome(j, fence, kind)})
	must(rt, err)
	if won[0] != finished {
		rt.Fatalf("Finish(%s) again = %v, want %v", kind, won[0], finished)
	}
}

// ended moves the model on by an outcome that won.
func (m *machine) ended(j *modelJob, o store.Outcome) {
	j.finished[o.Fence] = o.Kind
	j.word(o.Attempt)
	switch o.Kind {
	case store.OutcomeSucceeded:
		m.final(j, millrace.Succeeded, "")
	case store.OutcomeFailed:
		m.final(j, millrace.Failed, o.Error.Code)
	case store.OutcomeRetry:
		m.again(j, millrace.Retrying, o.Delay)
	case store.OutcomeReleased:
		j.attempt--
		j.fence++
		m.again(j, millrace.Queued, o.Delay)
	case store.OutcomeCanceled:
		j.attempt--
		m.final(j, millrace.Canceled, "")
	}
}

// word ends the running attempt in the history.
func (j *modelJob) word(w string) { j.history[len(j.history)-1], j.owner = w, "" }

// again puts a job back, or ends it where somebody asked for that.
func (m *machine) again(j *modelJob, state millrace.State, delay time.Duration) {
	if j.cancel {
		j.fence-- // how far it goes is left open
		if state == millrace.Retrying {
			j.fence++
		}
		m.final(j, millrace.Canceled, "")
		return
	}
	j.state, j.due, j.sent = state, m.now+delay, 0
}

// final ends the run.
func (m *machine) final(j *modelJob, state millrace.State, code millrace.Code) {
	j.state, j.code, j.owner, j.ended = state, code, "", m.now
	if w := j.new.Webhook; w != nil && slices.Contains(w.Events, string(state)) {
		j.deliveries = append(j.deliveries, fmt.Sprint(j.run, " ", state))
	}
	if u := j.new.Unique; u != nil && m.unique[u.Key].job == j.new.ID {
		delete(m.unique, u.Key)
	}
	m.part(j)
}
