package sim_test

import (
	"strconv"
	"time"

	"github.com/millrace/millrace"
)

// plan is everything that chance decides before a world begins.
type plan struct {
	span    time.Duration    // how long there are faults
	window  int              // of the dispatchers
	catchUp millrace.CatchUp // of a schedule that ticks once a minute; "" for none
	clear   bool             // at the end hours pass, so that the clean-up has something to do
	tidy    time.Duration    // how often the leader clears away; 0: as seldom as the product does
	workers int
	weather weather // of calls to the ledger
	network weather // of commands to Redis
	disk    weather // of calls to the blob store
	jobs    []request
	strikes []strike
}

// weather is how often a call meets which fault.
type weather struct{ before, after, ghost, delay float64 }

func (w weather) times(f float64) weather {
	return weather{w.before * f, w.after * f, w.ghost * f, w.delay * f}
}

// strike is one blow of the plan.
type strike struct {
	at    time.Duration
	what  string
	who   string
	queue string
	span  time.Duration
}

// mostLeap is how far the clock leaps in a world altogether: less than how long a blob that somebody took is safe from the collector. A longer one
// between taking it and referring to it loses its bytes: what is known of that stands in docs/simulation.md.
const mostLeap = 50 * time.Minute

// The blows.
const (
	strikeKill     = "kill -9"
	strikeFreeze   = "freeze"
	strikeDrain    = "drain"
	strikeFlush    = "flush"
	strikeDown     = "redis down"
	strikeLoss     = "redis restarted empty"
	strikeRestore  = "redis restored from an old copy"
	strikeNoLedger = "cut off from the ledger"
	strikeNoRedis  = "cut off from redis"
	strikeLeap     = "clock leap"
	strikePause    = "queue paused"
	strikeBury     = "buried though it lives"
)

// request is one job that a client asks for, and what it does with it after.
type request struct {
	at    time.Duration
	token string
	kind  string // the task type
	work  work
	file  int     // of those that are there from the beginning
	bring *upload // instead of it

	priority millrace.Priority
	attempts int
	timeout  time.Duration
	delay    time.Duration
	keep     time.Duration // retention
	deadline time.Duration // from the request on
	keyed    bool          // has an idempotency key, so that it is repeated until it is answered
	equal    bool          // others ask for the same, so that it may wait for one of them
	unique   *millrace.Unique
	webhook  *millrace.Webhook
	more     []request // jobs of the same batch

	cancel, retry, remove time.Duration // after the answer; 0: never
}

func newPlan(seed uint64) plan {
	d := throw(seed, "plan")
	p := plan{span: d.between(3*time.Second, 8*time.Second), workers: 2, window: 1000}
	if d.chance(0.15) {
		p.span = 22 * time.Second
	}
	if d.chance(0.3) {
		p.window = 4
	}
	p.clear = d.chance(0.06)
	if d.chance(0.3) {
		p.catchUp = []millrace.CatchUp{millrace.CatchUpNone, millrace.CatchUpLast, millrace.CatchUpAll}[d.IntN(3)]
	}
	if d := throw(seed, "tidy"); d.chance(0.4) {
		p.tidy = d.between(400*time.Millisecond, 3*time.Second)
	}
	// Some worlds are calm but for their blows, so that what a blow does is not hidden by the storm.
	storm := []float64{0, 0, 0.3, 1, 3}[d.IntN(5)]
	p.weather = weather{before: 0.01, after: 0.02, ghost: 0.01, delay: 0.02}.times(storm)
	p.network = weather{before: 0.002, delay: 0.01}.times(storm)
	if d.chance(0.25) {
		p.disk = weather{before: 0.05, after: 0.03, delay: 0.05}.times(max(1, storm))
	}
	for i := 6 + d.IntN(14); i > 0; i-- {
		d := throw(seed, "job", i)
		r := newRequest(d, i, p.span)
		r.bring = newUpload(throw(seed, "upload", i))
		for d.chance(0.3) && i > 1 { // a batch
			i--
			one := newRequest(throw(seed, "job", i), i, p.span)
			one.at = r.at
			one.bring = newUpload(throw(seed, "upload", i))
			r.more = append(r.more, one)
		}
		p.jobs = append(p.jobs, r)
	}
	p.makeEqual(seed)
	leapt := time.Duration(0)
	for i := range 1 + d.IntN(7) {
		s := newStrike(throw(seed, "strike", i), p)
		if s.what == strikeLeap {
			s.span = min(s.span, mostLeap-leapt)
			leapt += s.span
		}
		p.strikes = append(p.strikes, s)
	}
	return p
}

// makeEqual lets some jobs ask for the same. Its dice are its own, so that all else is as it would be without.
func (p *plan) makeEqual(seed uint64) {
	if !throw(seed, "equal").chance(0.5) {
		return
	}
	change := func(r *request) {
		d := throw(seed, "equal", r.token)
		if !d.chance(0.5) {
			return
		}
		group := "equal-" + strconv.Itoa(d.IntN(2))
		all := throw(seed, group)
		r.equal, r.bring, r.kind, r.file, r.attempts, r.timeout = true, nil, typeIO, all.IntN(4), 1+all.IntN(2), time.Minute
		r.work = newEqualWork(all, group)
		r.at = min(r.at, d.between(0, 2*time.Second))
	}
	for i := range p.jobs {
		change(&p.jobs[i])
		for n := range p.jobs[i].more {
			change(&p.jobs[i].more[n])
		}
	}
}

func newStrike(d dice, p plan) strike {
	s := strike{at: d.between(200*time.Millisecond, p.span), span: d.between(300*time.Millisecond, 5*time.Second)}
	worker := kindWorker + "-" + strconv.Itoa(1+d.IntN(p.workers))
	anybody := []string{worker, worker, worker, "api-1", "api-2", "leader-1", "leader-2", kindAlone}[d.IntN(8)]
	switch u := d.IntN(100); {
	case u < 30:
		s.what, s.who = strikeKill, anybody
	case u < 36:
		s.what, s.who = strikeBury, worker
	case u < 52:
		s.what, s.who, s.span = strikeFreeze, anybody, d.between(time.Second, 20*time.Second)
	case u < 58:
		s.what, s.who = strikeDrain, anybody
	case u < 64:
		s.what = strikeFlush
	case u < 69:
		s.what = strikeDown
	case u < 74:
		s.what = strikeLoss
	case u < 81:
		s.what = strikeRestore
	case u < 87:
		s.what, s.who, s.span = strikeNoLedger, anybody, d.between(time.Second, 15*time.Second)
	case u < 91:
		s.what, s.who = strikeNoRedis, anybody
	case u < 94:
		s.what, s.queue = strikePause, millrace.Queues()[d.IntN(len(millrace.Queues()))]
	default:
		s.what, s.span = strikeLeap, d.between(time.Second, mostLeap)
	}
	return s
}

func newRequest(d dice, i int, span time.Duration) request {
	r := request{
		at: d.between(0, span), token: "t-" + strconv.Itoa(i), kind: typeIO, file: d.IntN(4), attempts: 1 + d.IntN(4),
		timeout: d.between(800*time.Millisecond, 1500*time.Millisecond), keep: 72 * time.Hour,
		priority: millrace.Priorities()[d.IntN(3)],
	}
	if d.chance(0.4) {
		r.kind = typeCPU
	}
	if d.chance(0.15) {
		r.delay = d.between(500*time.Millisecond, 3*time.Second)
	}
	if d.chance(0.15) {
		r.keep = d.between(2*time.Second, 5*time.Second)
	}
	if d.chance(0.1) {
		r.deadline = d.between(300*time.Millisecond, 5*time.Second)
	}
	r.keyed = d.chance(0.6)
	if d.chance(0.4) {
		r.unique = &millrace.Unique{Key: "mill-" + strconv.Itoa(d.IntN(2))}
		if d.chance(0.4) {
			r.unique.TTL = time.Second // the least that the dispatcher takes
		}
	}
	if d.chance(0.4) {
		r.webhook = &millrace.Webhook{URL: "https://example.com/hook", Events: []string{"succeeded", "failed", "canceled"}[d.IntN(3):]}
	}
	r.work = newWork(d, r.token)
	if !r.work.slow() {
		r.timeout = time.Minute // so that no delay, freeze or slow store ends an attempt, which would be spent
	}
	if d.chance(0.15) {
		r.cancel = d.between(10*time.Millisecond, 2*time.Second)
	}
	if d.chance(0.15) {
		r.retry = d.between(time.Second, 3*time.Second)
	}
	if d.chance(0.07) {
		r.remove = d.between(time.Second, 4*time.Second)
	}
	return r
}

// spends is how many attempts the job's own doing ends, 0 when that depends on more than its script.
func (r request) spends(p plan) int {
	if r.equal || r.work.slow() || r.cancel > 0 || r.deadline > 0 || r.work.Crashes > 0 || p.disk != (weather{}) {
		return 0
	}
	for i, s := range r.work.Steps {
		switch {
		case s.Do == doReject || i+1 == r.attempts:
			return i + 1
		}
	}
	return len(r.work.Steps) + 1
}
