package queue_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/batch"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/testenv"
)

func TestEnqueueWritesWhatAsynqReads(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		want := queue.Task{Job: "0189-x", Fence: 7, Type: "file.hash", Queue: "io.high"}
		enqueue(t, q, task(1)) // Redis knows the script from here on
		enqueue(t, q, want)
		i := asynq.NewInspectorFromRedisClient(e.client)
		info, err := i.GetTaskInfo("io.high", "0189-x.7")
		if err != nil {
			t.Fatalf("asynq does not know the task: %v", err)
		}
		if info.Type != want.Type || string(info.Payload) != `{"job":"0189-x","fence":7}` || info.State != asynq.TaskStatePending {
			t.Errorf("task in asynq = %s %s %v", info.Type, info.Payload, info.State)
		}
		if info.MaxRetry != 5 || info.Timeout != 24*time.Hour || info.Retention != 0 {
			t.Errorf("MaxRetry %d, Timeout %v, Retention %v, want 5, 24h, 0", info.MaxRetry, info.Timeout, info.Retention)
		}
		// The token that wakes a server, and the name that the dashboard lists.
		if n := e.client.LLen(context.Background(), queue.WakeKey("io")).Val(); n != 1 {
			t.Errorf("%d wake-up tokens for the pool, want 1", n)
		}
		if names, err := i.Queues(); err != nil || len(names) != 2 {
			t.Errorf("asynq's queues = %v, %v", names, err)
		}
	})
}

func TestEnqueueAgainIsNoError(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		enqueue(t, q, task(1), task(1), task(2))
		enqueue(t, q, task(1))
		next := task(1)
		next.Fence++
		enqueue(t, q, next)
		if n := depth(t, q, "cpu.normal"); n != 3 {
			t.Errorf("depth = %d, want 3: two jobs, one of them with two fences", n)
		}
	})
}

func TestEnqueueAnswersForEachTask(t *testing.T) {
	t.Parallel()
	q := open(t, dialEmbedded(t))
	bad := []queue.Task{
		{Fence: 1, Type: "x", Queue: "cpu.low"},
		{Job: "a{b}", Fence: 1, Type: "x", Queue: "cpu.low"},
		{Job: "a", Fence: 1, Queue: "cpu.low"},
		{Job: "a", Fence: 1, Type: "x", Queue: "gpu.low"},
	}
	var all []queue.Task
	for i, b := range bad {
		all = append(all, task(i), b)
	}
	errs := q.Enqueue(context.Background(), all)
	for i, err := range errs {
		if wantErr := i%2 == 1; (err != nil) != wantErr {
			t.Errorf("Enqueue of %+v = %v", all[i], err)
		}
	}
	if n := depth(t, q, "cpu.normal"); n != len(bad) {
		t.Errorf("depth = %d, want %d: the good ones", n, len(bad))
	}
	if errs := q.Enqueue(context.Background(), nil); len(errs) != 0 {
		t.Errorf("Enqueue of nothing = %v", errs)
	}
}

func TestEnqueueFromManyCallers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		const callers, each = 40, 25
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for i := range each {
					tk := task(c*each + i)
					tk.Queue = millrace.Queues()[i%len(millrace.Queues())]
					enqueue(t, q, tk)
				}
			})
		}
		wg.Wait()
		sum := 0
		for _, name := range millrace.Queues() {
			sum += depth(t, q, name)
		}
		if sum != callers*each {
			t.Errorf("%d tasks in all queues, want %d", sum, callers*each)
		}
		// More than one chunk in one call, and a list of tokens that stays short.
		more := tasks(1200)
		for i := range more {
			more[i].Fence = 2
		}
		enqueue(t, q, more...)
		if n := e.client.LLen(context.Background(), queue.WakeKey("cpu")).Val(); n != 64 {
			t.Errorf("%d wake-up tokens, want 64", n)
		}
	})
}

func TestEnqueueAfterRedisForgotItsScripts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		ctx := context.Background()
		enqueue(t, q, task(1))
		if err := e.client.ScriptFlush(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		enqueue(t, q, tasks(300)...)
		if n := depth(t, q, "cpu.normal"); n != 300 {
			t.Errorf("depth = %d, want 300", n)
		}
		if err := e.client.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		enqueue(t, q, task(1))
		if _, err := asynq.NewInspectorFromRedisClient(e.client).GetQueueInfo("cpu.normal"); err != nil {
			t.Errorf("after a flush asynq does not know the queue: %v", err)
		}
	})
}

func TestEnqueueWithRetentionKeepsFinishedTasks(t *testing.T) {
	t.Parallel()
	c := dialEmbedded(t)
	q, err := queue.Open(queue.Config{Redis: c, Retention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	enqueue(t, q, task(1))
	serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: new(got).handle})
	i := asynq.NewInspectorFromRedisClient(c)
	eventually(t, "the finished task is kept", func() bool {
		info, err := i.GetTaskInfo("cpu.normal", task(1).ID())
		return err == nil && info.State == asynq.TaskStateCompleted
	})
}

func TestEnqueueWhileRedisIsAwayOrHangs(t *testing.T) {
	t.Parallel()
	s := testenv.StartRedis(t)
	q := open(t, dial(t, s.URL))
	enqueue(t, q, task(1))
	if err := s.Hang(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if errs := q.Enqueue(ctx, tasks(3)); len(errs) != 3 || !errors.Is(errs[2], context.DeadlineExceeded) {
		t.Errorf("Enqueue while Redis hangs = %v, want the deadline", errs)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	for _, err := range q.Enqueue(context.Background(), tasks(2)) {
		if err == nil {
			t.Error("Enqueue without Redis = nil")
		}
	}
	s.Start(t)
	eventually(t, "Redis takes tasks again", func() bool { return q.Enqueue(context.Background(), tasks(1))[0] == nil })
}

func TestCloseRefusesFurtherTasks(t *testing.T) {
	t.Parallel()
	q := open(t, dialEmbedded(t))
	q.Close()
	if err := q.Enqueue(context.Background(), tasks(1))[0]; !errors.Is(err, batch.ErrClosed) {
		t.Errorf("Enqueue after Close = %v, want ErrClosed", err)
	}
	q.Close()
}

func TestOpenWantsAClient(t *testing.T) {
	t.Parallel()
	if _, err := queue.Open(queue.Config{}); err == nil {
		t.Error("Open without a client = nil error")
	}
	if _, err := queue.Open(queue.Config{Redis: dialEmbedded(t), Retention: -1}); err == nil {
		t.Error("Open with a negative retention = nil error")
	}
}
