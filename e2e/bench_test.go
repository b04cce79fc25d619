package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// The benchmarks drive the built binaries as a user would and report what a user sees. Run them on a quiet machine:
//
//	go test -run '^$' -bench . -benchtime 1x ./e2e
//
// Each says in its own metrics what it measured; ns/op means nothing here.

// eachModeBench runs a benchmark in both modes.
func eachModeBench(b *testing.B, bench func(b *testing.B, s *server)) {
	for _, mode := range []string{"embedded", "production"} {
		b.Run(mode, func(b *testing.B) { bench(b, start(b, mode, "MILLRACE_LOG_LEVEL=warn")) })
	}
}

// BenchmarkLoneJob is one client that submits a job, waits until it is seen done, and pauses: nothing else is in the system.
func BenchmarkLoneJob(b *testing.B) {
	eachModeBench(b, func(b *testing.B, s *server) {
		f := s.upload("tiny.bin", noise(64))
		for range 50 { // connections and statements are made once
			s.finish(s.submit(quickJob, f.ID).ID)
		}
		var took []time.Duration
		for b.Loop() {
			for range 200 {
				began := time.Now()
				s.finish(s.submit(quickJob, f.ID).ID)
				took = append(took, time.Since(began))
				<-time.After(20 * time.Millisecond)
			}
		}
		report(b, took, "job")
	})
}

// BenchmarkIdle is what a server costs that has nothing to do: CPU and the sum of proportional set sizes over all its processes, Redis included.
func BenchmarkIdle(b *testing.B) {
	eachModeBench(b, func(b *testing.B, s *server) {
		<-time.After(5 * time.Second) // what the start set going
		for b.Loop() {
			before, began := s.cpu(), time.Now()
			<-time.After(20 * time.Second)
			b.ReportMetric(100*(s.cpu()-before).Seconds()/time.Since(began).Seconds(), "%core")
			b.ReportMetric(float64(s.memory("Pss"))/(1<<20), "MiB-PSS")
		}
	})
}

// BenchmarkDrain compares how fast a deep queue empties with a shallow one: the last 15,000 of 20,000 jobs against 2,000.
func BenchmarkDrain(b *testing.B) {
	eachModeBench(b, func(b *testing.B, s *server) {
		f := s.upload("tiny.bin", noise(64))
		for b.Loop() {
			shallow := s.drain(b, f, 2000, 0)
			deep := s.drain(b, f, 20000, 5000)
			b.ReportMetric(shallow, "shallow-jobs/s")
			b.ReportMetric(deep, "deep-jobs/s")
			b.ReportMetric(deep/shallow, "deep/shallow")
		}
	})
}

// drain submits n jobs that become due together and answers the rate at which all but the first skip of them end.
func (s *server) drain(b *testing.B, f file, n, skip int) float64 {
	b.Helper()
	due := time.Now().Add(time.Duration(n/500+3) * time.Second).UTC()
	tag := fmt.Sprintf("drain-%d", due.UnixNano())
	spec := fmt.Appendf(nil, `{"type":"compute.checksum","input":{"file":%q},"params":{"algorithms":["crc32"]},"cache":false,"tags":[%q],"run_at":%q}`,
		f.ID, tag, due.Format(time.RFC3339Nano))
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range n / 8 {
				if status, _, raw, err := s.do("POST", "/v1/jobs", "application/json", bytes.NewReader(spec)); status != http.StatusAccepted {
					b.Errorf("submit = %d, %v: %s", status, err, raw)
					return
				}
			}
		})
	}
	clients.Wait()
	if time.Now().After(due) {
		b.Error("the jobs were due before all were submitted")
	}
	// Afterwards, from the jobs themselves: looking on would be load.
	ended := s.finishTimes(tag, n)
	return float64(n-skip-1) / ended[n-1].Sub(ended[skip]).Seconds()
}

// finishTimes waits until all n jobs with the tag have ended and answers when they did, in order.
func (s *server) finishTimes(tag string, n int) []time.Time {
	s.t.Helper()
	eventually(s.t, 5*time.Minute, "all jobs done", func() bool {
		<-time.After(time.Second)
		for _, state := range []string{"scheduled", "queued", "running", "retrying"} {
			if len(s.list("?limit=1&state="+state+"&tag="+tag).Items) > 0 {
				return false
			}
		}
		return true
	})
	var ended []time.Time
	for cursor := ""; ; {
		page := s.list("?limit=500&tag=" + tag + cursor)
		for _, j := range page.Items {
			ended = append(ended, *j.FinishedAt)
		}
		if page.Next == nil {
			break
		}
		cursor = "&cursor=" + *page.Next
	}
	if len(ended) != n {
		s.t.Fatalf("%d jobs with the tag, want %d", len(ended), n)
	}
	slices.SortFunc(ended, time.Time.Compare)
	return ended
}

type jobPage struct {
	Items []job   `json:"items"`
	Next  *string `json:"next_cursor"`
}

func (s *server) list(query string) jobPage {
	s.t.Helper()
	var page jobPage
	s.call("GET", "/v1/jobs"+query, "", nil, http.StatusOK, &page)
	return page
}

// BenchmarkStatusUnderLoad is GET /v1/jobs/{id} while every core resizes pictures.
func BenchmarkStatusUnderLoad(b *testing.B) {
	eachModeBench(b, func(b *testing.B, s *server) {
		f := s.upload("photo.jpg", photo(b, 4032, 3024))
		for b.Loop() {
			var last job
			const pictures = 200
			began := time.Now()
			for range pictures {
				last = s.submit(`{"type":"image.resize","input":{"file":%q},"params":{"width":800},"cache":false}`, f.ID)
			}
			var took []time.Duration
			for {
				asked := time.Now()
				j := s.job(last.ID)
				took = append(took, time.Since(asked))
				if final(j.State) {
					break
				}
				<-time.After(5 * time.Millisecond)
			}
			b.ReportMetric(pictures/time.Since(began).Seconds(), "pictures/s")
			report(b, took, "GET")
		}
	})
}

// BenchmarkFirstStart is from the start of the binary on an empty directory to the first resized picture, and to ready on the second start.
func BenchmarkFirstStart(b *testing.B) {
	picture := photo(b, 1200, 800)
	for b.Loop() {
		began := time.Now()
		s := start(b, "embedded", "MILLRACE_LOG_LEVEL=warn")
		f := s.upload("photo.jpg", picture)
		s.finish(s.submit(`{"type":"image.resize","input":{"file":%q},"params":{"width":300}}`, f.ID).ID)
		b.ReportMetric(time.Since(began).Seconds(), "s-to-picture")
		s.stop()
		began = time.Now()
		s.up()
		b.ReportMetric(time.Since(began).Seconds(), "s-second-start")
		s.stop()
	}
}

// report gives the quantiles that people ask for.
func report(b *testing.B, took []time.Duration, what string) {
	b.ReportMetric(quantile(took, 0.5), what+"-p50-ms")
	b.ReportMetric(quantile(took, 0.99), what+"-p99-ms")
}

// quantile is in milliseconds.
func quantile(took []time.Duration, q float64) float64 {
	slices.Sort(took)
	return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000
}
