package storetest

import (
	"errors"

	"pgregory.net/rapid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func (m *machine) cancelJob(rt *rapid.T) {
	j := m.pick(rt, "job", anyJob)
	got, err := m.Ledger.Cancel(m.ctx, m.tenant, j.new.ID)
	switch {
	case j.state.Final():
		if !errors.Is(err, store.ErrState) || got == nil || got.State != j.state {
			rt.Fatalf("Cancel of a job that is %s = %+v, %v, want ErrState", j.state, got, err)
		}
		return
	case j.state == millrace.Running:
		if !j.cancel {
			j.cancel, j.cancelAt = true, m.now
		}
	default:
		m.final(j, millrace.Canceled, "")
	}
	must(rt, err)
	m.compareJob(rt, j, got)
}

func (m *machine) forceCancel(rt *rapid.T) {
	want := 0
	for _, j := range m.jobs {
		if j.state == millrace.Running && j.cancel && m.now-j.cancelAt > soon {
			j.word(millrace.AttemptCanceled)
			j.attempt--
			m.final(j, millrace.Canceled, "")
			want++
		}
	}
	n, err := m.Ledger.ForceCancel(m.ctx, soon)
	must(rt, err)
	if n != want {
		rt.Fatalf("ForceCancel = %d, want %d", n, want)
	}
}

func (m *machine) retry(rt *rapid.T) {
	j := m.pick(rt, "job", anyJob)
	got, err := m.Ledger.Retry(m.ctx, m.tenant, j.new.ID, nil)
	if j.state != millrace.Failed && j.state != millrace.Canceled {
		if !errors.Is(err, store.ErrState) || got == nil || got.State != j.state {
			rt.Fatalf("Retry of a job that is %s = %+v, %v, want ErrState", j.state, got, err)
		}
		return
	}
	if u := j.new.Unique; u != nil {
		if h, ok := m.held(u.Key); ok {
			if !sameError(err, &store.HeldError{Job: h.job}) {
				rt.Fatalf("Retry while %s has its unique key = %v", h.job, err)
			}
			return
		}
	}
	must(rt, err)
	if m.late(j) {
		j.deadline = 0
	}
	j.state, j.queue, j.code, j.cancel = millrace.Queued, j.new.Queue, "", false
	j.run, j.attempt, j.crashes, j.due, j.sent = j.run+1, 0, 0, m.now, 0
	j.fence++
	m.take(j)
	m.compareJob(rt, j, got)
}

// rescue takes every job from an owner that is not alive.
func (m *machine) rescue(rt *rapid.T) {
	want := 0
	for _, j := range m.jobs {
		if j.state != millrace.Running {
			continue
		}
		w := m.worker(j.owner)
		if w.alive {
			continue
		}
		want++
		j.word(millrace.AttemptReleased)
		j.attempt--
		if w.crash {
			j.word(millrace.AttemptCrashed)
		}
		if j.cancel {
			j.history[len(j.history)-1] = "?"
			m.final(j, millrace.Canceled, "")
			continue
		}
		j.fence++
		if w.crash {
			j.crashes++
		}
		if j.crashes >= millrace.QuarantineCrashes {
			j.queue = string(millrace.Quarantine)
		}
		if j.crashes >= millrace.PoisonCrashes {
			m.final(j, millrace.Failed, millrace.CodePoisoned)
			continue
		}
		j.state, j.due, j.sent = millrace.Queued, m.now, 0
	}
	n, err := m.Ledger.Rescue(m.ctx)
	must(rt, err)
	if n != want {
		rt.Fatalf("Rescue = %d, want %d", n, want)
	}
}

func (m *machine) failOverdue(rt *rapid.T) {
	var late []*modelJob
	for _, j := range m.jobs {
		if (j.claimable() || j.state == millrace.Waiting) && m.late(j) {
			late = append(late, j)
		}
	}
	want := len(late)
	for _, j := range late {
		m.final(j, millrace.Failed, millrace.CodeTimeout)
	}
	n, err := m.Ledger.FailOverdue(m.ctx, 1000)
	must(rt, err)
	if n != want {
		rt.Fatalf("FailOverdue = %d, want %d", n, want)
	}
}

// pause pauses a queue or resumes it; resuming makes everything owed again.
func (m *machine) pause(rt *rapid.T) {
	queue := rapid.SampledFrom(append([]string{string(millrace.Quarantine)}, modelQueues...)).Draw(rt, "queue")
	was := m.paused[queue]
	must(rt, m.Ledger.PauseQueue(m.ctx, queue, !was))
	m.paused[queue] = !was
	gen, err := m.Ledger.Generation(m.ctx)
	must(rt, err)
	if gen < m.gen || was && gen == m.gen {
		rt.Fatalf("generation after pausing %s (%v) = %d, before it %d", queue, !was, gen, m.gen)
	}
	m.gen = gen
}

func (m *machine) generation(rt *rapid.T) {
	must(rt, m.Ledger.NewGeneration(m.ctx, m.gen))
	must(rt, m.Ledger.NewGeneration(m.ctx, m.gen)) // not twice
	gen, err := m.Ledger.Generation(m.ctx)
	must(rt, err)
	if gen != m.gen+1 {
		rt.Fatalf("Generation = %d, want %d", gen, m.gen+1)
	}
	m.gen = gen
}

// markSent is for what was owed, hence due.
func (m *machine) markSent(rt *rapid.T) {
	j := m.pick(rt, "job", func(j *modelJob) bool { return j.due <= m.now })
	d := j.delivery()
	d.Fence += int64(rapid.SampledFrom([]int{0, 0, -1, 1}).Draw(rt, "fence"))
	must(rt, m.Ledger.MarkSent(m.ctx, []store.Delivery{d}, m.gen))
	if d.Fence == j.fence && j.claimable() {
		j.sent = m.gen
	}
}

// refence is for deliveries that a dead process has in its hands: they are due.
func (m *machine) refence(rt *rapid.T) {
	j := m.pick(rt, "job", func(j *modelJob) bool { return j.due <= m.now })
	d := j.delivery()
	d.Fence += int64(rapid.SampledFrom([]int{0, 0, -1, 1}).Draw(rt, "fence"))
	must(rt, m.Ledger.Refence(m.ctx, []store.Delivery{d}))
	if d.Fence == j.fence && j.claimable() {
		j.fence++
		j.sent = 0
	}
}
