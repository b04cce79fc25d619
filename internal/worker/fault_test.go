package worker_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/internal/worker"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/tasks"
)

var errAway = errors.New("the ledger is away")

// faulty is the real ledger with calls that a test gets at.
type faulty struct {
	store.WorkerLedger
	beat   func() error                                                                     // before a beat; nil: nothing
	claim  func(claim func() ([]store.Claimed, error)) ([]store.Claimed, error)             // around a claim
	finish func(ctx context.Context, finish func() ([]bool, error)) (won []bool, err error) // around an outcome
}

func (l *faulty) Beat(ctx context.Context, b store.Beat) (store.BeatReply, error) {
	if l.beat != nil {
		if err := l.beat(); err != nil {
			return store.BeatReply{}, err
		}
	}
	return l.WorkerLedger.Beat(ctx, b)
}

func (l *faulty) Claim(ctx context.Context, worker string, deliveries []store.Delivery) ([]store.Claimed, error) {
	claim := func() ([]store.Claimed, error) { return l.WorkerLedger.Claim(ctx, worker, deliveries) }
	if l.claim != nil {
		return l.claim(claim)
	}
	return claim()
}

func (l *faulty) Finish(ctx context.Context, outcomes []store.Outcome) ([]bool, error) {
	finish := func() ([]bool, error) { return l.WorkerLedger.Finish(ctx, outcomes) }
	if l.finish != nil {
		return l.finish(ctx, finish)
	}
	return finish()
}

// on puts the faults between a worker and its ledger.
func (l *faulty) on(c *worker.Config) {
	l.WorkerLedger = c.Ledger
	c.Ledger = l
}

// A ledger that is away for longer than the worker counts itself alive, and back before anybody buried it.
func TestJobsGivenUpAreRescuedThoughTheWorkerLives(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	var calls atomic.Int64
	ledger := &faulty{beat: func() error {
		if away.Load() {
			return errAway
		}
		return nil
	}}
	f := newFixture(t, func(ctx context.Context, _ *tasks.Call) (any, error) {
		if calls.Add(1) == 1 {
			away.Store(true)
			<-ctx.Done()
			away.Store(false)
		}
		return nil, ctx.Err()
	}, ledger.on)
	id := f.submit(t).ID
	testrig.Eventually(t, "the job that the worker gave up to be rescued", func() bool {
		n, err := f.Ledger.Rescue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
	f.send(t, id)
	job := f.await(id, millrace.Succeeded)
	if len(job.Attempts) != 2 || job.Attempts[0].Worker == job.Attempts[1].Worker || job.Attempt != 1 {
		t.Errorf("attempt %d, history %+v, want a second start under another id and one attempt spent", job.Attempt, job.Attempts)
	}
}

// watchedQueue tells when a pool's context has ended.
type watchedQueue struct {
	worker.Queue
	ended chan struct{}
}

func (q *watchedQueue) Serve(ctx context.Context, c queue.ServeConfig) error {
	stop := context.AfterFunc(ctx, func() { close(q.ended) })
	defer stop()
	return q.Queue.Serve(ctx, c)
}

func TestDrainEndsAnAttemptClaimedAfterItBegan(t *testing.T) {
	t.Parallel()
	q := &watchedQueue{ended: make(chan struct{})}
	asked := make(chan struct{})
	ledger := &faulty{claim: func(claim func() ([]store.Claimed, error)) ([]store.Claimed, error) {
		close(asked)
		<-q.ended
		return claim()
	}}
	f := newFixture(t, func(ctx context.Context, _ *tasks.Call) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}, ledger.on, func(c *worker.Config) {
		q.Queue, c.Queue = c.Queue, q
		c.Grace = 50 * time.Millisecond
	})
	id := f.submit(t).ID
	<-asked
	f.stop()
	if job := f.Job(id); job.State != millrace.Queued || len(job.Attempts) != 1 || job.Attempts[0].Outcome != millrace.AttemptReleased {
		t.Errorf("after the drain: state %s, history %+v, want the job put back", job.State, job.Attempts)
	}
	if workers, err := f.Ledger.Workers(t.Context()); err != nil || len(workers) != 0 {
		t.Errorf("workers after the drain = %+v, %v", workers, err)
	}
}

// The outcome is committed and its answer lost; before it is repeated, another file shares the bytes and the job is deleted.
func TestBytesThatOthersShareStayThoughTheOutcomeLost(t *testing.T) {
	t.Parallel()
	var f *fixture
	var id string
	shared := make(chan millrace.File, 1)
	lose := func() error {
		job := f.Job(id)
		out := job.Outputs[0]
		key, ok, err := f.Ledger.TakeBlob(t.Context(), job.Tenant, out.SHA256)
		if err != nil || !ok {
			return errors.Join(err, errors.New("the output's bytes are not known"))
		}
		file := millrace.File{ID: uuid.Must(uuid.NewV7()).String(), Tenant: job.Tenant, Name: "same.txt", Size: out.Size, SHA256: out.SHA256,
			ContentType: out.ContentType, Blob: key, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
		if err := errors.Join(f.Ledger.CreateFile(t.Context(), file, nil), f.Ledger.Delete(t.Context(), job.Tenant, id)); err != nil {
			return err
		}
		shared <- file
		return errAway
	}
	var calls atomic.Int64
	again := make(chan struct{})
	ledger := &faulty{finish: func(ctx context.Context, finish func() ([]bool, error)) ([]bool, error) {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("an outcome is written without a time limit")
		}
		won, err := finish()
		if calls.Add(1) == 1 && err == nil {
			return nil, lose()
		}
		if len(won) == 1 && won[0] {
			t.Error("the outcome of a deleted job has won")
		}
		close(again)
		return won, err
	}}
	begin := make(chan struct{})
	f = newFixture(t, func(ctx context.Context, call *tasks.Call) (any, error) {
		<-begin
		return nil, write(ctx, call, "out.txt", "the same bytes")
	}, ledger.on)
	id = f.submit(t).ID
	close(begin)
	<-again
	f.stop()
	file := <-shared
	r, err := f.Blobs.Open(t.Context(), file.Blob)
	if err != nil {
		t.Fatalf("open the file that shares the output's bytes: %v", err)
	}
	_ = r.Close()
}

func TestOutputLeftOpenIsNotPublished(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(ctx context.Context, call *tasks.Call) (any, error) {
		w, err := call.Create(ctx, "open.txt")
		if err != nil {
			return nil, err
		}
		_, err = w.Write([]byte("half"))
		return nil, err
	})
	job := f.await(f.submit(t, func(j *millrace.Job) { j.MaxAttempts = 1 }).ID, millrace.Failed)
	if job.Error.Code != millrace.CodeInternal || len(job.Outputs) != 0 {
		t.Errorf("error %+v, outputs %+v", job.Error, job.Outputs)
	}
	if n := len(f.blobs(t)); n != 1 {
		t.Errorf("%d blobs are left, want the input's only", n)
	}
}

func TestResultOfAnySizeEndsTheJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(context.Context, *tasks.Call) (any, error) { return strings.Repeat("x", 20<<20), nil })
	if job := f.await(f.submit(t).ID, millrace.Failed); job.Error.Code != millrace.CodeTooLarge || job.Attempt != 1 || job.Result != nil {
		t.Errorf("error %+v after %d attempts, %d bytes of result; want too_large after one", job.Error, job.Attempt, len(job.Result))
	}
}

// Where the ledger and the bytes share a disk that is full, the ledger has no room for the outcome before the attempt's bytes have gone.
func TestBytesOfAFailureGoBeforeItsOutcome(t *testing.T) {
	t.Parallel()
	var f *fixture
	var left atomic.Int64
	ledger := &faulty{finish: func(ctx context.Context, finish func() ([]bool, error)) ([]bool, error) {
		n, err := f.Blobs.Sweep(ctx, time.Now().Add(time.Hour))
		if err != nil {
			return nil, err
		}
		left.Add(int64(n))
		return finish()
	}}
	begin := make(chan struct{})
	f = newFixture(t, func(ctx context.Context, call *tasks.Call) (any, error) {
		<-begin
		if err := write(ctx, call, "out.txt", "half of it"); err != nil {
			return nil, err
		}
		return nil, errors.New("no space left")
	}, ledger.on)
	job := f.submit(t, func(j *millrace.Job) { j.MaxAttempts = 1 })
	close(begin)
	f.await(job.ID, millrace.Failed)
	if n := left.Load(); n != 0 {
		t.Errorf("%d half-written outputs were there when the ledger was asked, want none", n)
	}
}
