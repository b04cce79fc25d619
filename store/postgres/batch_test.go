package postgres_test

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/postgres"
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

// limits notes how long each statement may take at most.
type limits struct {
	mu    sync.Mutex
	least time.Duration
}

func (l *limits) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	left := time.Duration(0)
	if end, ok := ctx.Deadline(); ok {
		left = time.Until(end)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.least = min(cmp.Or(l.least, left), left)
	return ctx
}

func (*limits) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestBatchHasAMinute: ten thousand rows on a busy disk may take longer than any other write.
func TestBatchHasAMinute(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	open(t, dsn) // which brings the schema
	for name, key := range map[string]*store.Idempotency{"without a key": nil, "under a key": {Key: "k", Hash: "h"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := &limits{}
			l, err := postgres.OpenTraced(t.Context(), dsn, seen)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			_, err = l.InsertBatch(t.Context(), millrace.DefaultTenant, key, []store.NewJob{{Job: newJob()}}, func([]error) []byte { return nil })
			if err != nil {
				t.Fatal(err)
			}
			// Halfway between the limit of a write and that of a batch: no machine is so slow.
			if seen.least < 45*time.Second || seen.least > time.Minute {
				t.Errorf("a statement of the batch may take %v, want about a minute", seen.least)
			}
		})
	}
}
