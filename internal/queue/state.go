package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace"
)

// Depths counts the tasks that wait in each queue.
func (q *Queue) Depths(ctx context.Context) (map[string]int, error) {
	pipe := q.redis.Pipeline()
	cmds := map[string]*redis.IntCmd{}
	for _, name := range millrace.Queues() {
		cmds[name] = pipe.LLen(ctx, pendingKey(name))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read the queues' depths: %w", err)
	}
	depths := make(map[string]int, len(cmds))
	for name, cmd := range cmds {
		depths[name] = int(cmd.Val())
	}
	return depths, nil
}

// Active lists what asynq has handed out and not heard of again: running work, and entries of workers that died. Types are not known here.
func (q *Queue) Active(ctx context.Context) ([]Task, error) {
	return q.list(ctx, "active", func(pipe redis.Pipeliner, name string) *redis.StringSliceCmd {
		return pipe.LRange(ctx, activeKey(name), 0, -1)
	})
}

// Archived lists what asynq will not hand out again: failed jobs, and deliveries that no worker could take. Types are not known here.
func (q *Queue) Archived(ctx context.Context) ([]Task, error) {
	return q.list(ctx, "archived", func(pipe redis.Pipeliner, name string) *redis.StringSliceCmd {
		return pipe.ZRange(ctx, archivedKey(name), 0, -1)
	})
}

// list reads the names of tasks from one key of each queue.
func (q *Queue) list(ctx context.Context, what string, read func(pipe redis.Pipeliner, queue string) *redis.StringSliceCmd) ([]Task, error) {
	pipe := q.redis.Pipeline()
	cmds := map[string]*redis.StringSliceCmd{}
	for _, name := range millrace.Queues() {
		cmds[name] = read(pipe, name)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read what is %s in the queues: %w", what, err)
	}
	var tasks []Task
	for _, name := range millrace.Queues() {
		for _, id := range cmds[name].Val() {
			if job, fence, ok := parseID(id); ok {
				tasks = append(tasks, Task{Job: job, Fence: fence, Queue: name})
			}
		}
	}
	return tasks, nil
}

// Register makes all queues known to inspector and dashboard, which asynq itself would not do again after Redis lost its memory.
func (q *Queue) Register(ctx context.Context) error {
	if err := q.redis.SAdd(ctx, asynqQueues, toArgs(millrace.Queues())...).Err(); err != nil {
		return fmt.Errorf("register the queues: %w", err)
	}
	return nil
}

// trimAtMost bounds what one Trim deletes of each queue: a script per task, and the rest goes with the next call.
const trimAtMost = 500

// Trim leaves the newest keep failed tasks in each queue's archive and says how many it removed.
func (q *Queue) Trim(ctx context.Context, keep int) (int, error) {
	removed := 0
	for _, name := range millrace.Queues() {
		n, err := q.redis.ZCard(ctx, archivedKey(name)).Result()
		if err != nil {
			return removed, fmt.Errorf("trim the archive of %s: %w", name, err)
		}
		over := min(n-int64(keep), trimAtMost)
		if over <= 0 {
			continue
		}
		oldest, err := q.redis.ZRange(ctx, archivedKey(name), 0, over-1).Result()
		if err != nil {
			return removed, fmt.Errorf("trim the archive of %s: %w", name, err)
		}
		for _, id := range oldest {
			if ctx.Err() != nil {
				return removed, fmt.Errorf("trim the archive of %s: %w", name, context.Cause(ctx))
			}
			// Through the inspector, which removes the task's hash too.
			err := q.inspect.DeleteTask(name, id)
			if err != nil && !errors.Is(err, asynq.ErrTaskNotFound) && !errors.Is(err, asynq.ErrQueueNotFound) {
				return removed, fmt.Errorf("trim the archive of %s: %w", name, err)
			}
			removed++
		}
	}
	return removed, nil
}

// Pulse counts up a number that only ever grows, and reads which run of Redis counts it. A smaller number or another run means that Redis may have
// lost its memory. The run is empty where Redis does not tell it, as the embedded one.
func (q *Queue) Pulse(ctx context.Context) (n int64, runID string, err error) {
	if n, err = q.redis.Incr(ctx, pulseKey).Result(); err != nil {
		return 0, "", fmt.Errorf("pulse of Redis: %w", err)
	}
	if cluster, ok := q.redis.(*redis.ClusterClient); ok {
		runID, err = clusterRunID(ctx, cluster)
	} else {
		runID, err = readRunID(ctx, q.redis)
	}
	if err != nil {
		return 0, "", fmt.Errorf("pulse of Redis: %w", err)
	}
	return n, runID, nil
}

// clusterRunID joins the runs of all masters, because each holds some of the queues.
func clusterRunID(ctx context.Context, cluster *redis.ClusterClient) (string, error) {
	ids := make(chan string, 1024) // the most masters a cluster has
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		id, err := readRunID(ctx, master)
		ids <- id
		return err
	})
	close(ids)
	if err != nil {
		return "", err
	}
	var all []string
	for id := range ids {
		all = append(all, id)
	}
	slices.Sort(all)
	return strings.Join(all, "+"), nil
}

// readRunID reads run_id of INFO; a server that does not know the section has none.
func readRunID(ctx context.Context, c redis.Cmdable) (string, error) {
	info, err := c.Info(ctx, "server").Result()
	if _, refused := errors.AsType[redis.Error](err); refused && !errors.Is(err, redis.Nil) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return infoField(info, "run_id"), nil
}

// infoField reads one line of INFO, "" when it is not there.
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if key, value, ok := strings.Cut(line, ":"); ok && key == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Lock takes a mark that ends by itself after ttl and says whether it was free. There is no unlock: the mark is how often something is done.
func (q *Queue) Lock(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	err := q.redis.SetArgs(ctx, key, "1", redis.SetArgs{Mode: "NX", TTL: ttl}).Err()
	switch {
	case errors.Is(err, redis.Nil):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("lock %s: %w", key, err)
	}
	return true, nil
}

// Ping answers nil when Redis does.
func (q *Queue) Ping(ctx context.Context) error {
	if err := q.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping Redis: %w", err)
	}
	return nil
}

// PoolStats are figures of the client's connection pool since it was made, and at this moment.
type PoolStats struct {
	Max, Open, Idle  int    // connections
	Hits, Misses     uint64 // acquisitions that found an idle connection, and that did not
	Timeouts, Stales uint64 // acquisitions that gave up, and connections closed as dead
}

// PoolStats reads the figures.
func (q *Queue) PoolStats() PoolStats {
	s := q.redis.PoolStats()
	return PoolStats{
		Max: poolSize(q.redis), Open: int(s.TotalConns), Idle: int(s.IdleConns),
		Hits: uint64(s.Hits), Misses: uint64(s.Misses), Timeouts: uint64(s.Timeouts), Stales: uint64(s.StaleConns),
	}
}

func poolSize(c redis.UniversalClient) int {
	switch c := c.(type) {
	case *redis.Client:
		return c.Options().PoolSize
	case *redis.ClusterClient:
		return c.Options().PoolSize
	}
	return 0
}
