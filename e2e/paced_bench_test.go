package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// BenchmarkPaced submits 1,500 jobs a second for eight seconds and says, from the jobs themselves, how long they waited for a worker and how long
// they took from there to their outcome.
func BenchmarkPaced(b *testing.B) {
	eachModeBench(b, func(b *testing.B, s *server) {
		const clients, rate, seconds = 32, 1500, 8
		f := s.upload("tiny.bin", noise(64))
		for b.Loop() {
			tag := fmt.Sprintf("paced-%d", time.Now().UnixNano())
			body := fmt.Appendf(nil, `{"type":"compute.checksum","input":{"file":%q},"params":{"algorithms":["crc32"]},"cache":false,"tags":[%q]}`, f.ID, tag)
			var mu sync.Mutex
			var answered []time.Duration
			var all sync.WaitGroup
			for c := range clients {
				all.Go(func() {
					next := time.Now().Add(time.Duration(c) * time.Second / rate)
					for range rate * seconds / clients {
						<-time.After(time.Until(next))
						next = next.Add(clients * time.Second / rate)
						began := time.Now()
						if status, _, raw, err := s.do("POST", "/v1/jobs", "application/json", bytes.NewReader(body)); status != http.StatusAccepted {
							b.Errorf("submit = %d, %v: %s", status, err, raw)
							return
						}
						mu.Lock()
						answered = append(answered, time.Since(began))
						mu.Unlock()
					}
				})
			}
			all.Wait()
			s.finishTimes(tag, len(answered))
			var waited, took []time.Duration
			for cursor := ""; ; {
				page := s.list("?limit=500&tag=" + tag + cursor)
				for _, j := range page.Items {
					started := j.Attempts[len(j.Attempts)-1].StartedAt
					waited = append(waited, started.Sub(j.CreatedAt))
					took = append(took, j.FinishedAt.Sub(started))
				}
				if page.Next == nil {
					break
				}
				cursor = "&cursor=" + *page.Next
			}
			report(b, answered, "POST")
			report(b, waited, "wait")
			report(b, took, "work")
		}
	})
}
