package worker_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/internal/worker"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/tasks"
)

// quarantined puts a job into quarantine as two crashes would.
func quarantined(j *millrace.Job) { j.Queue = string(millrace.Quarantine) }

func TestAloneWorksOneAfterTheOther(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int64
	f := newFixture(t, func(context.Context, *tasks.Call) (any, error) {
		n := now.Add(1)
		defer now.Add(-1)
		most.Store(max(n, most.Load()))
		<-time.After(5 * time.Millisecond)
		return nil, nil
	}, func(c *worker.Config) { c.Alone, c.Self.CPUSlots = true, 4 })
	other := f.submit(t).ID
	var ids []string
	for range 5 {
		ids = append(ids, f.submit(t, quarantined).ID)
	}
	for _, id := range ids {
		f.await(id, millrace.Succeeded)
	}
	if most.Load() != 1 {
		t.Errorf("%d handlers at once, want one", most.Load())
	}
	if job := f.Job(other); job.State != millrace.Queued {
		t.Errorf("a job of another queue is %s, want queued", job.State)
	}
}

func TestAloneEndsWhenItIsIdle(t *testing.T) {
	t.Parallel()
	rig := newFixture(t, nil, func(c *worker.Config) { c.Self.CPUSlots = 0 }) // stores only
	types, err := tasks.NewList(tasks.Bind(tasks.Declaration[params]{Name: "test.work", Title: "Work", Version: "1", Pool: millrace.CPU},
		func(context.Context, *tasks.Call, params) (any, error) {
			<-time.After(50 * time.Millisecond) // longer than Idle: work is no idleness
			return nil, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	c := worker.Config{Ledger: rig.Ledger, Queue: rig.Queue, Blobs: rig.Blobs, Types: types, Events: rig, Log: rig.Log,
		Self: millrace.Worker{Host: "test", BootID: "boot", PID: 2, Role: "worker"}, Alone: true, Idle: 20 * time.Millisecond}
	id := rig.submit(t, quarantined).ID
	for run := 0; rig.Job(id).State != millrace.Succeeded; run++ { // a machine under load may not bring the job within Idle
		if err := worker.New(c).Run(t.Context()); err != nil {
			t.Fatalf("Run = %v, want nil", err)
		}
		if run == 100 {
			t.Fatal("the job is not done after 100 runs")
		}
	}
	if workers, err := rig.Ledger.Workers(t.Context()); err != nil || len(workers) != 0 {
		t.Errorf("workers = %+v, %v, want that it has left", workers, err)
	}
}

func TestQuarantineIsCalledFor(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	ledger := &calling{}
	newFixture(t, nil, func(c *worker.Config) {
		ledger.WorkerLedger, c.Ledger = c.Ledger, ledger
		c.Quarantine = func() { calls.Add(1) }
	})
	testrig.Eventually(t, "the quarantine to be called for twice", func() bool { return calls.Load() >= 2 })
	if n := ledger.beats.Load(); calls.Load() > n {
		t.Errorf("%d calls in %d beats", calls.Load(), n)
	}
}

// calling is a ledger in which a quarantined job always waits.
type calling struct {
	store.WorkerLedger
	beats atomic.Int64
}

func (l *calling) Beat(ctx context.Context, b store.Beat) (store.BeatReply, error) {
	l.beats.Add(1)
	reply, err := l.WorkerLedger.Beat(ctx, b)
	reply.Quarantine = true
	return reply, err
}

func TestDrainGivesBackADeliveryThatItMeets(t *testing.T) {
	t.Parallel()
	asked, drains := make(chan struct{}), make(chan struct{})
	ledger := &faulty{claim: func(claim func() ([]store.Claimed, error)) ([]store.Claimed, error) {
		select {
		case <-asked:
		default:
			close(asked)
		}
		<-drains
		return nil, errAway
	}}
	q := &watchedQueue{ended: drains}
	f := newFixture(t, nil, ledger.on, func(c *worker.Config) { q.Queue, c.Queue = c.Queue, q })
	job := f.submit(t)
	<-asked
	f.stop()
	depths, err := f.Queue.Depths(t.Context())
	if err != nil || depths["cpu.normal"] != 1 {
		t.Errorf("tasks by queue = %v, %v, want the job's in its queue", depths, err)
	}
	if got := f.Job(job.ID); got.State != millrace.Queued || got.Starts != 0 {
		t.Errorf("job = %+v", got)
	}
}

func TestOutcomesGoInGroupsOfBoundedSize(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	var most atomic.Int64
	hold := make(chan struct{})
	ledger := &watching{seen: func(outcomes []store.Outcome) {
		<-hold // so that those after the first come together
		n := 0
		for _, o := range outcomes {
			n += len(o.Result)
		}
		most.Store(max(most.Load(), int64(n)))
	}}
	f := newFixture(t, func(context.Context, *tasks.Call) (any, error) { return strings.Repeat("x", size), nil },
		func(c *worker.Config) { ledger.WorkerLedger, c.Ledger, c.Self.CPUSlots = c.Ledger, ledger, 16 })
	var ids []string
	for range 16 {
		ids = append(ids, f.submit(t).ID)
	}
	for _, id := range ids {
		f.await(id, millrace.Running)
	}
	close(hold)
	for _, id := range ids {
		f.await(id, millrace.Succeeded)
	}
	if n := most.Load(); n < size || n > 8<<20 {
		t.Errorf("the largest group brought %d bytes, want no more than 8 MiB", n)
	}
}

// watching sees the groups of outcomes.
type watching struct {
	store.WorkerLedger
	seen func([]store.Outcome)
}

func (l *watching) Finish(ctx context.Context, outcomes []store.Outcome) ([]bool, error) {
	l.seen(outcomes)
	return l.WorkerLedger.Finish(ctx, outcomes)
}
