// Package storetest is the conformance suite of the ledger: what every implementation of store.Ledger must do, and the invariants that must
// hold whatever happened. It is for the tests of those implementations and for whoever wants to Check a ledger after having abused it.
//
// The suite does not assume a clock that it can set: PostgreSQL uses its own. A Backend says how stored times grow old instead.
package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/millrace/millrace/store"
)

// Backend is one fresh, empty ledger under test.
type Backend struct {
	Ledger store.Ledger
	// Worker is where the suite registers workers, beats, claims and finishes; nil means the Ledger itself. store/remote puts its client here.
	Worker store.WorkerLedger
	// Now is the ledger's clock, nil for time.Now. Only differences of many seconds are judged.
	Now func() time.Time
	// Age makes everything stored d older: an SQLite ledger advances its clock, PostgreSQL moves every stored time back.
	Age func(t testing.TB, d time.Duration)
}

// Factory opens a fresh ledger for one test and closes it through t.Cleanup.
type Factory func(t *testing.T) Backend

// test is one statement about ledgers.
type test struct {
	name string
	run  func(f *fixture)
}

// Run checks a whole ledger.
func Run(t *testing.T, open Factory) {
	for _, g := range []struct {
		name  string
		tests []test
	}{
		{"jobs", jobTests()},
		{"list", listTests()},
		{"cancel", cancelTests()},
		{"retry", retryTests()},
		{"rescue", rescueTests()},
		{"owed", owedTests()},
		{"leases", leaseTests()},
		{"files", fileTests()},
		{"blobs", blobTests()},
		{"cache", cacheTests()},
		{"expiry", expiryTests()},
		{"depths", depthTests()},
		{"idempotency", idempotencyTests()},
		{"batch", batchTests()},
		{"unique", uniqueTests()},
		{"webhooks", webhookTests()},
		{"deadline", deadlineTests()},
		{"deaths", deathTests()},
		{"queues", queueTests()},
		{"schedules", scheduleTests()},
		{"ticks", tickTests()},
		{"presets", presetTests()},
		{"equal", equalTests()},
		{"races of equal jobs", equalRaceTests()},
		{"races", raceTests()},
		{"races of ends", endRaceTests()},
		{"races for bytes", blobRaceTests()},
	} {
		runGroup(t, g.name, g.tests, open)
	}
	RunWorker(t, open)
}

// RunWorker checks the part that workers see. The rest of the contract is used to look at what came of it.
func RunWorker(t *testing.T, open Factory) {
	runGroup(t, "workers", append(workerTests(), quarantineTests()...), open)
	runGroup(t, "claim", claimTests(), open)
	runGroup(t, "finish", finishTests(), open)
}

func runGroup(t *testing.T, name string, tests []test, open Factory) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, open(t))
				tt.run(f)
				Check(f.ctx, t, f.Ledger, f.tenant, f.other)
			})
		}
	})
}

func newFixture(t *testing.T, b Backend) *fixture {
	t.Helper()
	if b.Worker == nil {
		b.Worker = b.Ledger
	}
	if b.Now == nil {
		b.Now = time.Now
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return &fixture{Backend: b, T: t, ctx: ctx, tenant: "tenant-" + newID(), other: "other-" + newID()}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }
