package store

import (
	"context"
	"time"

	"github.com/millrace/millrace"
)

// Idempotency is what a creating request leaves behind, so that its repetition creates nothing and hears the same. A key belongs to its tenant.
type Idempotency struct {
	Key    string
	Hash   string // of the whole request, hex: the same key with another hash is a mistake of the caller's
	Answer []byte // for the caller; the ledger does not look into it
}

// RetryKey is an idempotency key whose answer shows the job in its next run, and so is made in the transaction that opens it.
type RetryKey struct {
	Key, Hash string
	// Answer may be called more than once and must not block.
	Answer func(*millrace.Job) []byte
}

// KeyLife is how long an idempotency key is kept at least.
const KeyLife = 24 * time.Hour

// Keys reads what earlier requests left under their idempotency keys.
type Keys interface {
	// Answer reads an idempotency key, or ErrNotFound. Only Insert, InsertBatch and CreateFile, which write, decide a race.
	Answer(ctx context.Context, tenant, key string) (Idempotency, error)
}

// ReplayedError says that an idempotency key was used before, and what was answered then. Nothing was written.
type ReplayedError struct{ Idempotency }

func (e *ReplayedError) Error() string { return "the idempotency key was used before" }

// HeldError says that a live job has the unique key.
type HeldError struct{ Job string }

func (e *HeldError) Error() string { return "job " + e.Job + " has the unique key" }
