package remote_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// BenchmarkClaimFinish is what a job without inputs costs a worker from its delivery to its outcome, over the socket.
func BenchmarkClaimFinish(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			path, l := socket(b), openLedger(b, &clock{})
			serve(b, listen(b, path), l)
			c, w := dial(b, path), newWorker()
			if err := c.Register(b.Context(), w); err != nil {
				b.Fatal(err)
			}
			jobs := make([]store.NewJob, b.N)
			for i := range jobs {
				jobs[i].Job = &millrace.Job{
					ID: newWorker().ID, Tenant: "t", Type: "compute.checksum", State: millrace.Queued, Queue: "cpu.normal", Run: 1, MaxAttempts: 5, Fence: 1,
					Params: []byte(`{"algorithms":["sha256"]}`),
				}
			}
			for _, err := range l.Insert(b.Context(), jobs) {
				if err != nil {
					b.Fatal(err)
				}
			}
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range callers {
				wg.Go(func() {
					for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
						claimed, err := c.Claim(context.Background(), w.ID, []store.Delivery{{Job: jobs[i].ID, Fence: 1}})
						if err != nil || claimed[0].Job == nil {
							b.Errorf("Claim = %+v, %v", claimed, err)
							return
						}
						won, err := c.Finish(context.Background(), []store.Outcome{{
							Job: jobs[i].ID, Tenant: "t", Fence: 2, Kind: store.OutcomeSucceeded, Result: []byte(`{"sha256":"00"}`),
						}})
						if err != nil || !won[0] {
							b.Errorf("Finish = %v, %v", won, err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}
