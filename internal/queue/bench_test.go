package queue_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/testenv"
)

// eachB runs a benchmark against Redis and against the embedded one.
func eachB(b *testing.B, bench func(b *testing.B, c redis.UniversalClient)) {
	b.Run("redis", func(b *testing.B) { bench(b, dial(b, testenv.Redis(b))) })
	b.Run("embedded", func(b *testing.B) { bench(b, dialEmbedded(b)) })
}

// twoProcesses serves what two worker processes serve: two cpu pools of one slot, two io pools of 16.
func twoProcesses(b *testing.B, q *queue.Queue, handler func(context.Context, queue.Task) error) {
	for range 2 {
		serve(b, q, queue.ServeConfig{Pool: millrace.CPU, Slots: 1, Handler: handler})
		serve(b, q, queue.ServeConfig{Pool: millrace.IO, Slots: 16, Handler: handler})
	}
}

// BenchmarkPickup measures the time from Enqueue to the handler while nothing else is going on. Each iteration waits before it enqueues, so ns/op
// says nothing; the metrics do.
func BenchmarkPickup(b *testing.B) {
	eachB(b, func(b *testing.B, c redis.UniversalClient) {
		q := open(b, c)
		came := make(chan time.Time, 1)
		twoProcesses(b, q, func(context.Context, queue.Task) error { came <- time.Now(); return nil })
		var took []time.Duration
		n := 0
		for b.Loop() {
			n++
			<-time.After(time.Duration(20+n%30) * time.Millisecond) // until all servers wait again
			begin := time.Now()
			enqueue(b, q, task(n))
			took = append(took, (<-came).Sub(begin))
		}
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
		b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
	})
}

// BenchmarkIdle measures what waiting costs: run it with -benchtime=1x.
func BenchmarkIdle(b *testing.B) {
	const span = 20 * time.Second
	eachB(b, func(b *testing.B, c redis.UniversalClient) {
		q := open(b, c)
		var g got
		twoProcesses(b, q, g.handle)
		enqueue(b, q, task(1))
		eventually(b, "the servers work", func() bool { return g.count() == 1 })
		var n counter
		c.AddHook(&n)
		for b.Loop() {
			own, server, sent := ownCPU(b), serverCPU(c), n.n.Load()
			<-time.After(span)
			b.ReportMetric(100*(ownCPU(b)-own).Seconds()/span.Seconds(), "process-%core")
			b.ReportMetric(100*(serverCPU(c)-server).Seconds()/span.Seconds(), "redis-%core")
			b.ReportMetric(float64(n.n.Load()-sent)/span.Seconds(), "commands/s")
		}
	})
}

// BenchmarkEnqueue measures tasks sent by many callers, one task each.
func BenchmarkEnqueue(b *testing.B) {
	eachB(b, func(b *testing.B, c redis.UniversalClient) {
		q := open(b, c)
		var n atomic.Int64
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				enqueue(b, q, task(int(n.Add(1))))
			}
		})
	})
}

// BenchmarkEnqueueMany measures tasks sent by one caller, 250 at a time.
func BenchmarkEnqueueMany(b *testing.B) {
	eachB(b, func(b *testing.B, c redis.UniversalClient) {
		q := open(b, c)
		n := 0
		for b.Loop() {
			all := make([]queue.Task, 250)
			for i := range all {
				n++
				all[i] = task(n)
			}
			enqueue(b, q, all...)
			if n%2000 == 0 { // what the embedded one is given at most: its lists are slices that each push copies
				b.StopTimer()
				if err := c.FlushAll(context.Background()).Err(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "tasks/s")
	})
}

// BenchmarkHandle measures the way of a task through the servers of two processes to a handler that does nothing.
func BenchmarkHandle(b *testing.B) {
	eachB(b, func(b *testing.B, c redis.UniversalClient) {
		q := open(b, c)
		for i := range (b.N + 999) / 1000 {
			all := make([]queue.Task, min(1000, b.N-1000*i))
			for k := range all {
				all[k] = task(1000*i + k)
				all[k].Queue = []string{"cpu.normal", "io.normal"}[k%2]
			}
			enqueue(b, q, all...)
		}
		left := int64(b.N)
		done := make(chan struct{})
		b.ResetTimer()
		twoProcesses(b, q, func(context.Context, queue.Task) error {
			if atomic.AddInt64(&left, -1) == 0 {
				close(done)
			}
			return nil
		})
		<-done
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
	})
}

func ownCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// serverCPU is what Redis has used, 0 where the server is this process.
func serverCPU(c redis.UniversalClient) time.Duration {
	var sum float64
	for line := range strings.Lines(c.Info(context.Background(), "cpu").Val()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			f, _ := strconv.ParseFloat(value, 64) // a server that does not tell counts as nothing
			sum += f
		}
	}
	return time.Duration(sum * float64(time.Second))
}
