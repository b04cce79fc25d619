package storetest

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// join lets a new job lead or wait.
func (m *machine) join(j *modelJob) {
	if !j.new.Coalesce || j.state != millrace.Queued {
		return
	}
	key := j.new.CacheKey
	if g := m.equal[key]; g != nil {
		j.state = millrace.Waiting
		g.wait = append(g.wait, j)
		return
	}
	m.equal[key] = &modelGroup{leader: j}
}

// part takes a job that has ended out of its group. If it led, those who waited end with it or one of them leads.
func (m *machine) part(j *modelJob) {
	key := j.new.CacheKey
	g := m.equal[key]
	if g == nil {
		return
	}
	if g.leader != j {
		g.wait = slices.DeleteFunc(g.wait, func(other *modelJob) bool { return other == j })
		return
	}
	delete(m.equal, key)
	if j.state == millrace.Succeeded || j.state == millrace.Failed && store.ForAll(&millrace.JobError{Code: j.code}) {
		for _, other := range g.wait {
			other.cached = j.state == millrace.Succeeded
			m.final(other, j.state, j.code)
		}
		return
	}
	if len(g.wait) == 0 {
		return
	}
	next := g.wait[0]
	next.state, next.due, next.sent = millrace.Queued, m.now, 0
	next.fence++
	m.equal[key] = &modelGroup{leader: next, wait: g.wait[1:]}
}

// release has nothing to do: every transaction that ends a leader takes these few along.
func (m *machine) release(rt *rapid.T) {
	n, err := m.Ledger.ReleaseWaiting(m.ctx, 1000)
	must(rt, err)
	if n != 0 {
		rt.Fatalf("ReleaseWaiting = %d, want nothing to do", n)
	}
}
