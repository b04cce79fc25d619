package sqlite_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/sqlite"
)

// spread runs fn b.N times from so many goroutines; an op is one job.
func spread(b *testing.B, callers int, fn func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					return
				}
				if err := fn(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}

func eachCallers(b *testing.B, run func(b *testing.B, l *sqlite.Ledger, callers int)) {
	for _, callers := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { run(b, open(b, &clock{}), callers) })
	}
}

func BenchmarkInsert(b *testing.B) {
	eachCallers(b, func(b *testing.B, l *sqlite.Ledger, callers int) {
		spread(b, callers, func(int) error {
			return l.Insert(context.Background(), []store.NewJob{{Job: newJob()}})[0]
		})
	})
}

// BenchmarkInsertBatch is the largest request of many jobs; others wait for as long as one takes.
func BenchmarkInsertBatch(b *testing.B) {
	const size = 10_000
	l := open(b, &clock{})
	for range b.N {
		b.StopTimer()
		rows := make([]store.NewJob, size)
		for i := range rows {
			rows[i].Job = newJob()
		}
		b.StartTimer()
		if _, err := l.InsertBatch(b.Context(), "t", nil, rows, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(size*float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}

// prepared inserts b.N jobs for a benchmark of what comes after.
func prepared(b *testing.B, l *sqlite.Ledger) []store.Delivery {
	var deliveries []store.Delivery
	for left := b.N; left > 0; left -= 5000 {
		deliveries = append(deliveries, insert(b, l, min(left, 5000))...)
	}
	return deliveries
}

func BenchmarkClaim(b *testing.B) {
	eachCallers(b, func(b *testing.B, l *sqlite.Ledger, callers int) {
		w, deliveries := register(b, l), prepared(b, l)
		spread(b, callers, func(i int) error {
			c, err := l.Claim(context.Background(), w, deliveries[i:i+1])
			if err == nil && c[0].Job == nil {
				err = fmt.Errorf("claim %d was refused", i)
			}
			return err
		})
	})
}

func BenchmarkFinish(b *testing.B) {
	eachCallers(b, func(b *testing.B, l *sqlite.Ledger, callers int) {
		w, deliveries := register(b, l), prepared(b, l)
		if _, err := l.Claim(b.Context(), w, deliveries); err != nil {
			b.Fatal(err)
		}
		spread(b, callers, func(i int) error {
			won, err := l.Finish(context.Background(), []store.Outcome{{
				Job: deliveries[i].Job, Fence: 2, Kind: store.OutcomeSucceeded, Result: []byte(`{"sha256":"00"}`),
			}})
			if err == nil && !won[0] {
				err = fmt.Errorf("outcome %d lost", i)
			}
			return err
		})
	})
}

// BenchmarkClaimFinish is what a job without inputs costs the ledger from its delivery to its outcome.
func BenchmarkClaimFinish(b *testing.B) {
	eachCallers(b, func(b *testing.B, l *sqlite.Ledger, callers int) {
		w, deliveries := register(b, l), prepared(b, l)
		spread(b, callers, func(i int) error {
			c, err := l.Claim(context.Background(), w, deliveries[i:i+1])
			if err != nil || c[0].Job == nil {
				return fmt.Errorf("claim %d: %+v, %w", i, c, err)
			}
			won, err := l.Finish(context.Background(), []store.Outcome{{
				Job: c[0].Job.ID, Tenant: c[0].Job.Tenant, Fence: c[0].Job.Fence, Kind: store.OutcomeSucceeded, Result: []byte(`{"sha256":"00"}`),
			}})
			if err == nil && !won[0] {
				err = fmt.Errorf("outcome %d lost", i)
			}
			return err
		})
	})
}
