package postgres_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/postgres"
)

func newID() string { return uuid.Must(uuid.NewV7()).String() }

func newJob() *millrace.Job {
	return &millrace.Job{
		ID: newID(), Tenant: millrace.DefaultTenant, Type: "compute.checksum", State: millrace.Queued, Priority: millrace.Normal, Queue: "cpu.normal",
		Params: json.RawMessage(`{"algorithms":["sha256"]}`), Run: 1, MaxAttempts: 5, Timeout: time.Minute, Retention: time.Hour, Fence: 1,
		Backoff: millrace.Backoff{Initial: time.Second, Max: time.Minute, Factor: 2, Jitter: 0.2},
	}
}

func newWorker(tb testing.TB, l *postgres.Ledger) string {
	tb.Helper()
	w := millrace.Worker{ID: newID(), Host: "mill", BootID: "boot", PID: 1, Role: "worker"}
	if err := l.Register(tb.Context(), w); err != nil {
		tb.Fatal(err)
	}
	return w.ID
}

func insert(tb testing.TB, l *postgres.Ledger, n int) []store.Delivery {
	tb.Helper()
	rows, deliveries := make([]store.NewJob, n), make([]store.Delivery, n)
	for i := range rows {
		rows[i].Job = newJob()
		deliveries[i] = store.Delivery{Job: rows[i].ID, Fence: 1}
	}
	for _, err := range l.Insert(tb.Context(), rows) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return deliveries
}

func claim(tb testing.TB, l *postgres.Ledger, worker string, deliveries []store.Delivery) []store.Outcome {
	tb.Helper()
	claimed, err := l.Claim(tb.Context(), worker, deliveries)
	if err != nil {
		tb.Fatal(err)
	}
	outcomes := make([]store.Outcome, len(claimed))
	for i, c := range claimed {
		if c.Job == nil {
			tb.Fatalf("delivery %d was refused", i)
		}
		outcomes[i] = store.Outcome{
			Job: c.Job.ID, Tenant: c.Job.Tenant, Fence: c.Job.Fence, Kind: store.OutcomeSucceeded, Attempt: millrace.AttemptSucceeded,
			Result: json.RawMessage(`{"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}`),
		}
	}
	return outcomes
}

func finish(tb testing.TB, l *postgres.Ledger, outcomes []store.Outcome) {
	tb.Helper()
	won, err := l.Finish(tb.Context(), outcomes)
	if err != nil {
		tb.Fatal(err)
	}
	for i := range won {
		if !won[i] {
			tb.Fatalf("outcome %d lost", i)
		}
	}
}

// BenchmarkGroup measures one connection that commits groups of jobs; the unit that matters is jobs/s.
func BenchmarkGroup(b *testing.B) {
	l := open(b, testenv.Postgres(b))
	w := newWorker(b, l)
	for _, size := range []int{1, 16, 128} {
		run := func(name string, prepare func() func()) {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					step := prepare()
					b.StartTimer()
					step()
				}
				b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "jobs/s")
			})
		}
		run("Insert", func() func() { return func() { insert(b, l, size) } })
		run("Claim", func() func() {
			deliveries := insert(b, l, size)
			return func() { claim(b, l, w, deliveries) }
		})
		run("Finish", func() func() {
			outcomes := claim(b, l, w, insert(b, l, size))
			return func() { finish(b, l, outcomes) }
		})
	}
}

// BenchmarkInsertBatch writes requests of 10,000 jobs, each in one transaction; the unit that matters is jobs/s.
func BenchmarkInsertBatch(b *testing.B) {
	const size = 10_000
	l := open(b, testenv.Postgres(b))
	cost, process := stepCost{}, postmaster(b, l)
	for b.Loop() {
		b.StopTimer()
		rows := make([]store.NewJob, size)
		for i := range rows {
			rows[i].Job = newJob()
		}
		key := &store.Idempotency{Key: newID(), Hash: "h"}
		server, client := serverCPU(b, process), clientCPU(b)
		b.StartTimer()
		errs, err := l.InsertBatch(b.Context(), millrace.DefaultTenant, key, rows, func([]error) []byte { return []byte("{}") })
		if err != nil || slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
			b.Fatal(err)
		}
		cost.client += clientCPU(b) - client
		cost.server += serverCPU(b, process) - server
	}
	b.ReportMetric(float64(cost.server.Nanoseconds())/1000/float64(b.N*size), "server-µs")
	b.ReportMetric(float64(cost.client.Nanoseconds())/1000/float64(b.N*size), "client-µs")
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "jobs/s")
}
