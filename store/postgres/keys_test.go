package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store"
)

// TestRepeatedAfterItsKeyExpired: a repeated insert changes nothing, also when its key has gone since, or is another request's by now.
func TestRepeatedAfterItsKeyExpired(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	l := open(t, dsn)
	key := func(hash string) *store.Idempotency { return &store.Idempotency{Key: "k", Hash: hash} }
	insert := func(j *millrace.Job, hash string) error {
		return l.Insert(t.Context(), []store.NewJob{{Job: j, Idempotency: key(hash)}})[0]
	}
	first, second := newJob(), newJob()
	if err := insert(first, "first"); err != nil {
		t.Fatal(err)
	}
	age(t, dsn, store.KeyLife+time.Hour)
	if n, err := l.ExpireKeys(t.Context(), 10); n != 1 || err != nil {
		t.Fatalf("ExpireKeys = %d, %v, want 1", n, err)
	}
	if err := insert(first, "first"); err != nil {
		t.Errorf("repeated without its key: %v", err)
	}
	if k, err := l.Answer(t.Context(), first.Tenant, "k"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the repetition took the key again: %+v, %v", k, err)
	}
	if err := insert(second, "second"); err != nil {
		t.Fatal(err)
	}
	if err := insert(first, "first"); err != nil {
		t.Errorf("repeated when its key is another's: %v", err)
	}
	if k, err := l.Answer(t.Context(), first.Tenant, "k"); err != nil || k.Hash != "second" {
		t.Errorf("Answer = %+v, %v, want the second request's", k, err)
	}
}
