package storetest

import (
	"errors"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// draw makes a job and what the model holds of it.
func (m *machine) draw(rt *rapid.T) *modelJob {
	f := &fixture{Backend: m.Backend, tenant: m.tenant}
	j := &modelJob{
		state: millrace.Queued, queue: rapid.SampledFrom(modelQueues).Draw(rt, "queue"), fence: 1, run: 1,
		finished: map[int64]store.OutcomeKind{}, claimed: map[int64]string{},
	}
	n := f.job(func(n *millrace.Job) {
		n.Queue, n.MaxAttempts = j.queue, 1000
		n.Retention = rapid.SampledFrom([]time.Duration{soon, later, 50 * time.Hour}).Draw(rt, "retention")
	})
	if rapid.IntRange(0, 3).Draw(rt, "scheduled") == 0 {
		n.State, n.RunAt = millrace.Scheduled, m.Now().Add(later)
		j.state, j.due = millrace.Scheduled, m.now+later
	}
	if rapid.IntRange(0, 3).Draw(rt, "deadline") == 0 {
		n.Deadline, j.deadline = m.Now().Add(later), m.now+later
	}
	if name := rapid.SampledFrom([]string{"", "", "u1", "u2"}).Draw(rt, "unique"); name != "" {
		n.Unique = &millrace.Unique{Key: name, TTL: rapid.SampledFrom([]time.Duration{0, later}).Draw(rt, "ttl")}
	}
	if events := rapid.SampledFrom([][]string{nil, {"failed"}, {"succeeded", "failed", "canceled"}}).Draw(rt, "webhook"); events != nil {
		n.Webhook = &millrace.Webhook{URL: hookURL, Events: events}
	}
	if name := rapid.SampledFrom([]string{"", "", "c1", "c2"}).Draw(rt, "cache key"); name != "" {
		n.CacheKey = name + " of " + m.tenant
		j.new.Coalesce = rapid.IntRange(0, 3).Draw(rt, "coalesce") > 0
	}
	j.new.Job = n
	if n.State == millrace.Queued {
		j.new.DispatchAfter = rapid.SampledFrom([]time.Duration{0, 0, soon}).Draw(rt, "dispatchAfter")
		j.due = m.now + j.new.DispatchAfter
	}
	return j
}

func (m *machine) drawKey(rt *rapid.T, j *modelJob) *store.Idempotency {
	name := rapid.SampledFrom([]string{"", "", "k1", "k2", "k3"}).Draw(rt, "key")
	if name == "" {
		return nil
	}
	return &store.Idempotency{Key: name, Hash: "hash of " + j.new.ID, Answer: []byte("answer " + j.new.ID)}
}

// expect is what an insert of the job should answer; accept notes that it was written.
func (m *machine) expect(j *modelJob) error {
	if m.find(j.new.ID) != nil {
		return nil
	}
	if k := j.new.Idempotency; k != nil {
		if used, ok := m.answers[k.Key]; ok {
			return &store.ReplayedError{Idempotency: used.Idempotency}
		}
	}
	if u := j.new.Unique; u != nil {
		if h, ok := m.held(u.Key); ok {
			return &store.HeldError{Job: h.job}
		}
	}
	return nil
}

func (m *machine) held(key string) (modelHold, bool) {
	h, ok := m.unique[key]
	return h, ok && (h.until == 0 || h.until > m.now)
}

func (m *machine) accept(j *modelJob) {
	if m.find(j.new.ID) != nil {
		return
	}
	m.jobs = append(m.jobs, j)
	if k := j.new.Idempotency; k != nil {
		m.answers[k.Key] = modelKey{*k, m.now}
	}
	m.take(j)
	m.join(j)
}

// take gives the job its unique key.
func (m *machine) take(j *modelJob) {
	if u := j.new.Unique; u != nil {
		h := modelHold{job: j.new.ID}
		if u.TTL > 0 {
			h.until = m.now + u.TTL
		}
		m.unique[u.Key] = h
	}
}

// sameError compares what an insert answers with what it should.
func sameError(got, want error) bool {
	switch want := want.(type) {
	case nil:
		return got == nil
	case *store.ReplayedError:
		e, ok := errors.AsType[*store.ReplayedError](got)
		return ok && e.Key == want.Key && e.Hash == want.Hash && string(e.Answer) == string(want.Answer)
	case *store.HeldError:
		e, ok := errors.AsType[*store.HeldError](got)
		return ok && e.Job == want.Job
	}
	return errors.Is(got, want)
}

func (m *machine) insert(rt *rapid.T, jobs ...*modelJob) {
	rows := make([]store.NewJob, len(jobs))
	for i, j := range jobs {
		rows[i] = j.new
	}
	for i, err := range m.Ledger.Insert(m.ctx, rows) {
		want := m.expect(jobs[i])
		if !sameError(err, want) {
			rt.Fatalf("Insert of row %d = %v, want %v", i, err, want)
		}
		if want == nil {
			m.accept(jobs[i])
		}
	}
}

func (m *machine) submit(rt *rapid.T) {
	jobs := make([]*modelJob, rapid.IntRange(1, 3).Draw(rt, "jobs"))
	for i := range jobs {
		jobs[i] = m.draw(rt)
		jobs[i].new.Idempotency = m.drawKey(rt, jobs[i])
	}
	m.insert(rt, jobs...)
}

func (m *machine) submitAgain(rt *rapid.T) { m.insert(rt, m.pick(rt, "job", anyJob)) }

func (m *machine) batch(rt *rapid.T) {
	jobs := make([]*modelJob, rapid.IntRange(1, 4).Draw(rt, "jobs"))
	rows := make([]store.NewJob, len(jobs))
	for i := range jobs {
		jobs[i] = m.draw(rt)
		rows[i] = jobs[i].new
	}
	k := m.drawKey(rt, jobs[0])
	errs, err := m.Ledger.InsertBatch(m.ctx, m.tenant, k, rows, words)
	if k != nil {
		if used, ok := m.answers[k.Key]; ok {
			if !sameError(err, &store.ReplayedError{Idempotency: used.Idempotency}) {
				rt.Fatalf("InsertBatch under a used key = %v, want it replayed", err)
			}
			return
		}
	}
	must(rt, err)
	for i, j := range jobs {
		want := m.expect(j)
		if !sameError(errs[i], want) {
			rt.Fatalf("InsertBatch of row %d = %v, want %v", i, errs[i], want)
		}
		if want == nil {
			m.accept(j)
		}
	}
	if k != nil {
		k.Answer = words(errs)
		m.answers[k.Key] = modelKey{*k, m.now}
	}
}

func (m *machine) expireKeys(rt *rapid.T) {
	want := 0
	for name, k := range m.answers {
		if m.now-k.at > store.KeyLife {
			delete(m.answers, name)
			want++
		}
	}
	for name, h := range m.unique {
		if h.until != 0 && h.until <= m.now {
			delete(m.unique, name)
			want++
		}
	}
	n, err := m.Ledger.ExpireKeys(m.ctx, 1000)
	must(rt, err)
	if n != want {
		rt.Fatalf("ExpireKeys = %d, want %d", n, want)
	}
}

func (m *machine) expireJobs(rt *rapid.T) {
	before := len(m.jobs)
	m.jobs = slices.DeleteFunc(m.jobs, func(j *modelJob) bool { return j.state.Final() && j.ended+j.new.Retention <= m.now })
	n, err := m.Ledger.ExpireJobs(m.ctx, 1000)
	must(rt, err)
	if n != before-len(m.jobs) {
		rt.Fatalf("ExpireJobs = %d, want %d", n, before-len(m.jobs))
	}
}

func (m *machine) delete(rt *rapid.T) {
	j := m.pick(rt, "job", anyJob)
	err := m.Ledger.Delete(m.ctx, m.tenant, j.new.ID)
	if !j.state.Final() {
		if !errors.Is(err, store.ErrState) {
			rt.Fatalf("Delete of a job that is %s = %v, want ErrState", j.state, err)
		}
		return
	}
	must(rt, err)
	m.jobs = slices.DeleteFunc(m.jobs, func(other *modelJob) bool { return other == j })
}

// putSchedule makes a schedule due already or later.
func (m *machine) putSchedule(rt *rapid.T) {
	f := &fixture{Backend: m.Backend, tenant: m.tenant}
	in := rapid.SampledFrom([]time.Duration{-soon, later}).Draw(rt, "due in")
	name := rapid.SampledFrom([]string{"s1", "s2"}).Draw(rt, "name")
	s := f.schedule(name, func(s *millrace.Schedule) { s.NextRunAt = f.Now().Add(in).Truncate(time.Millisecond) })
	stored, created, err := m.Ledger.PutSchedule(m.ctx, s)
	must(rt, err)
	old := m.schedules[name]
	if created != (old == nil) || old != nil && (stored.Version <= old.Version || stored.LastJob != old.LastJob) {
		rt.Fatalf("PutSchedule: created %v, %+v, before it %+v", created, stored, old)
	}
	m.schedules[name], m.ticks[name] = &stored, m.now+in
}

func (m *machine) deleteSchedule(rt *rapid.T) {
	name := rapid.SampledFrom([]string{"s1", "s2"}).Draw(rt, "name")
	err := m.Ledger.DeleteSchedule(m.ctx, m.tenant, name)
	if m.schedules[name] == nil {
		if !errors.Is(err, store.ErrNotFound) {
			rt.Fatalf("DeleteSchedule of nothing = %v, want ErrNotFound", err)
		}
		return
	}
	must(rt, err)
	delete(m.schedules, name)
}

// tick looks for due schedules and runs one of them, once by what is known and once more.
func (m *machine) tick(rt *rapid.T) {
	due, _, err := m.Ledger.DueSchedules(m.ctx, store.Due{}, 100)
	must(rt, err)
	var got, want []string
	for _, s := range due {
		got = append(got, s.Name)
	}
	for name := range m.schedules {
		if m.ticks[name] <= m.now {
			want = append(want, name)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		rt.Fatalf("due schedules %q, want %q", got, want)
	}
	if len(due) == 0 {
		return
	}
	s, j := due[0], m.draw(rt)
	t := store.Tick{
		Tenant: m.tenant, Name: s.Name, Version: s.Version, From: s.NextRunAt, Next: s.NextRunAt.Add(2 * soon), Last: s.NextRunAt,
		Jobs: []store.NewJob{j.new},
	}
	for range 2 { // the second is another leader's, with a job of its own
		errs, moved, err := m.Ledger.Tick(m.ctx, t)
		must(rt, err)
		if j == nil {
			if moved {
				rt.Fatal("one tick was run twice")
			}
			break
		}
		wantErr := m.expect(j)
		if !moved || !sameError(errs[0], wantErr) {
			rt.Fatalf("Tick = %v, %v, want it moved and %v", errs, moved, wantErr)
		}
		last := j.new.ID
		if wantErr == nil {
			m.accept(j)
		} else {
			last = ""
		}
		m.ticks[s.Name] += 2 * soon
		now, err := m.Ledger.Schedule(m.ctx, m.tenant, s.Name)
		must(rt, err)
		if now.LastJob != last || (now.LastError != "") != (last == "") || !now.NextRunAt.Equal(t.Next) {
			rt.Fatalf("schedule after its tick = %+v, want the job %q and next %v", now, last, t.Next)
		}
		m.schedules[s.Name] = &now
		j, t.Jobs = nil, []store.NewJob{m.draw(rt).new}
	}
}

func (m *machine) age(rt *rapid.T) {
	d := tickOfClock * time.Duration(rapid.SampledFrom([]int{1, 1, 2, 24}).Draw(rt, "ticks"))
	for _, j := range m.jobs { // a death is remembered for a day; the rescue is a matter of seconds
		if w := m.worker(j.owner); w != nil && !w.alive && m.now+d-w.beat > 20*time.Hour {
			rt.Skip("a dead owner's job waits for its rescue")
		}
	}
	m.Age(m.t, d)
	m.now += d
}
