package postgres_test

import (
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store"
)

// TestKeyOfDeletedJob: a program of schema 1 ends a job and leaves its unique key; the key is free, also when the job is gone.
func TestKeyOfDeletedJob(t *testing.T) {
	t.Parallel()
	l := open(t, testenv.Postgres(t))
	insert := func() (id string, err error) {
		j := newJob()
		j.Unique = &millrace.Unique{Key: "u"}
		return j.ID, l.Insert(t.Context(), []store.NewJob{{Job: j}})[0]
	}
	first, err := insert()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := insert(); !isRefusal(err) {
		t.Fatalf("Insert under a key that is held = %v, want it refused", err)
	}
	if _, err := l.Pool().Exec(t.Context(), `UPDATE jobs SET state = 'failed', due_at = NULL, finished_at = now(), expires_at = now() WHERE id = $1`, first); err != nil {
		t.Fatal(err)
	}
	if err := l.Delete(t.Context(), millrace.DefaultTenant, first); err != nil {
		t.Fatal(err)
	}
	if _, err := insert(); err != nil {
		t.Errorf("Insert under the key of a job that is gone: %v", err)
	}
	if _, err := insert(); !isRefusal(err) {
		t.Errorf("Insert under the key that was taken again = %v, want it refused", err)
	}
}
