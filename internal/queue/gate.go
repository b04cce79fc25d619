package queue

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/internal/batch"
)

const (
	// roomWait bounds the wait for room before one dequeue, and blockFor the wait for a token after it: asynq stamps the task's lease of
	// 30 s before both, so they stay short.
	roomWait = 2 * time.Second
	blockFor = 2 * time.Second
	// The pause after an error of Redis: asynq itself would ask again at once.
	firstPause = 100 * time.Millisecond
	lastPause  = time.Second
	// warnEvery bounds the log during an outage, also one where only some commands fail.
	warnEvery = 10 * time.Second
)

// gate is the Redis client that a server of asynq works with. asynq asks its queues over and over, one task a time; the gate holds its dequeue
// script back while there is no room, and, once all queues were found empty, until a token says that there is work. So an idle server waits in
// Redis, not in a poll. A dequeue that it lets through it sends as often as there is room for tasks, in one round trip, and answers asynq's next
// ones from what that brought. The scripts that end tasks share round trips, too.
//
// Only asynq's single processing goroutine comes through it with dequeues.
type gate struct {
	redis.UniversalClient
	ctx     context.Context                    // ends when the server shall take nothing more
	room    func(context.Context) (int, error) // nil: for one
	waker   tokens                             // nil: asynq's own interval is the pause
	queues  int
	matches func(keys []string) bool
	log     *slog.Logger
	ends    *batch.Group[ending, endAnswer] // scripts that end tasks

	dequeues, finals *scripts

	seen     chan struct{} // closed at the first dequeue recognised
	seenOnce sync.Once
	transit  atomic.Int64  // tasks that were taken from Redis and that no handler has yet
	arrived  chan struct{} // tells that one has
	held     atomic.Int64  // those of transit that asynq does not have yet either

	// What follows is asynq's processing goroutine's.
	lanes map[string]*lane // by the key of the pending tasks
	empty int              // queues found empty in a row
	woken bool             // by a token, and nothing has been found since

	pause  time.Duration // before the next dequeue; doubles with each error in a row
	warned time.Time     // when an error was logged last
	down   bool          // one was logged since the last answer
}

// tokens tell that there is work: waker in the product.
type tokens interface {
	wait(ctx context.Context) (token bool, err error)
	sweep(ctx context.Context, pipe redis.Pipeliner)
	restore(ctx context.Context)
}

func newGate(ctx context.Context, c redis.UniversalClient, log *slog.Logger) *gate {
	return &gate{UniversalClient: c, ctx: ctx, matches: isDequeue, log: log, seen: make(chan struct{}), arrived: make(chan struct{}, 1),
		lanes: map[string]*lane{}, dequeues: newScripts(againScript), finals: newScripts(eachScript)}
}

// isDequeue recognises asynq's dequeue script by its keys: the pending and the paused key of one queue, then two more.
func isDequeue(keys []string) bool {
	return len(keys) == 4 && strings.HasSuffix(keys[0], ":pending") && strings.HasSuffix(keys[1], ":paused")
}

// isEnd recognises the scripts by which asynq ends a delivery: they all begin with the active key and the leases. One that is not recognised
// costs a round trip of its own and no more.
func isEnd(keys []string) bool {
	return len(keys) >= 4 && strings.HasSuffix(keys[0], ":active") && strings.HasSuffix(keys[1], ":lease")
}

// EvalSha is how asynq runs every script.
func (g *gate) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	switch {
	case g.matches(keys) && len(args) > 0:
		if made := g.dequeues.of(sha); made != nil {
			return g.dequeue(ctx, made, keys, args)
		}
		return redis.NewCmdResult(nil, redis.ErrNoScript) // asynq comes again with the text
	case isEnd(keys):
		if made := g.finals.of(sha); made != nil {
			return g.end(ctx, made, keys, args)
		}
		return redis.NewCmdResult(nil, redis.ErrNoScript)
	}
	return g.UniversalClient.EvalSha(ctx, sha, keys, args...)
}

// Subscribe is how asynq listens for the cancels of its dashboard. go-redis forgets channels whose first command is lost with its connection, dials
// anew, and waits for ever on a subscription that nobody made; asynq waits for that when it shuts down. The second call brings them back.
func (g *gate) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	sub := g.UniversalClient.Subscribe(ctx)
	if err := sub.Subscribe(ctx, channels...); err != nil {
		_ = sub.Subscribe(ctx, channels...) // where this fails, too, they are known by now and every connection asks for them
	}
	return sub
}

// Eval follows where the script is not known.
func (g *gate) Eval(ctx context.Context, src string, keys []string, args ...any) *redis.Cmd {
	switch {
	case g.matches(keys) && len(args) > 0:
		return g.dequeue(ctx, g.dequeues.learn(redis.NewScript(src).Hash(), src), keys, args)
	case isEnd(keys):
		return g.end(ctx, g.finals.learn(redis.NewScript(src).Hash(), src), keys, args)
	}
	return g.UniversalClient.Eval(ctx, src, keys, args...)
}

// dequeue answers asynq's request for one task of a queue.
func (g *gate) dequeue(ctx context.Context, script *redis.Script, keys []string, args []any) *redis.Cmd {
	g.seenOnce.Do(func() { close(g.seen) })
	l := g.lane(script, keys, args)
	if cmd := g.handOut(l); cmd != nil {
		return cmd
	}
	return g.look(ctx, l)
}

// ending is one script that ends a task.
type ending struct {
	script *redis.Script
	keys   []string
	args   []any
}

// end sends a script with those of other tasks that end at this time.
func (g *gate) end(ctx context.Context, script *redis.Script, keys []string, args []any) *redis.Cmd {
	e := ending{script, keys, args}
	answer, err := g.ends.Do(ctx, e)
	if errors.Is(err, batch.ErrFull) || errors.Is(err, batch.ErrClosed) {
		answer, err = g.sendEnds(ctx, []ending{e})[0], nil
	}
	if err == nil {
		err = answer.err
	}
	return redis.NewCmdResult(answer.value, err)
}

type endAnswer struct {
	value any
	err   error
}

// sendEnds is the flush of such scripts: those of one kind and queue are one call.
func (g *gate) sendEnds(ctx context.Context, ends []ending) []endAnswer {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	answers := make([]endAnswer, len(ends))
	groups := groupBy(len(ends), func(i int) string {
		return ends[i].script.Hash() + strconv.Itoa(len(ends[i].args)) + ends[i].keys[0]
	})
	calls := make([]*call, len(groups))
	for n, group := range groups {
		keys, args := make([][]string, len(group)), make([][]any, len(group))
		for k, i := range group {
			keys[k], args[k] = ends[i].keys, ends[i].args
		}
		calls[n] = each(ends[group[0]].script, keys, args)
	}
	run(ctx, g.UniversalClient, calls, nil, nil)
	for n, group := range groups {
		values, err := calls[n].results(len(group))
		for k, i := range group {
			if answers[i].err = err; err == nil {
				answers[i] = endAnswer{values[k], failure(values[k])}
			}
		}
	}
	return answers
}

// begun says that a handler has got a task that the gate had taken.
func (g *gate) begun() {
	g.transit.Add(-1)
	select {
	case g.arrived <- struct{}{}:
	default:
	}
}

// open waits until a dequeue makes sense and says for how many tasks there is room; 0: not now. When it answers 0 it has waited, so that nothing
// spins; except after the end, when asynq stops by itself within a millisecond.
func (g *gate) open() int {
	if g.pause > 0 && !sleep(g.ctx, g.pause) || g.ctx.Err() != nil {
		return 0
	}
	room := g.hasRoom()
	if room < 1 {
		return 0
	}
	if g.waker != nil && g.empty >= g.queues && !g.woken {
		token, err := g.waker.wait(g.ctx)
		g.forget()
		g.woken = token
		if err != nil {
			g.note(err)
			return 0
		}
	}
	if g.ctx.Err() != nil {
		return 0
	}
	return room
}

// empties waits until asynq has been handed everything that was taken for it. It goes on asking after the end of the context: what it is given
// then goes back by itself.
func (g *gate) empties(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handBack)
	defer cancel()
	for g.held.Load() > 0 && sleep(ctx, time.Millisecond) {
	}
}

// hasRoom waits for room beyond that of the tasks which are on their way to their handlers.
func (g *gate) hasRoom() int {
	if g.room == nil {
		return 1
	}
	ctx, cancel := context.WithTimeout(g.ctx, roomWait)
	defer cancel()
	for {
		n, err := g.room(ctx)
		if err != nil {
			sleep(g.ctx, 10*time.Millisecond) // it may have refused at once
			return 0
		}
		if n -= int(g.transit.Load()); n > 0 {
			return n
		}
		select {
		case <-g.arrived:
		case <-ctx.Done():
			g.transit.Store(0) // what has not come for so long is nothing that asynq could read
			return 0
		}
	}
}

// note keeps count of empty answers and of errors.
func (g *gate) note(err error) {
	switch {
	case errors.Is(err, redis.Nil):
		g.empty++
	case err == nil:
		g.empty, g.woken = 0, false
	case isNoScript(err):
		return // Eval comes next
	default:
		g.pause = min(max(firstPause, 2*g.pause), lastPause)
		if time.Since(g.warned) >= warnEvery {
			g.warned, g.down = time.Now(), true
			g.log.Warn("the queue does not answer", "error", err)
		}
		return
	}
	g.pause = 0
	if g.down {
		g.down = false
		g.log.Info("the queue answers again")
	}
}

func isNoScript(err error) bool {
	return errors.Is(err, redis.ErrNoScript) || redis.HasErrorPrefix(err, "NOSCRIPT")
}

// sleep pauses for d; false when ctx ended it.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
