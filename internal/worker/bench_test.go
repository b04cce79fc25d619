package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/internal/worker"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/blob"
	"github.com/millrace/millrace/store/blob/disk"
	"github.com/millrace/millrace/store/postgres"
	"github.com/millrace/millrace/tasks"
)

// BenchmarkDrain lets one worker process work off b.N jobs that are waiting, each of which reads a small input. Compare the CPU per job, by
// process: the time depends on what else the machine does. Run it with -benchtime=20000x.
func BenchmarkDrain(b *testing.B) {
	b.Run("postgres", func(b *testing.B) {
		ctx := context.Background()
		log := slog.New(slog.DiscardHandler)
		client, err := queue.Dial(testenv.Redis(b), queue.Options{PoolSize: 32})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { client.Close() })
		q, err := queue.Open(queue.Config{Redis: client, Log: log})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(q.Close)
		ledger, err := postgres.Open(ctx, postgres.Config{DSN: testenv.Postgres(b), MaxConns: 4, Log: log})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { ledger.Close() })
		blobs, err := disk.Open(disk.Config{Dir: filepath.Join(b.TempDir(), "blobs")})
		if err != nil {
			b.Fatal(err)
		}
		drain(b, &site{ledger, q, client, blobs})
	})
	b.Run("embedded", func(b *testing.B) {
		rig := testrig.New(b)
		drain(b, &site{rig.Ledger, rig.Queue, rig.Redis, rig.Blobs})
	})
}

// site is where a drain happens.
type site struct {
	ledger store.Ledger
	queue  *queue.Queue
	redis  redis.UniversalClient
	blobs  blob.Store
}

// window is how many tasks are in the queue at most, as in the product.
const window = 2000

func drain(b *testing.B, s *site) {
	ctx := context.Background()
	queued := s.submit(ctx, b, b.N)
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan struct{})
	read := func(ctx context.Context, call *tasks.Call, _ params) (any, error) {
		in, err := call.Open(ctx, 0)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, in, make([]byte, 512))
		return map[string]int64{"bytes": n}, err
	}
	types, err := tasks.NewList(tasks.Bind(tasks.Declaration[params]{Name: "test.work", Title: "Work", Version: "1", Pool: millrace.IO}, read))
	if err != nil {
		b.Fatal(err)
	}
	ledger := &ending{WorkerLedger: s.ledger, left: &left, done: done}
	w := worker.New(worker.Config{Ledger: ledger, Queue: s.queue, Blobs: s.blobs, Types: types,
		Events: notify.NewPublisher(notify.Config{Redis: s.redis}), Log: slog.New(slog.DiscardHandler),
		Self: millrace.Worker{Host: "test", BootID: "boot", PID: 1, Role: "worker", CPUSlots: 1, IOSlots: 16}})
	s.send(ctx, b, queued[:min(window, b.N)])
	b.ReportAllocs()
	b.ResetTimer()
	own, children := cpuOf(os.Getpid()), childrenCPU()
	running, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() {
		if err := w.Run(running); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
	for sent := min(window, b.N); sent < b.N; sent = min(sent+window/2, b.N) {
		for left.Load() > int64(b.N-sent+window/2) {
			<-time.After(time.Millisecond)
		}
		s.send(ctx, b, queued[sent:min(sent+window/2, b.N)])
	}
	<-done
	b.StopTimer()
	n := float64(b.N)
	b.ReportMetric(float64((cpuOf(os.Getpid())-own).Microseconds())/n, "own-µs/job")
	for name, used := range childrenCPU() {
		b.ReportMetric(float64((used-children[name]).Microseconds())/n, name+"-µs/job")
	}
	b.ReportMetric(n/b.Elapsed().Seconds(), "jobs/s")
	b.ReportMetric(n/float64(ledger.groups.Load()), "jobs/group")
	stop()
	all.Wait()
}

// submit puts n jobs with one input into the ledger.
func (s *site) submit(ctx context.Context, b *testing.B, n int) []queue.Task {
	b.Helper()
	w, err := s.blobs.Create(ctx)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 64)); err != nil {
		b.Fatal(err)
	}
	sum, size := w.Sum()
	key, err := w.Commit(ctx)
	if err != nil {
		b.Fatal(err)
	}
	input := millrace.File{ID: newID(), Tenant: millrace.DefaultTenant, Name: "in", Size: size, SHA256: sum, Blob: key,
		ContentType: "application/octet-stream", CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
	if err := s.ledger.CreateFile(ctx, input, nil); err != nil {
		b.Fatal(err)
	}
	jobs, queued := make([]store.NewJob, n), make([]queue.Task, n)
	for i := range jobs {
		jobs[i].Job = &millrace.Job{ID: newID(), Tenant: millrace.DefaultTenant, Type: "test.work", State: millrace.Queued, Priority: millrace.Normal,
			Queue: "io.normal", Params: json.RawMessage(`{}`), Inputs: []millrace.Input{{File: input.ID}}, Run: 1, MaxAttempts: 3, Timeout: time.Minute,
			Retention: time.Hour, CreatedAt: time.Now(), Backoff: millrace.Backoff{Initial: time.Second, Max: time.Second, Factor: 2}}
		queued[i] = queue.Task{Job: jobs[i].ID, Type: "test.work", Queue: "io.normal"}
	}
	for at := 0; at < n; at += 500 {
		for _, err := range s.ledger.Insert(ctx, jobs[at:min(at+500, n)]) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	return queued
}

func (s *site) send(ctx context.Context, b *testing.B, tasks []queue.Task) {
	b.Helper()
	for _, err := range s.queue.Enqueue(ctx, tasks) {
		if err != nil {
			b.Fatal(err)
		}
	}
}

// ending counts outcomes and says when the last was written.
type ending struct {
	store.WorkerLedger
	groups atomic.Int64
	left   *atomic.Int64
	done   chan struct{}
}

func (l *ending) Finish(ctx context.Context, outcomes []store.Outcome) ([]bool, error) {
	won, err := l.WorkerLedger.Finish(ctx, outcomes)
	l.groups.Add(1)
	n := 0
	for _, w := range won {
		if w {
			n++
		}
	}
	if n > 0 && l.left.Add(-int64(n)) == 0 {
		close(l.done)
	}
	return won, err
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// cpuOf is what a process has used; 0 where /proc does not tell.
func cpuOf(pid int) time.Duration {
	if pid == os.Getpid() {
		var u syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
			return 0
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	var ns int64
	if raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid)); err == nil {
		_, _ = fmt.Sscan(string(raw), &ns)
	}
	return time.Duration(ns)
}

// childrenCPU is what the servers below this process have used, by the program's name.
func childrenCPU() map[string]time.Duration {
	parents, names := map[int]int{}, map[int]string{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		raw, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		head, tail, _ := strings.Cut(string(raw), ") ")
		_, name, _ := strings.Cut(head, "(")
		fields := strings.Fields(tail)
		if len(fields) < 2 {
			continue
		}
		parents[pid], _ = strconv.Atoi(fields[1])
		names[pid] = name
	}
	used := map[string]time.Duration{}
	for pid, name := range names {
		for up := pid; up > 1; up = parents[up] {
			if parents[up] == os.Getpid() && (name == "postgres" || name == "redis-server") {
				used[name] += cpuOf(pid)
			}
		}
	}
	return used
}
