// Package blob is the contract of the bytes: immutable objects, known by their SHA-256, published by one atomic step.
//
// A blob's key is "<sha256>/<random>": the same content may be published twice under two keys, and a key that has been removed never comes
// back to life, so collecting garbage cannot meet a new reference to an old key. Which keys are referenced is the ledger's business
// (package store), not this package's. blobtest holds the suite that every implementation passes.
package blob

import (
	"context"
	"errors"
	"io"
	"time"
)

// Store keeps blobs.
type Store interface {
	// ID is a random id made with the store. The ledger records it, so that a process with another directory is noticed at start.
	ID(ctx context.Context) (string, error)
	// Create begins a blob in a temporary place. The caller ends it with Commit or Abort, exactly one of them.
	Create(ctx context.Context) (Writer, error)
	// Open opens a published blob, or answers ErrNotFound.
	Open(ctx context.Context, key string) (Reader, error)
	// Remove deletes a published blob. A key that is not there is no error.
	Remove(ctx context.Context, key string) error
	// Sweep removes temporary blobs that nobody has written to since before, left behind by dead processes, and says how many. A store that
	// can tell that their process is dead removes them sooner.
	Sweep(ctx context.Context, before time.Time) (int, error)
	// Keys calls yield for each published blob older than before; the walk ends at yield's first error, which is returned.
	Keys(ctx context.Context, before time.Time, yield func(key string) error) error
	// Free is the number of bytes that can still be written, or -1 where that cannot be known.
	Free(ctx context.Context) (int64, error)
}

// Writer takes the bytes of one blob. It is used by one goroutine at a time.
type Writer interface {
	io.Writer
	// Sum is the SHA-256 (hex) and the number of the bytes written so far.
	Sum() (sha256 string, size int64)
	// Commit makes the bytes durable and publishes them in one atomic step, and returns the key. After an error nothing is left behind.
	Commit(ctx context.Context) (key string, err error)
	// Abort throws the bytes away. After Commit it does nothing, so it may be deferred.
	Abort() error
}

// Reader reads one published blob.
type Reader interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
}

// Errors that callers test for.
var (
	ErrNotFound = errors.New("blob not found")
	ErrFull     = errors.New("no space left in the blob store")
)
