package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/store"
)

// SQLSTATEs that are told apart.
const (
	foreignKeyViolation  = "23503"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	diskFull             = "53100"
)

// code is the SQLSTATE of a database's error, or "".
func code(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// badData says whether the database refused the values of one row, so that its neighbours may go on without it.
func badData(err error) bool {
	c := code(err)
	return strings.HasPrefix(c, "22") || strings.HasPrefix(c, "23")
}

// wrap says what was attempted and puts the contract's errors in the chain.
func wrap(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s: %w", op, store.ErrNotFound)
	case code(err) == diskFull:
		return fmt.Errorf("%s: %w: %w", op, store.ErrFull, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}

// tries bounds how often a transaction is run again. Batches take their locks in the order of ids, so more than one repetition is rare.
const tries = 6

// errMoved says that a row which stood in the way was gone when it was looked at.
var errMoved = errors.New("the ledger has changed meanwhile")

// A call ends after this time whatever becomes of the network: a peer that is lost without a word would hold it for minutes. The session's own
// limits are the same, for statements whose caller is gone.
const (
	readLimit  = 10 * time.Second
	writeLimit = 30 * time.Second
	batchLimit = time.Minute // of InsertBatch, whose ten thousand rows take their time on a busy disk
)

// reading bounds a read.
func reading(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, readLimit)
}

func within(ctx context.Context, limit time.Duration, run func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return run(ctx)
}

// again runs a transaction until it meets no deadlock. Those are rolled back as a whole, and so is what never reached the server.
func again(ctx context.Context, op string, run func(context.Context) error) error {
	return againWithin(ctx, writeLimit, op, run)
}

// againWithin is again with a limit of each try's own.
func againWithin(ctx context.Context, limit time.Duration, op string, run func(context.Context) error) error {
	for try := 1; ; try++ {
		err := within(ctx, limit, run)
		c := code(err)
		passing := c == serializationFailure || c == deadlockDetected || errors.Is(err, errMoved) || pgconn.SafeToRetry(err)
		if err == nil || try == tries || !passing || ctx.Err() != nil {
			return wrap(op, err)
		}
		pause := time.NewTimer(time.Duration(try) * time.Duration(1+rand.IntN(5)) * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return wrap(op, errors.Join(err, context.Cause(ctx)))
		}
	}
}
