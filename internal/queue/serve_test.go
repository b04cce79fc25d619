package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/testenv"
)

func TestServeHandsOutEachTaskOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		want := tasks(60)
		for i := range want {
			want[i].Queue = []string{"cpu.high", "cpu.normal", "cpu.low"}[i%3]
			want[i].Fence = int64(i)
		}
		other := queue.Task{Job: "other", Fence: 1, Type: "compute.query", Queue: "io.low"}
		var g got
		serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 4, Handler: g.handle})
		enqueue(t, q, append(want[:20:20], other)...) // while it is idle, and while it works
		enqueue(t, q, want[20:]...)
		eventually(t, "all tasks are handled", func() bool { return g.count() >= len(want) })
		eventually(t, "asynq knows that they are done", func() bool {
			active, err := q.Active(context.Background())
			return err == nil && len(active) == 0
		})
		if diff := cmp.Diff(want, g.sorted()); diff != "" {
			t.Errorf("tasks handled (-want +got):\n%s", diff)
		}
		if n := depth(t, q, "io.low"); n != 1 {
			t.Errorf("%d tasks in the other pool, want 1", n)
		}
	})
}

func TestServersShareTheWork(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		var here [3]atomic.Int32
		release := make(chan struct{})
		for i := range here {
			serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: func(context.Context, queue.Task) error {
				here[i].Add(1)
				<-release
				return nil
			}})
		}
		defer close(release)
		enqueue(t, q, tasks(3)...)
		eventually(t, "each server holds one of three tasks", func() bool {
			return here[0].Load() == 1 && here[1].Load() == 1 && here[2].Load() == 1
		})
	})
}

func TestGateHoldsTasksBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		room := make(chan struct{})
		asked := make(chan struct{}, 1000)
		var g got
		serve(t, q, queue.ServeConfig{
			Pool: millrace.IO, Slots: 4, Handler: g.handle,
			Room: func(ctx context.Context) (int, error) {
				asked <- struct{}{}
				select {
				case <-room:
					return 1, nil
				case <-ctx.Done():
					return 0, ctx.Err()
				}
			},
		})
		tk := task(1)
		tk.Queue = "io.normal"
		enqueue(t, q, tk)
		<-asked
		<-asked // it has waited in vain once
		if n := depth(t, q, "io.normal"); n != 1 || g.count() != 0 {
			t.Errorf("depth %d, handled %d while there is no room, want 1, 0", n, g.count())
		}
		close(room)
		eventually(t, "the task is handled", func() bool { return g.count() == 1 })
	})
}

func TestEndWaitsForHandlersAndStartsNone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		started, release := make(chan struct{}, 100), make(chan struct{})
		var begun, done atomic.Int32
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		ended := make(chan error, 1)
		go func() {
			ended <- q.Serve(ctx, queue.ServeConfig{Pool: millrace.CPU, Slots: 2, Drain: time.Minute,
				Handler: func(ctx context.Context, _ queue.Task) error {
					begun.Add(1)
					started <- struct{}{}
					<-release
					if ctx.Err() != nil {
						t.Error("the handler's context ended with Serve's, long before the drain was over")
					}
					done.Add(1)
					return nil
				}})
		}()
		enqueue(t, q, tasks(10)...)
		<-started
		<-started
		cancel()
		close(release) // both slots are free at once, with eight tasks waiting
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if done.Load() != begun.Load() {
			t.Errorf("Serve returned with %d of %d handlers done", done.Load(), begun.Load())
		}
		if n := depth(t, q, "cpu.normal"); n != 8 {
			t.Errorf("%d tasks left, want the 8 that were not begun", n)
		}
	})
}

func TestDrainEndsTheHandlersContext(t *testing.T) {
	t.Parallel()
	q := open(t, dialEmbedded(t))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	started := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- q.Serve(ctx, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Drain: 10 * time.Millisecond,
			Handler: func(ctx context.Context, _ queue.Task) error {
				close(started)
				<-ctx.Done() // for ever, if the drain did not end it
				return nil
			}})
	}()
	enqueue(t, q, task(1))
	<-started
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// deliverHook calls back when a dequeue script has brought a task and before asynq sees it.
type deliverHook struct {
	counter
	delivered func()
}

func (h *deliverHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		h.look(cmd)
		return err
	}
}

func (h *deliverHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			h.look(cmd)
		}
		return err
	}
}

func (h *deliverHook) look(cmd redis.Cmder) {
	if c, ok := cmd.(*redis.Cmd); ok && queue.IsDequeue(scriptKeys(cmd)) {
		if tasks, err := c.Slice(); err == nil && len(tasks) > 0 {
			h.delivered()
		}
	}
}

// scriptKeys are the keys of a call of a script.
func scriptKeys(cmd redis.Cmder) []string {
	args := cmd.Args()
	if !strings.HasPrefix(cmd.Name(), "eval") || len(args) < 3 {
		return nil
	}
	var keys []string
	if n, ok := args[2].(int); ok && len(args) >= 3+n {
		for _, k := range args[3 : 3+n] {
			keys = append(keys, fmt.Sprint(k))
		}
	}
	return keys
}

func TestTaskTakenWhileServeEndsGoesBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		e.client.AddHook(&deliverHook{delivered: cancel})
		ended := make(chan error, 1)
		go func() {
			ended <- q.Serve(ctx, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: func(context.Context, queue.Task) error {
				t.Error("a handler started after the end")
				return nil
			}})
		}()
		enqueue(t, q, task(1))
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		info, err := asynq.NewInspectorFromRedisClient(e.client).GetTaskInfo("cpu.normal", task(1).ID())
		if err != nil || info.State != asynq.TaskStatePending || info.Retried != 0 {
			t.Errorf("the task is %+v, %v, want pending with no retry spent", info, err)
		}
		if n := e.client.LLen(context.Background(), queue.WakeKey("cpu")).Val(); n < 1 {
			t.Error("no token tells the other servers of it")
		}
	})
}

func TestHandlersErrors(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		var archived, again, done = task(1), task(2), task(3)
		cause := errors.New("corrupt image")
		serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 2, Handler: func(_ context.Context, tk queue.Task) error {
			switch tk.Job {
			case archived.Job:
				return queue.Final(cause)
			case again.Job:
				return errors.New("the ledger is out of reach")
			}
			return queue.Final(nil)
		}})
		enqueue(t, q, archived, again, done)
		i := asynq.NewInspectorFromRedisClient(e.client)
		state := func(tk queue.Task) (asynq.TaskState, *asynq.TaskInfo) {
			info, err := i.GetTaskInfo(tk.Queue, tk.ID())
			if err != nil {
				return 0, nil
			}
			return info.State, info
		}
		eventually(t, "a final error archives the task", func() bool { s, _ := state(archived); return s == asynq.TaskStateArchived })
		if _, info := state(archived); info.LastErr != cause.Error() {
			t.Errorf("the archived task says %q, want %q", info.LastErr, cause)
		}
		eventually(t, "another error brings the task back later", func() bool { s, _ := state(again); return s == asynq.TaskStateRetry })
		if _, info := state(again); info.Retried != 1 {
			t.Errorf("Retried = %d, want 1", info.Retried)
		}
		eventually(t, "a task without an error is gone", func() bool { s, _ := state(done); return s == 0 })
	})
}

func TestFinalKeepsItsCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("x")
	err := queue.Final(fmt.Errorf("work: %w", cause))
	if !errors.Is(err, cause) || !errors.Is(err, asynq.SkipRetry) || err.Error() != "work: x" {
		t.Errorf("Final = %v", err)
	}
	if queue.Final(nil) != nil {
		t.Error("Final(nil) is an error")
	}
}

func TestForeignPayloadIsArchived(t *testing.T) {
	t.Parallel()
	c := dialEmbedded(t)
	q := open(t, c)
	serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: func(context.Context, queue.Task) error {
		t.Error("the handler got a task without a job")
		return nil
	}})
	info, err := asynq.NewClientFromRedisClient(c).Enqueue(asynq.NewTask("x", []byte("not ours")), asynq.Queue("cpu.low"))
	if err != nil {
		t.Fatal(err)
	}
	i := asynq.NewInspectorFromRedisClient(c)
	eventually(t, "it is archived", func() bool {
		info, err := i.GetTaskInfo("cpu.low", info.ID)
		return err == nil && info.State == asynq.TaskStateArchived
	})
}

// counter counts the commands that leave a client.
type counter struct{ n atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { c.n.Add(1); return next(ctx, cmd) }
}
func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { c.n.Add(1); return next(ctx, cmds) }
}

// spins is far above what a waiting server sends in two seconds, about 20, and far below what a loop without a pause does, thousands.
const spins = 200

func TestIdleServerDoesNotSpin(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		var g got
		serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: g.handle})
		enqueue(t, q, task(1))
		eventually(t, "the server works", func() bool { return g.count() == 1 })
		var c counter
		e.client.AddHook(&c)
		<-time.After(2 * time.Second)
		if n := c.n.Load(); n > spins {
			t.Errorf("an idle server sent %d commands in two seconds", n)
		}
	})
}

func TestServeOutlivesRedis(t *testing.T) {
	t.Parallel()
	s := testenv.StartRedis(t)
	client := dial(t, s.URL)
	q := open(t, client)
	var g got
	serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: g.handle})
	enqueue(t, q, task(1))
	eventually(t, "the server works", func() bool { return g.count() == 1 })
	s.Kill()
	var c counter
	client.AddHook(&c)
	<-time.After(2 * time.Second)
	if n := c.n.Load(); n > spins {
		t.Errorf("a server without Redis sent %d commands in two seconds", n)
	}
	s.Start(t)
	eventually(t, "Redis takes tasks again", func() bool { return q.Enqueue(context.Background(), []queue.Task{task(2)})[0] == nil })
	eventually(t, "the server works again", func() bool { return g.count() == 2 })
}

func TestServeBeginsWithoutRedis(t *testing.T) {
	t.Parallel()
	s := testenv.StartRedis(t)
	s.Kill()
	q := open(t, dial(t, s.URL))
	var g got
	serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: g.handle})
	s.Start(t)
	eventually(t, "Redis takes tasks", func() bool { return q.Enqueue(context.Background(), []queue.Task{task(1)})[0] == nil })
	eventually(t, "the server works", func() bool { return g.count() == 1 })
}

func TestServePollsWhereBlockingIsForbidden(t *testing.T) {
	t.Parallel()
	client := dial(t, testenv.Redis(t))
	if err := client.Do(context.Background(), "ACL", "SETUSER", "default", "-brpop").Err(); err != nil {
		t.Fatal(err)
	}
	q := open(t, client)
	var c counter
	client.AddHook(&c)
	var g got
	serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: g.handle})
	enqueue(t, q, tasks(5)...)
	eventually(t, "tasks are handled", func() bool { return g.count() == 5 })
	before := c.n.Load()
	<-time.After(2 * time.Second)
	if n := c.n.Load() - before; n > spins {
		t.Errorf("a polling server sent %d commands in two seconds", n)
	}
}

func TestServeThatIsNotRecognisedAsksForPolling(t *testing.T) {
	t.Parallel()
	q := open(t, dialEmbedded(t))
	var g got
	again, err := q.ServeUnrecognised(t.Context(), queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: g.handle})
	if !again || err != nil {
		t.Errorf("run = %v, %v, want true: serve again by polling", again, err)
	}
}

func TestServeWantsItsConfig(t *testing.T) {
	t.Parallel()
	q := open(t, dialEmbedded(t))
	handler := func(context.Context, queue.Task) error { return nil }
	for _, cfg := range []queue.ServeConfig{
		{Slots: 1, Handler: handler}, {Pool: millrace.CPU, Handler: handler}, {Pool: millrace.CPU, Slots: 1},
	} {
		if err := q.Serve(t.Context(), cfg); err == nil {
			t.Errorf("Serve(%+v) = nil", cfg)
		}
	}
}

// TestGateNeverSpins lets asynq's loop run against a gate whose every part fails at once.
func TestGateNeverSpins(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		room func(context.Context) (int, error)
		wait func(context.Context) error
	}{
		{"no room", func(context.Context) (int, error) { return 0, errors.New("no") }, nil},
		{"no waiting", nil, func(context.Context) error { return errors.New("no") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client := dialEmbedded(t)
			var c counter
			client.AddHook(&c)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			g := queue.GateForTest(ctx, client, tt.room, tt.wait)
			calls := 0
			keys := []string{"asynq:{x}:pending", "asynq:{x}:paused", "asynq:{x}:active", "asynq:{x}:lease"}
			for ctx.Err() == nil {
				if err := redis.NewScript("return nil").Run(ctx, g, keys, 0, "asynq:{x}:t:").Err(); err == nil {
					t.Error("a dequeue from nothing = nil")
				}
				calls++
			}
			if calls > spins || c.n.Load() > spins {
				t.Errorf("%d calls, %d commands in a second", calls, c.n.Load())
			}
		})
	}
}

func TestIsDequeue(t *testing.T) {
	t.Parallel()
	client := dialEmbedded(t)
	var mu sync.Mutex
	var keys []string
	client.AddHook(&keysHook{seen: func(k []string) { mu.Lock(); keys = append(keys, strings.Join(k, " ")); mu.Unlock() }})
	q := open(t, client)
	var g got
	stop := serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: g.handle})
	enqueue(t, q, task(1))
	eventually(t, "the task is handled", func() bool { return g.count() == 1 })
	stop()
	dequeues := 0
	for _, k := range keys {
		if queue.IsDequeue(strings.Fields(k)) {
			dequeues++
			if !strings.Contains(k, ":active") || !strings.Contains(k, ":lease") {
				t.Errorf("taken for a dequeue: %s", k)
			}
		}
	}
	if dequeues == 0 {
		t.Errorf("no dequeue among the scripts of this asynq: %q", keys)
	}
}

// keysHook reports the keys of each script.
type keysHook struct {
	counter
	seen func([]string)
}

func (h *keysHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.seen(scriptKeys(cmd))
		return next(ctx, cmd)
	}
}

func (h *keysHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			h.seen(scriptKeys(cmd))
		}
		return next(ctx, cmds)
	}
}
