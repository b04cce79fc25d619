package queue_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/queue"
)

// bounded is a Room for so many handlers at once, and what it saw.
type bounded struct {
	size      int
	mu        sync.Mutex
	now, most int
	freed     chan struct{}
}

func newBounded(size int) *bounded { return &bounded{size: size, freed: make(chan struct{}, 1)} }

func (b *bounded) room(ctx context.Context) (int, error) {
	for {
		b.mu.Lock()
		n := b.size - b.now
		b.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		select {
		case <-b.freed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (b *bounded) add(n int) {
	b.mu.Lock()
	b.now += n
	b.most = max(b.most, b.now)
	b.mu.Unlock()
	if n < 0 {
		select {
		case b.freed <- struct{}{}:
		default:
		}
	}
}

func TestManyTasksAtOnceKeepTheRoom(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		const n, size = 500, 24
		q := open(t, e.client)
		all := tasks(n)
		for i := range all {
			all[i].Queue = millrace.QueueName(millrace.CPU, millrace.Priorities()[i%3])
		}
		enqueue(t, q, all...)
		b := newBounded(size)
		var g got
		var c counter
		e.client.AddHook(&c)
		stop := serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 100, Room: b.room, Handler: func(ctx context.Context, tk queue.Task) error {
			b.add(1)
			defer b.add(-1)
			return g.handle(ctx, tk)
		}})
		eventually(t, "all tasks are handled", func() bool { return g.count() == n })
		stop()
		seen := map[string]bool{}
		for _, tk := range g.sorted() {
			seen[tk.ID()] = true
		}
		if len(seen) != n || g.count() != n {
			t.Errorf("%d deliveries of %d tasks, want %d of each", g.count(), len(seen), n)
		}
		if b.most > size {
			t.Errorf("%d tasks with handlers at once, room was for %d", b.most, size)
		}
		keys, err := e.client.Keys(context.Background(), "asynq:*:t:*").Result()
		if err != nil || len(keys) != 0 {
			t.Errorf("%d tasks are left in Redis, %v", len(keys), err)
		}
	})
}

func TestWhatWasTakenAheadGoesBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		const n = 60
		enqueue(t, q, tasks(n)...)
		var handled atomic.Int64
		ended := make(chan error, 1)
		go func() {
			ended <- q.Serve(ctx, queue.ServeConfig{Pool: millrace.CPU, Slots: 100, Room: func(context.Context) (int, error) { return n, nil },
				Handler: func(context.Context, queue.Task) error {
					if handled.Add(1) == 5 { // while a look's tasks are being handed out
						cancel()
					}
					return nil
				}})
		}()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		// What asynq had in its own hands when it ended may still be called active: nobody claims it, so the leader sends it again.
		active, err := q.Active(context.Background())
		if left := depth(t, q, "cpu.normal"); err != nil || int64(left+len(active))+handled.Load() < n {
			t.Errorf("%d handled, %d in the queue and %d active, %v, want %d together", handled.Load(), left, len(active), err, n)
		}
	})
}

// One bad task among others that end at the same time must not fail them.
func TestEndsTogetherFailAlone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		const n = 20
		var arrived sync.WaitGroup
		arrived.Add(n)
		begin := make(chan struct{})
		var g got
		stop := serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: n, Room: newBounded(n).room, Handler: func(ctx context.Context, tk queue.Task) error {
			arrived.Done()
			<-begin
			return g.handle(ctx, tk)
		}})
		enqueue(t, q, tasks(n)...)
		arrived.Wait()
		if err := e.client.LRem(context.Background(), "asynq:{cpu.normal}:active", 0, task(7).ID()).Err(); err != nil {
			t.Fatal(err)
		}
		close(begin)
		stop()
		for i := range n {
			_, err := e.client.HGet(context.Background(), fmt.Sprintf("asynq:{cpu.normal}:t:%s", task(i).ID()), "state").Result()
			if gone := err == redis.Nil; gone != (i != 7) {
				t.Errorf("task %d gone: %v, %v", i, gone, err)
			}
		}
	})
}

func TestOldTokensAreSweptAndNewOnesHeard(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		ctx := context.Background()
		for range 50 {
			if err := e.client.LPush(ctx, queue.WakeKey("cpu"), "1").Err(); err != nil {
				t.Fatal(err)
			}
		}
		var g got
		serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 4, Room: newBounded(4).room, Handler: g.handle})
		eventually(t, "old tokens are gone", func() bool { return e.client.LLen(ctx, queue.WakeKey("cpu")).Val() == 0 })
		for i := range 20 {
			enqueue(t, q, task(i))
			eventually(t, "the task is handled", func() bool { return g.count() == i+1 })
		}
		i := asynq.NewInspectorFromRedisClient(e.client)
		eventually(t, "the queue is empty", func() bool {
			info, err := i.GetQueueInfo("cpu.normal")
			return err == nil && info.Size == 0
		})
	})
}
