package storetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// modelChecks is how many random lives a ledger goes through, unless -rapid.checks asks for another number.
const modelChecks = 12

// RunModel lets a ledger and a model of it, a map and some rules, go through the same random steps, and compares every answer and every job
// after each step. It shows the steps that lead to a difference, as few as it can find; -rapid.seed runs them again.
func RunModel(t *testing.T, open Factory) {
	b := open(t)
	if b.Worker == nil {
		b.Worker = b.Ledger
	}
	if b.Now == nil {
		b.Now = time.Now
	}
	var lives atomic.Int32
	var failed atomic.Bool // from then on rapid looks for fewer steps
	bound := flag.Lookup("rapid.checks")
	bounded := bound == nil || bound.Value.String() == bound.DefValue
	var tenants []string
	rapid.Check(t, func(rt *rapid.T) {
		if bounded && lives.Add(1) > modelChecks && !failed.Load() {
			return
		}
		m := &machine{Backend: b, ctx: context.Background(), t: t, tenant: "model-" + newID()}
		m.clean(rt, tenants)
		tenants = []string{m.tenant}
		ok := false
		defer func() {
			if !ok {
				failed.Store(true)
			}
		}()
		m.begin(rt)
		rt.Repeat(m.actions())
		m.audit(rt)
		ok = true
	})
}

// machine is a ledger and what it should hold. Its clock moves only by Age, in steps that no stored time is a multiple of, so that the few
// milliseconds that really pass decide nothing.
type machine struct {
	Backend
	ctx    context.Context
	t      *testing.T
	tenant string

	now       time.Duration // since the life began, by Age alone
	jobs      []*modelJob   // in order of submission
	workers   []*modelWorker
	answers   map[string]modelKey
	unique    map[string]modelHold
	equal     map[string]*modelGroup // by cache key
	paused    map[string]bool
	gen       int64
	schedules map[string]*millrace.Schedule
	ticks     map[string]time.Duration // when a schedule is due
}

// modelJob is a job as it should be.
type modelJob struct {
	new    store.NewJob // as it was submitted
	state  millrace.State
	queue  string
	fence  int64
	owner  string
	cached bool

	run, attempt, starts, crashes int
	cancel                        bool
	cancelAt                      time.Duration
	due                           time.Duration // when it may be dispatched
	deadline                      time.Duration // 0: never
	ended                         time.Duration
	sent                          int64
	code                          millrace.Code
	history                       []string // words, "?" where the contract leaves it open
	finished                      map[int64]store.OutcomeKind
	claimed                       map[int64]string // who held which fence
	deliveries                    []string         // "run event"
}

type modelWorker struct {
	id    string
	alive bool
	crash bool
	beat  time.Duration
}

type modelKey struct {
	store.Idempotency
	at time.Duration
}

// modelGroup is who runs and who waits, in order of submission.
type modelGroup struct {
	leader *modelJob
	wait   []*modelJob
}

type modelHold struct {
	job   string
	until time.Duration // 0: as long as the job lives
}

// Steps of the clock, and times that lie between them.
const (
	tickOfClock = 61 * time.Minute
	soon        = 30 * time.Minute
	later       = 90 * time.Minute
)

var modelQueues = []string{"cpu.normal", "io.high"}

func (m *machine) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"":               m.compare,
		"submit":         m.submit,
		"submitMore":     m.submit,
		"submitAgain":    m.submitAgain,
		"batch":          m.batch,
		"claim":          m.claim,
		"claimMore":      m.claim,
		"beat":           m.beat,
		"finish":         m.finish,
		"finishMore":     m.finish,
		"finishAgain":    m.finishAgain,
		"cancel":         m.cancelJob,
		"forceCancel":    m.forceCancel,
		"retry":          m.retry,
		"delete":         m.delete,
		"register":       m.register,
		"leave":          m.leave,
		"crash":          m.bury,
		"rescue":         m.rescue,
		"burySilent":     m.burySilent,
		"pause":          m.pause,
		"generation":     m.generation,
		"markSent":       m.markSent,
		"refence":        m.refence,
		"failOverdue":    m.failOverdue,
		"release":        m.release,
		"expireKeys":     m.expireKeys,
		"expireJobs":     m.expireJobs,
		"putSchedule":    m.putSchedule,
		"tick":           m.tick,
		"age":            m.age,
		"deleteSchedule": m.deleteSchedule,
	}
}

func must(rt *rapid.T, err error) {
	rt.Helper()
	if err != nil {
		rt.Fatalf("unexpected error: %v", err)
	}
}

// begin starts a life with two workers.
func (m *machine) begin(rt *rapid.T) {
	m.answers, m.unique, m.paused = map[string]modelKey{}, map[string]modelHold{}, map[string]bool{}
	m.equal = map[string]*modelGroup{}
	m.schedules, m.ticks = map[string]*millrace.Schedule{}, map[string]time.Duration{}
	m.register(rt)
	m.register(rt)
	var err error
	m.gen, err = m.Ledger.Generation(m.ctx)
	must(rt, err)
}

// clean ends what an earlier life has left, so that one ledger serves for all of them.
func (m *machine) clean(rt *rapid.T, tenants []string) {
	workers, err := m.Ledger.Workers(m.ctx)
	must(rt, err)
	for _, w := range workers {
		must(rt, m.Ledger.Bury(m.ctx, w.ID, store.Death{}))
	}
	_, err = m.Ledger.Rescue(m.ctx)
	must(rt, err)
	paused, err := m.Ledger.PausedQueues(m.ctx)
	must(rt, err)
	for _, q := range paused {
		must(rt, m.Ledger.PauseQueue(m.ctx, q, false))
	}
	for _, tenant := range tenants {
		list, err := m.Ledger.List(m.ctx, tenant, store.JobFilter{Limit: 1000})
		must(rt, err)
		for _, j := range list {
			if _, err := m.Ledger.Cancel(m.ctx, tenant, j.ID); err != nil && !errors.Is(err, store.ErrState) {
				rt.Fatalf("clean: Cancel: %v", err)
			}
		}
		schedules, err := m.Ledger.ListSchedules(m.ctx, tenant, "", 100)
		must(rt, err)
		for _, s := range schedules {
			must(rt, m.Ledger.DeleteSchedule(m.ctx, tenant, s.Name))
		}
	}
	if len(tenants) == 0 {
		return
	}
	m.Age(m.t, 100*time.Hour)
	_, err = m.Ledger.ExpireJobs(m.ctx, 10_000)
	must(rt, err)
	_, err = m.Ledger.ExpireKeys(m.ctx, 10_000)
	must(rt, err)
}

// pick draws one of the jobs that fit, or gives up this step.
func (m *machine) pick(rt *rapid.T, what string, fits func(*modelJob) bool) *modelJob {
	var some []*modelJob
	for _, j := range m.jobs {
		if fits(j) {
			some = append(some, j)
		}
	}
	if len(some) == 0 {
		rt.Skip("no job")
	}
	return some[rapid.IntRange(0, len(some)-1).Draw(rt, what)]
}

func anyJob(*modelJob) bool { return true }

func (m *machine) find(id string) *modelJob {
	for _, j := range m.jobs {
		if j.new.ID == id {
			return j
		}
	}
	return nil
}

func (m *machine) worker(id string) *modelWorker {
	for _, w := range m.workers {
		if w.id == id {
			return w
		}
	}
	return nil
}

func (j *modelJob) claimable() bool {
	return j.state == millrace.Queued || j.state == millrace.Scheduled || j.state == millrace.Retrying
}

func (m *machine) late(j *modelJob) bool { return j.deadline != 0 && m.now >= j.deadline }

func (j *modelJob) delivery() store.Delivery { return store.Delivery{Job: j.new.ID, Fence: j.fence} }

// compare reads everything back.
func (m *machine) compare(rt *rapid.T) {
	list, err := m.Ledger.List(m.ctx, m.tenant, store.JobFilter{Limit: 1000})
	must(rt, err)
	if len(list) != len(m.jobs) {
		rt.Fatalf("%d jobs listed, want %d", len(list), len(m.jobs))
	}
	for _, got := range list {
		j := m.find(got.ID)
		if j == nil {
			rt.Fatalf("job %s is listed and should not exist", got.ID)
		}
		m.compareJob(rt, j, got)
	}
	m.compareOwed(rt)
}

func (m *machine) compareJob(rt *rapid.T, j *modelJob, got *millrace.Job) {
	if j.state.Final() { // how far the fence and the crashes of an ended job go is left open
		if got.Fence < j.fence || got.Crashes < j.crashes {
			rt.Fatalf("job %s: fence %d, crashes %d, want at least %d, %d", got.ID, got.Fence, got.Crashes, j.fence, j.crashes)
		}
		j.fence, j.crashes = got.Fence, got.Crashes
	}
	code := millrace.Code("")
	if got.State == millrace.Failed && got.Error != nil {
		code = got.Error.Code
	}
	words := make([]string, len(got.Attempts))
	for i, a := range got.Attempts {
		if words[i] = a.Outcome; i < len(j.history) && j.history[i] == "?" {
			j.history[i] = a.Outcome
		}
	}
	is := fmt.Sprint(got.State, got.Queue, got.Fence, got.WorkerID, got.Run, got.Attempt, got.Starts, got.Crashes, !got.CancelAt.IsZero(), code, words,
		!got.Deadline.IsZero(), got.Cached)
	want := fmt.Sprint(j.state, j.queue, j.fence, j.owner, j.run, j.attempt, j.starts, j.crashes, j.cancel || j.state.Final() && !got.CancelAt.IsZero(),
		j.code, j.history, j.deadline != 0, j.cached)
	if is != want {
		rt.Fatalf("job %s is\n  %s, want\n  %s\n(state, queue, fence, owner, run, attempt, starts, crashes, cancel, code, history, deadline, cached)", got.ID, is, want)
	}
}

// compareOwed wants exactly what is due, not sent in this generation, and not paused. Whether a job past its deadline is owed is left open.
func (m *machine) compareOwed(rt *rapid.T) {
	limits := map[string]int{string(millrace.Quarantine): 1000}
	for _, q := range modelQueues {
		limits[q] = 1000
	}
	owed, err := m.Ledger.Owed(m.ctx, limits)
	must(rt, err)
	var got, want []string
	for _, o := range owed {
		if j := m.find(o.Job); j == nil || !m.late(j) {
			got = append(got, fmt.Sprint(o.Job, o.Fence, o.Queue, o.Gen))
		}
	}
	for _, j := range m.jobs {
		if m.owed(j) {
			want = append(want, fmt.Sprint(j.new.ID, j.fence, j.queue, m.gen))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		rt.Fatalf("owed:\n  %v, want\n  %v", got, want)
	}
}

func (m *machine) owed(j *modelJob) bool {
	return j.claimable() && j.due <= m.now && j.sent < m.gen && !m.paused[j.queue] && !m.late(j)
}

// audit ends a life: the invariants, and what hangs on the ends.
func (m *machine) audit(rt *rapid.T) {
	for _, j := range m.jobs {
		deliveries, err := m.Ledger.WebhookDeliveries(m.ctx, m.tenant, j.new.ID)
		must(rt, err)
		var got []string
		for _, d := range deliveries {
			got = append(got, fmt.Sprint(d.Run, " ", d.Event))
		}
		if !slices.Equal(got, j.deliveries) {
			rt.Fatalf("deliveries of job %s: %q, want %q", j.new.ID, got, j.deliveries)
		}
	}
	for name, want := range m.answers {
		got, err := m.Ledger.Answer(m.ctx, m.tenant, name)
		if err != nil || got.Hash != want.Hash || string(got.Answer) != string(want.Answer) {
			rt.Fatalf("Answer(%s) = %+v, %v, want %+v", name, got, err, want)
		}
	}
	found, err := Audit{Source: m.Ledger, Tenants: []string{m.tenant}}.Violations(m.ctx)
	if err != nil || len(found) > 0 {
		rt.Fatalf("audit: %v, %v", found, err)
	}
}
