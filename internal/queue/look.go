package queue

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// mostAtOnce bounds what one look takes from one queue.
const mostAtOnce = 64

// lane is what the gate knows of one queue.
type lane struct {
	sha  string
	keys []string
	args []any // as asynq gave them last; the first is the end of the lease

	tasks []*redis.Cmd // taken from Redis, for asynq's next dequeues
	want  int          // how many the next look asks for: twice what came when all came, else what came
	full  bool         // all that was asked for came, so there may be more
	empty bool         // the last look left nothing here, and asynq has not been told
	err   error        // what the last look failed with
}

// lane finds the lane that a dequeue is for.
func (g *gate) lane(sha string, keys []string, args []any) *lane {
	l := g.lanes[keys[0]]
	if l == nil {
		l = &lane{want: 1}
		g.lanes[keys[0]] = l
	}
	l.sha, l.keys, l.args = sha, keys, args
	return l
}

// nothing is the answer of an empty queue: asynq asks the next one, and then comes again.
func nothing() *redis.Cmd { return redis.NewCmdResult(nil, redis.Nil) }

// handOut answers a dequeue from what the last look brought; nil: there must be another look.
func (g *gate) handOut(l *lane) *redis.Cmd {
	switch {
	case len(l.tasks) > 0:
		cmd := l.tasks[0]
		l.tasks[0] = nil
		l.tasks = l.tasks[1:]
		g.held.Add(-1)
		g.note(nil)
		return cmd
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
	swept := g.woken && g.empty >= g.queues
	if swept { // the token announced nothing, so the others are likely as old
		g.empty, g.woken = 0, false
	}
	asked := g.asked(l, room)
	if len(asked) == 1 && !swept {
		cmd := g.UniversalClient.EvalSha(ctx, l.sha, l.keys, l.args...)
		g.took(l, []*redis.Cmd{cmd})
		return g.first(l)
	}
	pipe := g.UniversalClient.Pipeline()
	if swept {
		g.waker.sweep(ctx, pipe)
	}
	cmds := make([]*redis.Cmd, len(asked))
	for i, lane := range asked {
		cmds[i] = pipe.EvalSha(ctx, lane.sha, lane.keys, append([]any{l.args[0]}, lane.args[1:]...)...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	more := false
	for len(cmds) > 0 {
		n := 1
		for n < len(cmds) && asked[n] == asked[0] {
			n++
		}
		g.took(asked[0], cmds[:n])
		more = more || asked[0].full
		asked, cmds = asked[n:], cmds[n:]
	}
	if swept && more {
		g.waker.restore(ctx)
	}
	return g.first(l)
}

// asked is whom to ask, once for each task wanted, the lane itself first.
func (g *gate) asked(l *lane, room int) []*lane {
	asked := make([]*lane, 0, min(room, mostAtOnce+2))
	add := func(l *lane) {
		for range min(l.want, room) {
			asked = append(asked, l)
			room--
		}
	}
	add(l)
	if !l.full {
		for _, other := range g.lanes {
			if other != l && !other.full {
				add(other)
			}
		}
	}
	return asked
}

// took sorts what a look brought for a lane.
func (g *gate) took(l *lane, cmds []*redis.Cmd) {
	l.tasks, l.err = l.tasks[:0:0], nil
	for _, cmd := range cmds {
		if err := cmd.Err(); err == nil {
			l.tasks = append(l.tasks, cmd)
		} else if !errors.Is(err, redis.Nil) {
			l.err = err
		}
	}
	n := len(l.tasks)
	g.held.Add(int64(n))
	g.transit.Add(int64(n))
	l.full = n == len(cmds)
	l.empty = !l.full && l.err == nil
	l.want = max(1, n)
	if l.full {
		l.want = min(2*n, mostAtOnce)
	}
}

// first answers the dequeue for which the look was made.
func (g *gate) first(l *lane) *redis.Cmd {
	if cmd := g.handOut(l); cmd != nil {
		return cmd
	}
	g.note(l.err)
	return redis.NewCmdResult(nil, l.err)
}
