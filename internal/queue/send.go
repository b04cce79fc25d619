package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"
)

// send is the flush of the senders: all calls of all callers in one pipeline, then the tokens that wake workers.
func (q *Queue) send(ctx context.Context, items [][]script) [][]error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	var all []script
	for _, item := range items {
		all = append(all, item...)
	}
	errs := q.pipeline(ctx, all)
	results := make([][]error, len(items))
	for i, item := range items {
		results[i], errs = errs[:len(item):len(item)], errs[len(item):]
	}
	return results
}

// pipeline sends scripts in one round trip. Those that Redis does not know, as after its restart, go again with their text.
func (q *Queue) pipeline(ctx context.Context, scripts []script) []error {
	errs := make([]error, len(scripts))
	unknown := q.trip(ctx, scripts, errs, func(p redis.Pipeliner, s script) *redis.Cmd {
		return p.EvalSha(ctx, s.sha, s.keys, s.args...)
	})
	if len(unknown) == 0 {
		return errs
	}
	again := make([]script, len(unknown))
	for i, at := range unknown {
		again[i] = scripts[at]
	}
	second := make([]error, len(again))
	q.trip(ctx, again, second, func(p redis.Pipeliner, s script) *redis.Cmd {
		return p.Eval(ctx, s.src, s.keys, s.args...)
	})
	for i, at := range unknown {
		errs[at] = second[i]
	}
	return errs
}

// trip sends scripts with the tokens that announce them, sets errs, and returns the scripts that Redis does not know.
func (q *Queue) trip(ctx context.Context, scripts []script, errs []error, call func(redis.Pipeliner, script) *redis.Cmd) (unknown []int) {
	pipe := q.redis.Pipeline()
	cmds := make([]*redis.Cmd, len(scripts))
	names, pools := map[string]struct{}{}, map[string]int{}
	for i, s := range scripts {
		cmds[i] = call(pipe, s)
		names[s.queue] = struct{}{}
		pools[poolOf(s.queue)]++
	}
	queues := slices.Sorted(maps.Keys(names))
	pipe.SAdd(ctx, asynqQueues, toArgs(queues)...)
	// A pipeline to one server keeps its order; in a cluster the token could overtake the task, so there it follows.
	_, cluster := q.redis.(*redis.ClusterClient)
	if !cluster {
		pushTokens(ctx, pipe, pools)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	if cluster {
		wake := q.redis.Pipeline()
		pushTokens(ctx, wake, pools)
		_, _ = wake.Exec(ctx) // without tokens the workers look within a second
	}
	for i, cmd := range cmds {
		switch n, err := cmd.Int64(); {
		case redis.HasErrorPrefix(err, "NOSCRIPT"):
			unknown, errs[i] = append(unknown, i), err
		case err != nil:
			errs[i] = err
		case n != 0 && n != 1: // 0: an earlier call brought it there
			errs[i] = fmt.Errorf("unexpected answer %d of the enqueue script", n)
		}
	}
	return unknown
}

// pushTokens announces n tasks in each pool: each token ends the wait of one server.
func pushTokens(ctx context.Context, pipe redis.Pipeliner, pools map[string]int) {
	for pool, n := range pools {
		pipe.LPush(ctx, wakeKey(pool), slices.Repeat([]any{"1"}, min(n, wakeTokens))...)
		pipe.LTrim(ctx, wakeKey(pool), 0, wakeTokens-1)
	}
}

func toArgs(names []string) []any {
	args := make([]any, len(names))
	for i, name := range names {
		args[i] = name
	}
	return args
}
