// Package scheduler is the leader's work: noticing that the queue lost its memory, burying silent workers, rescuing their jobs, forcing cancels and
// deadlines, running schedules, and clearing away what is over.
//
// One process leads, by a lease in the ledger; any number stand by. Everything the leader does is guarded in the ledger besides, so two leaders
// for a moment cost work, not truth.
package scheduler

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/blob"
)

// Ledger is the part of the ledger that the leader needs.
type Ledger interface {
	store.Dispatch
	store.Upkeep
	DueSchedules(ctx context.Context, after store.Due, limit int) (due []millrace.Schedule, now time.Time, err error)
	Tick(ctx context.Context, t store.Tick) (errs []error, moved bool, err error)
	PausedQueues(ctx context.Context) ([]string, error)
}

// Queue is the part of the queue that the leader needs.
type Queue interface {
	// Pulse counts up in Redis and names the running server: a count that fell back, or another server, means lost memory.
	Pulse(ctx context.Context) (n int64, runID string, err error)
	Active(ctx context.Context) ([]queue.Task, error)
	Archived(ctx context.Context) ([]queue.Task, error)
	Register(ctx context.Context) error
	// Trim keeps the newest archived tasks of each queue and says how many it deleted.
	Trim(ctx context.Context, keep int) (int, error)
	Pause(ctx context.Context, queue string, paused bool) error
	Paused(ctx context.Context) ([]string, error)
}

// Config is what a Leader stands on. Everything down to Log is required.
type Config struct {
	Ledger Ledger
	Queue  Queue
	Blobs  blob.Store
	Log    *slog.Logger

	// Jobs makes the jobs of schedules. nil: no schedules are run.
	Jobs Jobs
	// Gate keeps bytes from being removed while somebody in this process holds it. nil: nobody does.
	Gate *Gate

	// Silence is how long a worker may go without a beat before it is buried. 0: 10 s.
	Silence time.Duration
	// CancelGrace is how long a running attempt may take to follow a cancel before the job is taken away from it. 0: 10 s.
	CancelGrace time.Duration
	// Unclaimed is how long a delivery may be in somebody's hands before the ledger is asked whether anybody claimed it. 0: 2 s,
	// so that with the looks before and after it what a killed process held is sent again within five. It is longer while the ledger answers slowly.
	Unclaimed time.Duration
	// Tidy is how often what has expired is removed; blobs are collected half as often. 0: 30 s.
	Tidy time.Duration
	// Archive is how many final failures each queue keeps on its dashboard. 0: 1,000.
	Archive int
	// LowDisk is how many free bytes are so few that what was deleted must make room soon. 0: 128 MiB.
	LowDisk int64
	// Chance spreads the pauses, so that several processes do not move in step: uniform in [0, 1). nil: math/rand.
	Chance func() float64
}

const (
	leaseName   = "scheduler"
	leaseTTL    = 10 * time.Second
	renewEvery  = 3 * time.Second
	stepDown    = 2 * time.Second // before its own clock says that the lease is over
	roundEvery  = time.Second
	standbyWait = 2 * time.Second
)

// Leader does the leader's work while it has the lease.
type Leader struct {
	Config
	holder string
	pace   time.Duration // between two looks at the quick rounds: roundEvery
	began  time.Time
	until  atomic.Int64 // how long after began the lease is over, by this process's own monotonic clock
	// Rounds that wait for different things have goroutines of their own. watch asks the queue, quick looks after workers, due does what a time has come
	// for, of which there may be much at midnight, and slow may take minutes where there is much to clear away: nobody waits for them to be rescued.
	watch, quick, due, slow []round

	// These belong to the goroutine of watch.
	pulse    pulse
	doubtful bool // the queue may have lost something, and the ledger does not know yet
	// generation is the ledger's as this leader has seen or raised it last, 0 before that; resumed is when another raised it, zero if that is settled.
	generation int64
	resumed    time.Time

	turn store.Due // the last schedule that has had its turn, where a round ended before the last that is due; due's

	// These belong to the goroutine of quick.
	active map[store.Delivery]time.Time // deliveries the queue calls active, since when
	lag    time.Duration                // how long the ledger takes to answer of late
}

// round is one duty and how often it is done.
type round struct {
	name  string
	every time.Duration
	do    func(ctx context.Context) error
	next  time.Time
	fails int
}

// New makes a Leader.
func New(c Config) *Leader {
	c.Silence = cmp.Or(c.Silence, 10*time.Second)
	c.CancelGrace = cmp.Or(c.CancelGrace, 10*time.Second)
	c.Unclaimed = cmp.Or(c.Unclaimed, 2*time.Second)
	c.Tidy = cmp.Or(c.Tidy, 30*time.Second)
	c.Archive = cmp.Or(c.Archive, 1000)
	c.LowDisk = cmp.Or(c.LowDisk, 128<<20)
	if c.Gate == nil {
		c.Gate = new(Gate)
	}
	if c.Chance == nil {
		c.Chance = rand.Float64
	}
	host, _ := os.Hostname()
	l := &Leader{Config: c, pace: roundEvery, began: time.Now(),
		holder: host + "/" + strconv.Itoa(os.Getpid()) + "/" + strconv.FormatUint(rand.Uint64(), 36)}
	l.planRounds()
	return l
}

// planRounds writes down what is done how often.
func (l *Leader) planRounds() {
	later := l.began.Add(10 * time.Minute)
	l.watch = []round{
		{name: "watch the queue's memory", every: roundEvery, do: l.watchPulse},
		{name: "pause queues", every: roundEvery, do: l.followPauses},
		{name: "follow resumed queues", every: roundEvery, do: l.followResumes},
		{name: "register the queues", every: 5 * time.Second, do: l.Queue.Register},
		{name: "doubt the queue", every: 10 * time.Minute, do: l.doubt, next: later},
	}
	l.quick = []round{
		{name: "bury silent workers", every: roundEvery, do: l.bury},
		{name: "rescue jobs of dead workers", every: roundEvery, do: l.rescue},
		{name: "force overdue cancels", every: roundEvery, do: l.forceCancel},
		{name: "find deliveries that nobody claimed", every: roundEvery, do: l.sweepActive},
	}
	l.due = []round{
		{name: "fail overdue jobs", every: roundEvery, do: l.failOverdue},
		{name: "release waiting jobs", every: roundEvery, do: l.releaseWaiting},
	}
	if l.Jobs != nil {
		l.due = append(l.due, round{name: "run due schedules", every: roundEvery, do: l.runSchedules})
	}
	l.slow = []round{
		{name: "find deliveries that were given up", every: 30 * time.Second, do: l.sweepArchived},
		{name: "trim the queue's archive", every: time.Minute, do: l.trim},
		{name: "expire jobs and files", every: l.Tidy, do: l.expire},
		{name: "expire keys", every: time.Minute, do: l.expireKeys},
		{name: "collect blobs", every: 2 * l.Tidy, do: l.collect},
		{name: "sweep temporary bytes", every: 10 * time.Minute, do: l.sweepTemporary},
		{name: "sweep the blob store", every: 24 * time.Hour, do: l.sweepBlobs, next: later},
	}
}

// Run leads or stands by until ctx ends.
func (l *Leader) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		asked := time.Now()
		_, leads, err := l.Ledger.Lead(ctx, leaseName, l.holder, leaseTTL)
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("cannot ask for the leader's lease", "error", err)
		}
		if leads {
			l.lead(ctx, asked)
			continue
		}
		l.sleep(ctx, standbyWait)
	}
	return nil
}

// lead does the rounds until the lease is lost or ctx ends.
func (l *Leader) lead(ctx context.Context, since time.Time) {
	l.Log.Debug("leading")
	// While nobody led, Redis may have lost anything unseen.
	l.pulse, l.doubtful, l.active, l.lag = pulse{}, true, nil, 0
	l.generation, l.resumed, l.turn = 0, time.Time{}, store.Due{}
	l.extend(since)
	leading, stop := context.WithCancel(ctx)
	defer stop()
	var working sync.WaitGroup
	for _, rounds := range [][]round{l.watch, l.quick, l.due} {
		working.Go(func() { l.work(leading, rounds, l.pace) })
	}
	working.Go(func() { l.work(leading, l.slow, min(5*l.pace, l.Tidy)) })
	l.hold(leading)
	stop()
	working.Wait()
	if ctx.Err() != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = l.Ledger.Resign(ctx, leaseName, l.holder)
	}
}

// extend notes that the lease was asked for at that time, and got.
func (l *Leader) extend(asked time.Time) {
	l.until.Store(int64(asked.Add(leaseTTL - stepDown).Sub(l.began)))
}

// left is how long the lease still holds. A frozen leader that thaws sees at once that its time is over.
func (l *Leader) left() time.Duration { return time.Duration(l.until.Load()) - time.Since(l.began) }

// hold renews the lease and returns when it is lost, or could not be renewed in time, or ctx ends.
func (l *Leader) hold(ctx context.Context) {
	for wait := renewEvery; ctx.Err() == nil; {
		l.sleep(ctx, min(wait, l.left()))
		asked := time.Now()
		renewal, cancel := context.WithTimeout(ctx, l.left())
		_, leads, err := l.Ledger.Lead(renewal, leaseName, l.holder, leaseTTL)
		cancel()
		switch {
		case err == nil && !leads:
			return
		case err == nil:
			l.extend(asked)
			wait = renewEvery
		case l.left() <= 0:
			return
		default:
			wait = roundEvery
		}
	}
}

// work does each round when it is due, and looks every so often, until the lease is over.
func (l *Leader) work(ctx context.Context, rounds []round, every time.Duration) {
	for {
		for i := range rounds {
			if ctx.Err() != nil || l.left() <= 0 {
				return
			}
			if !time.Now().Before(rounds[i].next) {
				l.do(ctx, &rounds[i])
			}
		}
		l.sleep(ctx, every)
	}
}

// do does a round. One that fails is logged once and tried again less and less often, up to half a minute.
func (l *Leader) do(ctx context.Context, r *round) {
	fault.Point(fault.Leading)
	err := r.do(ctx)
	if err == nil {
		r.fails = 0
		r.next = time.Now().Add(r.every - l.pace/2)
		return
	}
	r.fails++
	if r.fails == 1 && ctx.Err() == nil {
		l.Log.Warn("round failed; it will be tried again", "round", r.name, "error", err)
	}
	r.next = time.Now().Add(l.pace << min(r.fails, 2))
}

func (l *Leader) sleep(ctx context.Context, d time.Duration) {
	// ±20 %, so that several processes do not move in step.
	t := time.NewTimer(time.Duration(float64(d) * (0.8 + 0.4*l.Chance())))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
