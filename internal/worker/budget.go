package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace"
)

const (
	// roomWait is how long an attempt may hold its slot while it waits for memory, before its job is put back.
	roomWait = 100 * time.Millisecond
	// keepGap is for how long room stays kept for a job that was put back again: it is due before that, here or elsewhere.
	keepGap = 5 * time.Second
	// muchMemory is worth giving back to the system while nothing runs; less is soon needed again.
	muchMemory = 64 << 20
)

// noRoom is the error of a job that asked for memory that others have at present.
type noRoom struct {
	bytes int64
	kept  bool // room is kept until it comes back
}

func (e noRoom) Error() string {
	return fmt.Sprintf("no room for %d MiB in the memory budget", e.bytes>>20)
}

// budget is the memory that running jobs may reserve together. Nobody waits in it for long, but for one job that was put back too often: for that
// one room is kept, which means that nothing is granted any more that it would have to wait for. A job that holds memory and asks for more waits
// for a moment as everybody does, so that no two wait for each other.
type budget struct {
	size int64

	mu    sync.Mutex // guards what follows
	now   int64      // granted
	most  int64      // of now, since idle said that it is time
	asks  []*ask     // that wait, in the order they came
	kept  *keep      // nil: room is kept for nobody
	since int64      // of now: granted since room is kept
}

// ask is a reservation that waits.
type ask struct {
	job   string
	bytes int64
	done  chan *grant // gets its grant
}

// keep is room that is kept for a job.
type keep struct {
	job   string
	bytes int64
	until time.Time // zero while the job waits here; else it is somewhere in the queue, or at another process
}

// grant is memory that a job has.
type grant struct {
	budget *budget
	bytes  int64
	past   *keep // the job that this came in before of; nil: none
	done   bool  // it is given back
}

func newBudget(size int64) *budget { return &budget{size: size} }

func (b *budget) used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// idle says, once, that much was granted and nothing is any more: what lies unused is better given to others.
func (b *budget) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now > 0 || b.most < muchMemory {
		return false
	}
	b.most = 0
	return true
}

// reserve grants bytes, or answers noRoom after a short while. More than the whole budget can never be had here, which the job's owner must hear.
func (b *budget) reserve(ctx context.Context, job string, bytes int64) (*grant, error) {
	if bytes > b.size {
		return nil, millrace.BadInput(millrace.CodeTooLarge,
			"this input needs about %d MiB of memory, a worker may use %d MiB; make the input smaller or raise MILLRACE_MEMORY", bytes>>20, b.size>>20)
	}
	b.mu.Lock()
	if b.fits(job, bytes) {
		defer b.mu.Unlock()
		return b.grant(job, bytes), nil
	}
	a := b.wait(job, bytes)
	b.mu.Unlock()
	return b.await(ctx, a, roomWait, nil)
}

// keepRoom waits longer, and nothing else is granted that would make the wait longer still. One job at a time has that: to others it answers noRoom
// at once. It ends when give is closed, too. The room stays kept for a while after it was not enough.
func (b *budget) keepRoom(ctx context.Context, job string, bytes int64, wait time.Duration, give <-chan struct{}) (*grant, error) {
	b.mu.Lock()
	b.forget(time.Now())
	if b.kept != nil && b.kept.job != job {
		b.mu.Unlock()
		return nil, noRoom{bytes: bytes}
	}
	if b.fits(job, bytes) {
		defer b.mu.Unlock()
		return b.grant(job, bytes), nil
	}
	if b.kept == nil {
		b.kept, b.since = &keep{job: job, bytes: bytes}, 0
	}
	b.kept.until = time.Time{}
	a := b.wait(job, bytes)
	b.mu.Unlock()
	g, err := b.await(ctx, a, wait, give)
	if err == nil {
		return g, nil
	}
	comesBack := errors.As(err, new(noRoom))
	b.putBack(job, comesBack)
	if comesBack {
		err = noRoom{bytes: bytes, kept: true}
	}
	return nil, err
}

// putBack says that the job for which room is kept does not wait here any more. If it comes back, room stays kept for a while.
func (b *budget) putBack(job string, comesBack bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept == nil || b.kept.job != job {
		return
	}
	b.kept.until = time.Now()
	if comesBack {
		b.kept.until = b.kept.until.Add(keepGap)
	}
	b.serve()
}

// await waits for a's grant.
func (b *budget) await(ctx context.Context, a *ask, most time.Duration, give <-chan struct{}) (*grant, error) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	err := error(noRoom{bytes: a.bytes})
	select {
	case g := <-a.done:
		return g, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-give:
		err = errShutdown
	case <-timer.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case g := <-a.done: // in the same moment
		if errors.As(err, new(noRoom)) {
			return g, nil
		}
		b.giveBack(g)
	default:
		b.asks = slices.DeleteFunc(b.asks, func(other *ask) bool { return other == a })
	}
	return nil, err
}

// release gives the memory back. It may be called more than once.
func (g *grant) release() {
	g.budget.mu.Lock()
	defer g.budget.mu.Unlock()
	g.budget.giveBack(g)
}

func (g *grant) released() bool {
	g.budget.mu.Lock()
	defer g.budget.mu.Unlock()
	return g.done
}

// The callers of what follows have mu.

// fits says whether bytes can be granted to a job now.
func (b *budget) fits(job string, bytes int64) bool {
	b.forget(time.Now())
	if b.kept != nil && b.kept.job != job && b.since+bytes+b.kept.bytes > b.size {
		return false
	}
	return b.now+bytes <= b.size
}

// forget ends the keeping of room for a job that did not come back.
func (b *budget) forget(now time.Time) {
	if b.kept != nil && !b.kept.until.IsZero() && !now.Before(b.kept.until) {
		b.kept = nil
	}
}

func (b *budget) grant(job string, bytes int64) *grant {
	b.now += bytes
	b.most = max(b.most, b.now)
	if b.kept != nil && b.kept.job == job {
		b.kept = nil
	}
	if b.kept != nil {
		b.since += bytes
	}
	return &grant{budget: b, bytes: bytes, past: b.kept}
}

func (b *budget) giveBack(g *grant) {
	if g.done {
		return
	}
	g.done = true
	b.now -= g.bytes
	if g.past != nil && g.past == b.kept {
		b.since -= g.bytes
	}
	b.serve()
}

func (b *budget) wait(job string, bytes int64) *ask {
	a := &ask{job: job, bytes: bytes, done: make(chan *grant, 1)}
	b.asks = append(b.asks, a)
	return a
}

// serve grants to those who wait what fits by now, first the job for which room is kept: what is granted to others must leave it that.
func (b *budget) serve() {
	if b.kept != nil {
		slices.SortStableFunc(b.asks, func(x, y *ask) int { return rank(x, b.kept) - rank(y, b.kept) })
	}
	b.asks = slices.DeleteFunc(b.asks, func(a *ask) bool {
		if !b.fits(a.job, a.bytes) {
			return false
		}
		a.done <- b.grant(a.job, a.bytes)
		return true
	})
}

func rank(a *ask, kept *keep) int {
	if a.job == kept.job {
		return 0
	}
	return 1
}
