package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store"
)

// TestBatchUnderUsedKeyThatCannotLook: a batch whose key was used, and which cannot find out by whom, was not accepted: nobody may be told that
// its jobs are there.
func TestBatchUnderUsedKeyThatCannotLook(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	l, other := open(t, dsn), connect(t, dsn)
	key := &store.Idempotency{Key: "k", Hash: "h"}
	answer := func([]error) []byte { return []byte("first") }
	if _, err := l.InsertBatch(t.Context(), millrace.DefaultTenant, key, []store.NewJob{{Job: newJob()}}, answer); err != nil {
		t.Fatal(err)
	}
	exec(t, other, "BEGIN")
	exec(t, other, "LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if errs, err := l.InsertBatch(ctx, millrace.DefaultTenant, key, []store.NewJob{{Job: newJob()}}, answer); err == nil {
		t.Errorf("InsertBatch beside a table that nobody can read = %v, nil, want an error", errs)
	}
}

// TestBatchesWithoutJobs: two requests of which nothing was left to insert are two requests all the same.
func TestBatchesWithoutJobs(t *testing.T) {
	t.Parallel()
	l := open(t, testenv.Postgres(t))
	for i, hash := range []string{"one", "two"} {
		_, err := l.InsertBatch(t.Context(), millrace.DefaultTenant, &store.Idempotency{Key: "k", Hash: hash}, nil, func([]error) []byte { return []byte(hash) })
		replayed, ok := errors.AsType[*store.ReplayedError](err)
		switch {
		case i == 0 && err != nil:
			t.Fatal(err)
		case i == 1 && (!ok || replayed.Hash != "one" || string(replayed.Answer) != "one"):
			t.Errorf("the second request under the key = %v, want it to hear of the first", err)
		}
	}
}
