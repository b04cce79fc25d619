package queue

import (
	"context"
	"fmt"
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

// pipeline sends scripts in one round trip, with the tokens that announce their tasks. Those of one queue are one call.
func (q *Queue) pipeline(ctx context.Context, scripts []script) []error {
	groups := groupBy(len(scripts), func(i int) string { return scripts[i].sha + scripts[i].queue })
	calls := make([]*call, len(groups))
	pools := map[string]int{}
	var queues []any
	for n, group := range groups {
		keys, args := make([][]string, len(group)), make([][]any, len(group))
		for k, i := range group {
			keys[k], args[k] = scripts[i].keys, scripts[i].args
		}
		one := scripts[group[0]]
		calls[n] = each(q.enqueues.learn(one.sha, one.src), keys, args)
		pools[poolOf(one.queue)] += len(group)
		queues = append(queues, one.queue)
	}
	register := func(pipe redis.Pipeliner) { pipe.SAdd(ctx, asynqQueues, queues...) }
	announce := func(pipe redis.Pipeliner) { pushTokens(ctx, pipe, pools) }
	// A pipeline to one server keeps its order; in a cluster the token could overtake the task, so there it follows.
	if _, cluster := q.redis.(*redis.ClusterClient); cluster {
		run(ctx, q.redis, calls, register, nil)
		wake := q.redis.Pipeline()
		announce(wake)
		_, _ = wake.Exec(ctx) // without tokens the workers look within two seconds
	} else {
		run(ctx, q.redis, calls, register, announce)
	}
	errs := make([]error, len(scripts))
	for n, group := range groups {
		answers, err := calls[n].results(len(group))
		for k, i := range group {
			if errs[i] = err; err == nil {
				errs[i] = taken(answers[k])
			}
		}
	}
	return errs
}

// taken reads the answer of asynq's enqueue script.
func taken(answer any) error {
	if n, ok := answer.(int64); ok && (n == 0 || n == 1) { // 0: an earlier call brought it there
		return nil
	}
	if err := failure(answer); err != nil {
		return err
	}
	return fmt.Errorf("unexpected answer %v of the enqueue script", answer)
}

// groupBy sorts the indexes below n into groups of one key each, in the order of their first.
func groupBy(n int, key func(i int) string) [][]int {
	var groups [][]int
	at := map[string]int{}
	for i := range n {
		k := key(i)
		g, ok := at[k]
		if !ok {
			g = len(groups)
			at[k], groups = g, append(groups, nil)
		}
		groups[g] = append(groups[g], i)
	}
	return groups
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
