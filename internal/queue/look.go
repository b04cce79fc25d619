package queue

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// mostAtOnce bounds what one look takes from one queue.
const mostAtOnce = 64

// lane is what the gate knows of one queue.
type lane struct {
	script *redis.Script
	keys   []string
	args   []any // as asynq gave them last; the first is the end of the lease

	tasks []any // taken from Redis, for asynq's next dequeues
	asks  int   // how many the last look asked for
	want  int   // how many the next one will: twice what came when all came, else what came
	full  bool  // all that was asked for came, so there may be more
	empty bool  // the last look left nothing here, and asynq has not been told
	err   error // what the last look failed with
}

// lane finds the lane that a dequeue is for.
func (g *gate) lane(script *redis.Script, keys []string, args []any) *lane {
	l := g.lanes[keys[0]]
	if l == nil {
		l = &lane{want: 1}
		g.lanes[keys[0]] = l
	}
	l.script, l.keys, l.args = script, keys, args
	return l
}

// nothing is the answer of an empty queue: asynq asks the next one, and then comes again.
func nothing() *redis.Cmd { return redis.NewCmdResult(nil, redis.Nil) }

// handOut answers a dequeue from what the last look brought; nil: there must be another look.
func (g *gate) handOut(l *lane) *redis.Cmd {
	switch {
	case len(l.tasks) > 0:
		task := l.tasks[0]
		l.tasks[0] = nil
		l.tasks = l.tasks[1:]
		g.held.Add(-1)
		g.note(nil)
		return redis.NewCmdResult(task, nil)
	case g.held.Load() > 0: // first those of the other queues: they are on leases already
		return nothing()
	case l.empty:
		l.empty = false
		g.note(redis.Nil)
		return nothing()
	}
	return nil
}

// look asks Redis for tasks of the lane. Other queues are asked by the way, while they are not known to have many: which of those goes first is
// asynq's choice, by the queues' weights.
func (g *gate) look(ctx context.Context, l *lane) *redis.Cmd {
	room := g.open()
	if room < 1 {
		return nothing()
	}
	var sweep func(redis.Pipeliner)
	if g.woken && g.empty >= g.queues { // the token announced nothing, so the others are likely as old
		g.forget()
		sweep = func(pipe redis.Pipeliner) { g.waker.sweep(ctx, pipe) }
	}
	lanes, calls := g.asked(l, room)
	run(ctx, g.UniversalClient, calls, sweep, nil)
	more := false
	for i, lane := range lanes {
		g.took(lane, calls[i])
		more = more || lane.full
	}
	if sweep != nil && more {
		g.waker.restore(ctx)
	}
	if cmd := g.handOut(l); cmd != nil {
		return cmd
	}
	g.note(l.err)
	return redis.NewCmdResult(nil, l.err)
}

// forget begins anew to count empty queues.
func (g *gate) forget() {
	g.empty, g.woken = 0, false
	for _, l := range g.lanes {
		l.empty = false
	}
}

// asked is whom to ask and how, the lane itself first.
func (g *gate) asked(l *lane, room int) (lanes []*lane, calls []*call) {
	add := func(other *lane) {
		if other.asks = min(other.want, room); other.asks == 0 {
			return
		}
		room -= other.asks
		args := append([]any{other.asks, l.args[0]}, other.args[1:]...)
		lanes, calls = append(lanes, other), append(calls, &call{script: other.script, keys: other.keys, args: args})
	}
	add(l)
	if !l.full {
		for _, other := range g.lanes {
			if other != l && !other.full {
				add(other)
			}
		}
	}
	return lanes, calls
}

// took sorts what a look brought for a lane.
func (g *gate) took(l *lane, c *call) {
	l.tasks, l.err = c.cmd.Slice()
	n := len(l.tasks)
	g.held.Add(int64(n))
	g.transit.Add(int64(n))
	l.full = n == l.asks
	l.empty = !l.full && l.err == nil
	l.want = max(1, n)
	if l.full {
		l.want = min(2*n, mostAtOnce)
	}
}
