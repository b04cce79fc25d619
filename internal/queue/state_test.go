package queue_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hibiken/asynq"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/testenv"
)

// TestLayout pins the private keys of asynq that this package reads to what asynq's own inspector says.
func TestLayout(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		ctx := context.Background()
		q := open(t, e.client)
		if err := q.Register(ctx); err != nil {
			t.Fatal(err)
		}
		i := asynq.NewInspectorFromRedisClient(e.client)
		names, err := i.Queues()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(millrace.Queues(), names, cmpopts.SortSlices(strings.Compare)); diff != "" {
			t.Errorf("asynq's queues after Register (-want +got):\n%s", diff)
		}
		held, release := make(chan struct{}), make(chan struct{})
		stop := serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: func(context.Context, queue.Task) error {
			held <- struct{}{}
			<-release
			return queue.Final(errors.New("no"))
		}})
		enqueue(t, q, tasks(3)...)
		<-held
		info, err := i.GetQueueInfo("cpu.normal")
		if err != nil {
			t.Fatal(err)
		}
		if n := depth(t, q, "cpu.normal"); n != 2 || info.Pending != 2 {
			t.Errorf("depth = %d, asynq says %d, want 2", n, info.Pending)
		}
		active, err := q.Active(ctx)
		want := task(0)
		want.Type = ""
		if err != nil || info.Active != 1 || !slices.Equal(active, []queue.Task{want}) {
			t.Errorf("Active = %+v, %v, asynq says %d; want %+v", active, err, info.Active, want)
		}
		release <- struct{}{}
		<-held
		release <- struct{}{}
		<-held
		close(release)
		stop()
		if archived, err := q.Archived(ctx); err != nil || len(archived) != 3 || !slices.Contains(archived, want) {
			t.Errorf("Archived = %+v, %v; want three with %+v among them", archived, err, want)
		}
		if n, err := q.Trim(ctx, 1); n != 2 || err != nil {
			t.Errorf("Trim of an archive of 3 to 1 = %d, %v, want 2", n, err)
		}
		if info, err := i.GetQueueInfo("cpu.normal"); err != nil || info.Archived != 1 {
			t.Errorf("asynq's archive after Trim: %+v, %v, want 1", info, err)
		}
		hashes, err := e.client.Keys(ctx, "asynq:{cpu.normal}:t:*").Result()
		if err != nil || len(hashes) != 1 {
			t.Errorf("%d tasks in Redis after Trim, %v, want 1: %q", len(hashes), err, hashes)
		}
		if n, err := q.Trim(ctx, 1); n != 0 || err != nil {
			t.Errorf("Trim again = %d, %v, want 0", n, err)
		}
	})
}

func TestTrimKeepsTheNewest(t *testing.T) {
	t.Parallel()
	c := dialEmbedded(t)
	q := open(t, c)
	i := asynq.NewInspectorFromRedisClient(c)
	enqueue(t, q, tasks(4)...)
	ctx := context.Background()
	for n := range 4 {
		if err := i.ArchiveTask("cpu.normal", task(n).ID()); err != nil {
			t.Fatal(err)
		}
		// asynq stamps whole seconds; the order must not hang on how the members sort.
		at := time.Now().Add(-time.Duration(n) * time.Hour).Unix()
		if err := c.Do(ctx, "ZADD", "asynq:{cpu.normal}:archived", "XX", at, task(n).ID()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := q.Trim(ctx, 2); n != 2 || err != nil {
		t.Fatalf("Trim = %d, %v, want 2", n, err)
	}
	left, err := i.ListArchivedTasks("cpu.normal")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, l := range left {
		ids = append(ids, l.ID)
	}
	slices.Sort(ids)
	if diff := cmp.Diff([]string{task(0).ID(), task(1).ID()}, ids); diff != "" {
		t.Errorf("left in the archive (-want +got):\n%s", diff)
	}
}

func TestPulseTellsOfLostMemory(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		ctx := context.Background()
		q := open(t, e.client)
		var last int64
		var run string
		for i := range 3 {
			n, id, err := q.Pulse(ctx)
			if err != nil || n != last+1 {
				t.Fatalf("Pulse number %d = %d, %v", i, n, err)
			}
			if (id != "") != e.real || i > 0 && id != run {
				t.Errorf("run id %q after %q; real Redis: %v", id, run, e.real)
			}
			last, run = n, id
		}
		if err := e.client.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		if n, _, err := q.Pulse(ctx); n != 1 || err != nil {
			t.Errorf("Pulse after a flush = %d, %v, want 1", n, err)
		}
	})
}

func TestPulseTellsOfARestart(t *testing.T) {
	t.Parallel()
	s := testenv.StartRedis(t)
	q := open(t, dial(t, s.URL))
	_, before, err := q.Pulse(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if _, _, err := q.Pulse(context.Background()); err == nil {
		t.Error("Pulse without Redis = nil")
	}
	s.Start(t)
	eventually(t, "the pulse is back, of another run", func() bool {
		_, after, err := q.Pulse(context.Background())
		return err == nil && after != "" && after != before
	})
}

func TestLock(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		ctx := context.Background()
		q := open(t, e.client)
		for i, want := range []bool{true, false, false} {
			if ok, err := q.Lock(ctx, "millrace:refill", time.Minute); ok != want || err != nil {
				t.Errorf("Lock number %d = %v, %v, want %v", i, ok, err, want)
			}
		}
		if ok, err := q.Lock(ctx, "millrace:other", 300*time.Millisecond); !ok || err != nil {
			t.Errorf("Lock of another key = %v, %v", ok, err)
		}
		eventually(t, "the mark ends by itself", func() bool {
			ok, err := q.Lock(ctx, "millrace:other", time.Minute)
			return ok && err == nil
		})
	})
}

func TestPingAndPoolStats(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		if err := q.Ping(context.Background()); err != nil {
			t.Fatal(err)
		}
		s := q.PoolStats()
		if s.Max != 32 || s.Open < 1 || s.Hits+s.Misses < 1 {
			t.Errorf("PoolStats = %+v", s)
		}
		if err := e.client.Close(); err != nil {
			t.Fatal(err)
		}
		if err := q.Ping(context.Background()); err == nil {
			t.Error("Ping over a closed client = nil")
		}
	})
}
