package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// BenchmarkDeepQueue compares a queue of 10,000 jobs with one of 1,000,000 (DEEP overrides it): the rate of accepting, the rate of ending, list
// and status calls, and Redis' memory. Ratios are deep over shallow.
func BenchmarkDeepQueue(b *testing.B) {
	deep := 1_000_000
	if n, err := strconv.Atoi(os.Getenv("DEEP")); err == nil {
		deep = n
	}
	s := start(b, "production", "MILLRACE_LOG_LEVEL=warn")
	f := s.upload("tiny.bin", noise(64))
	for b.Loop() {
		s.fill(b, f, 10_000)
		shallow := s.look(b, f)
		s.fill(b, f, deep)
		below := s.look(b, f)
		b.ReportMetric(below.accepted/shallow.accepted, "accept-ratio")
		b.ReportMetric(below.ended/shallow.ended, "end-ratio")
		b.ReportMetric(below.list/shallow.list, "list-p99-ratio")
		b.ReportMetric(below.status/shallow.status, "status-p99-ratio")
		b.ReportMetric(below.redis/shallow.redis, "redis-ratio")
		b.Logf("at 10,000: %+v", shallow)
		b.Logf("at %d: %+v", deep, below)
	}
}

// depthFigures are what a depth is judged by.
type depthFigures struct {
	accepted, ended float64 // jobs/s
	list, status    float64 // p99, ms
	redis           float64 // MiB
}

// fill stops the workers and submits jobs in batches until about n wait.
func (s *server) fill(b *testing.B, f file, n int) {
	b.Helper()
	if p := s.processes["worker"]; p != nil {
		p.terminate()
		delete(s.processes, "worker")
	}
	line := fmt.Sprintf(quickJob, f.ID) + "\n"
	batch := []byte(strings.Repeat(line, 1000))
	var left atomic.Int64
	left.Store(int64(n / 1000))
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for left.Add(-1) >= 0 {
				if status, _, raw, err := s.do("POST", "/v1/jobs/batch", "application/x-ndjson", bytes.NewReader(batch)); status != http.StatusAccepted {
					b.Errorf("batch = %d, %v: %.300s", status, err, raw)
					return
				}
			}
		})
	}
	clients.Wait()
}

// look measures at the present depth.
func (s *server) look(b *testing.B, f file) depthFigures {
	b.Helper()
	<-time.After(3 * time.Second) // the refill fills its window
	var d depthFigures
	d.redis = s.redisMemory(b)
	d.accepted = s.acceptRate(b, f, 5*time.Second)
	var id struct{ ID string }
	raw, _ := json.Marshal(s.list("?limit=1").Items[0])
	_ = json.Unmarshal(raw, &id)
	d.list = s.p99(func() { s.list("?limit=50&state=queued") }, 200)
	d.status = s.p99(func() { s.job(id.ID) }, 1000)
	before := s.succeeded(b)
	s.launch("worker", "worker", "--processes", "2")
	s.waitWorkers(2)
	began := time.Now()
	at := s.succeeded(b)
	if at < before {
		b.Fatal("the count of ended jobs fell")
	}
	<-time.After(4 * time.Second)
	d.ended = float64(s.succeeded(b)-at) / time.Since(began).Seconds()
	return d
}

func (s *server) acceptRate(b *testing.B, f file, d time.Duration) float64 {
	b.Helper()
	body := fmt.Appendf(nil, quickJob, f.ID)
	var n atomic.Int64
	var clients sync.WaitGroup
	began := time.Now()
	for range 64 {
		clients.Go(func() {
			for time.Since(began) < d {
				if status, _, raw, err := s.do("POST", "/v1/jobs", "application/json", bytes.NewReader(body)); status != http.StatusAccepted {
					b.Errorf("submit = %d, %v: %.300s", status, err, raw)
					return
				}
				n.Add(1)
			}
		})
	}
	clients.Wait()
	return float64(n.Load()) / time.Since(began).Seconds()
}

func (s *server) p99(call func(), n int) float64 {
	took := make([]time.Duration, 0, n)
	for range n {
		began := time.Now()
		call()
		took = append(took, time.Since(began))
	}
	return quantile(took, 0.99)
}

func (s *server) redisMemory(b *testing.B) float64 {
	b.Helper()
	o, err := redis.ParseURL(s.redis)
	if err != nil {
		b.Fatal(err)
	}
	c := redis.NewClient(o)
	defer c.Close()
	info, err := c.InfoMap(b.Context(), "memory").Result()
	if err != nil {
		b.Fatal(err)
	}
	n, err := strconv.ParseFloat(info["Memory"]["used_memory"], 64)
	if err != nil {
		b.Fatal(err)
	}
	return n / (1 << 20)
}

// succeeded counts in the database: counting over the API would be load.
func (s *server) succeeded(b *testing.B) (n int) {
	b.Helper()
	url := ""
	for _, v := range s.env {
		if rest, ok := strings.CutPrefix(v, "DATABASE_URL="); ok {
			url = rest
		}
	}
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(b.Context())
	if err := conn.QueryRow(b.Context(), `SELECT count(*) FROM jobs WHERE state = 'succeeded'`).Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}
