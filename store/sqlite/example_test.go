package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/sqlite"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "millrace")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ledger, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "ledger.db")})
	if err != nil {
		panic(err)
	}
	defer func() { _ = ledger.Close() }()

	job := newJob()
	if err := ledger.Insert(ctx, []store.NewJob{{Job: job}})[0]; err != nil {
		panic(err) // else the row is on the disk
	}
	if err := ledger.Register(ctx, millrace.Worker{ID: "a worker"}); err != nil {
		panic(err)
	}
	claimed, err := ledger.Claim(ctx, "a worker", []store.Delivery{{Job: job.ID, Fence: job.Fence}})
	if err != nil {
		panic(err)
	}
	won, err := ledger.Finish(ctx, []store.Outcome{{Job: job.ID, Tenant: job.Tenant, Fence: claimed[0].Job.Fence, Kind: store.OutcomeSucceeded}})
	if err != nil {
		panic(err)
	}
	job, err = ledger.Job(ctx, job.Tenant, job.ID)
	fmt.Println(won[0], job.State, err)
	// Output: true succeeded <nil>
}
