package queue_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/hibiken/asynq"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/queue"
)

func TestPauseHoldsTasksBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		ctx := t.Context()
		pause := func(name string, paused bool) {
			t.Helper()
			for range 2 { // again changes nothing
				if err := q.Pause(ctx, name, paused); err != nil {
					t.Fatalf("Pause(%s, %v): %v", name, paused, err)
				}
			}
		}
		pause("cpu.normal", false) // nothing to resume
		pause("cpu.normal", true)
		pause("quarantine", true)
		if got, err := q.Paused(ctx); err != nil || !slices.Equal(got, []string{"cpu.normal", "quarantine"}) {
			t.Fatalf("Paused = %v, %v", got, err)
		}
		var g got
		serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: g.handle})
		high := task(2)
		high.Queue = "cpu.high"
		enqueue(t, q, task(1), high)
		eventually(t, "the task of the other queue is handled", func() bool { return g.count() == 1 })
		if all := g.sorted(); all[0] != high {
			t.Errorf("a task of a paused queue was handed out: %+v", all)
		}
		info, err := asynq.NewInspectorFromRedisClient(e.client).GetQueueInfo("cpu.normal")
		if err != nil || !info.Paused {
			t.Errorf("asynq's own view = %+v, %v, want paused", info, err)
		}
		pause("cpu.normal", false)
		eventually(t, "the task is handled after the resumption", func() bool { return g.count() == 2 })
		if got, err := q.Paused(ctx); err != nil || !slices.Equal(got, []string{"quarantine"}) {
			t.Errorf("Paused = %v, %v", got, err)
		}
		if err := q.Pause(ctx, "no.such", true); err == nil {
			t.Error("Pause of a queue that does not exist = nil")
		}
	})
}

func TestServeQuarantineAlone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		alone := task(1)
		alone.Queue = string(millrace.Quarantine)
		var g got
		serve(t, q, queue.ServeConfig{Pool: millrace.Quarantine, Slots: 1, Handler: g.handle})
		enqueue(t, q, alone, task(2))
		eventually(t, "the quarantined task is handled", func() bool { return g.count() == 1 })
		if all := g.sorted(); all[0] != alone {
			t.Errorf("handled %+v, want %+v", all, alone)
		}
		if n := depth(t, q, "cpu.normal"); n != 1 {
			t.Errorf("%d tasks wait in cpu.normal, want 1", n)
		}
	})
}

func TestTaskGivenBackIsDeliveredAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		var calls atomic.Int64
		again := make(chan struct{})
		stop := serve(t, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: func(context.Context, queue.Task) error {
			if calls.Add(1) == 1 {
				return queue.ErrEnded
			}
			close(again)
			return nil
		}})
		enqueue(t, q, task(1))
		<-again
		stop()
		if n := depth(t, q, "cpu.normal"); n != 0 || calls.Load() != 2 {
			t.Errorf("%d tasks wait, %d deliveries", n, calls.Load())
		}
		if info, err := asynq.NewInspectorFromRedisClient(e.client).GetTaskInfo("cpu.normal", task(1).ID()); err == nil {
			t.Errorf("the task is still there: %+v", info)
		}
	})
}
