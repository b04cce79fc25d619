package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// BenchmarkBatch is one client that submits 1,000 jobs per request; nobody works.
func BenchmarkBatch(b *testing.B) {
	eachModeBench(b, func(b *testing.B, s *server) {
		f := s.upload("tiny.bin", noise(64))
		s.call("POST", "/v1/queues/io.normal/pause", "", nil, http.StatusOK, nil)
		body := []byte(strings.Repeat(fmt.Sprintf(quickJob, f.ID)+"\n", 1000))
		n, cpu, began := 0, s.cpu(), time.Now()
		for b.Loop() {
			for range 20 {
				if status, _, raw, err := s.do("POST", "/v1/jobs/batch", "application/x-ndjson", bytes.NewReader(body)); status != http.StatusAccepted {
					b.Fatalf("batch = %d, %v: %.300s", status, err, raw)
				}
				n += 1000
			}
		}
		b.ReportMetric(float64(n)/time.Since(began).Seconds(), "jobs/s")
		b.ReportMetric(float64((s.cpu()-cpu).Microseconds())/float64(n), "µs-cpu/job")
	})
}
