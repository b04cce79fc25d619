package queue

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

const (
	// maxRetry is a net below the ledger's own retries: with none left asynq would archive a dead worker's task for 90 days.
	maxRetry = 5
	// taskTimeout lies far beyond any job's own: when asynq's context ends first, the handler's return value is thrown away.
	taskTimeout = 24 * time.Hour
	// chunk bounds the tasks that one caller brings to a pipeline, so that a large batch does not delay lone jobs.
	chunk = 250
	// wakeTokens bounds the list of a pool: more servers than that wake within a second by themselves.
	wakeTokens = 64
	// sendTimeout bounds one pipeline; the ledger has the jobs, so nothing is lost by giving up.
	sendTimeout = 5 * time.Second
)

// script is one call of asynq's enqueue script, caught before it was sent.
type script struct {
	sha, src string
	keys     []string
	args     []any
	queue    string
}

// Enqueue sends tasks and answers one error for each, nil where the task is in its queue, also when an earlier call brought it there. Tasks of
// callers that come at the same time share a round trip. An error leaves open whether the task went in; sending it again is harmless.
func (q *Queue) Enqueue(ctx context.Context, tasks []Task) []error {
	errs := make([]error, len(tasks))
	scripts := make([]script, 0, len(tasks))
	at := make([]int, 0, len(tasks)) // at[i] is the task of scripts[i]
	rec := &recorder{}
	client := asynq.NewClientFromRedisClient(rec)
	for i, t := range tasks {
		s, err := q.record(ctx, client, rec, t)
		if err != nil {
			errs[i] = err
			continue
		}
		scripts, at = append(scripts, s), append(at, i)
	}
	for part := range slices.Chunk(scripts, chunk) {
		results, err := q.sends.Do(ctx, part)
		for i := range part {
			switch {
			case err != nil:
				errs[at[i]] = fmt.Errorf("enqueue job %s: %w", tasks[at[i]].Job, err)
			case results[i] != nil:
				errs[at[i]] = fmt.Errorf("enqueue job %s: %w", tasks[at[i]].Job, results[i])
			}
		}
		at = at[len(part):]
	}
	return errs
}

// record lets asynq encode a task and catches the script call that would send it.
func (q *Queue) record(ctx context.Context, client *asynq.Client, rec *recorder, t Task) (script, error) {
	if err := t.validate(); err != nil {
		return script{}, err
	}
	payload, err := t.payload()
	if err != nil {
		return script{}, fmt.Errorf("enqueue job %s: %w", t.Job, err)
	}
	opts := []asynq.Option{asynq.TaskID(t.ID()), asynq.Queue(t.Queue), asynq.MaxRetry(maxRetry), asynq.Timeout(taskTimeout)}
	if q.retention > 0 {
		opts = append(opts, asynq.Retention(q.retention))
	}
	rec.call = script{}
	if _, err := client.EnqueueContext(ctx, asynq.NewTask(t.Type, payload), opts...); err != nil {
		return script{}, fmt.Errorf("enqueue job %s: %w", t.Job, err)
	}
	if rec.call.src == "" {
		return script{}, fmt.Errorf("enqueue job %s: asynq did not send it as one script", t.Job)
	}
	rec.call.queue = t.Queue
	return rec.call, nil
}

// recorder stands in for Redis while asynq prepares an enqueue: asynq has no call for many tasks, and its message format is its own. It answers as
// Redis would and keeps the call. Any other command than asynq's three panics on the nil client, which the tests would show.
type recorder struct {
	redis.UniversalClient
	call script
}

// SAdd is asynq's registration of the queue's name; each pipeline does it anew, because asynq would not repeat it after a flush.
func (r *recorder) SAdd(ctx context.Context, _ string, _ ...any) *redis.IntCmd {
	return redis.NewIntResult(1, nil)
}

// EvalSha denies the script, so that Eval comes with its text.
func (r *recorder) EvalSha(_ context.Context, sha string, _ []string, _ ...any) *redis.Cmd {
	r.call.sha = sha
	return redis.NewCmdResult(nil, redis.ErrNoScript)
}

// Eval keeps the call and answers that the task went in.
func (r *recorder) Eval(_ context.Context, src string, keys []string, args ...any) *redis.Cmd {
	r.call.src, r.call.keys, r.call.args = src, keys, args
	return redis.NewCmdResult(int64(1), nil)
}
