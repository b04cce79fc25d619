package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/millrace/millrace/store/blob"
)

func testSameContent(t *testing.T, s blob.Store) {
	a, b := put(t, s, []byte("twice")), put(t, s, []byte("twice"))
	if a == b {
		t.Fatalf("the same bytes got the key %s twice: a key must never come back to life", a)
	}
	if err := s.Remove(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, b); string(got) != "twice" {
		t.Errorf("after the twin was removed: %q", got)
	}
	if _, err := s.Open(t.Context(), a); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Open of the removed twin = %v, want ErrNotFound", err)
	}
}

func testConcurrentCommits(t *testing.T, s blob.Store) {
	const writers = 16
	made := make([]string, writers)
	errs := make([]error, writers)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			w, err := s.Create(context.Background())
			if err != nil {
				errs[i] = err
				return
			}
			_, err = w.Write([]byte("the same content for all"))
			made[i], errs[i] = w.Commit(context.Background())
			errs[i] = errors.Join(err, errs[i])
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	slices.Sort(made)
	if got := keys(t, s, never()); !slices.Equal(got, made) {
		t.Errorf("Keys() = %v, want what the writers got: %v", got, made)
	}
	for _, key := range made {
		if got := get(t, s, key); string(got) != "the same content for all" {
			t.Errorf("%s holds %q", key, got)
		}
	}
}

func testAbort(t *testing.T, s blob.Store) {
	w := create(t, s)
	write(t, w, bytes.Repeat([]byte{1}, 100_000))
	if err := w.Abort(); err != nil {
		t.Fatalf("Abort: %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("second Abort: %v", err)
	}
	wantNothing(t, s)
}

func testAbortAfterCommit(t *testing.T, s blob.Store) {
	w := create(t, s)
	write(t, w, []byte("stays"))
	key, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	if got := get(t, s, key); string(got) != "stays" {
		t.Errorf("after Abort the blob holds %q", got)
	}
}

func testUseAfterEnd(t *testing.T, s blob.Store) {
	for name, end := range map[string]func(w blob.Writer) error{
		"Commit": func(w blob.Writer) error { _, err := w.Commit(t.Context()); return err },
		"Abort":  blob.Writer.Abort,
	} {
		w := create(t, s)
		write(t, w, []byte("once"))
		if err := end(w); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		before := keys(t, s, never())
		if _, err := w.Write([]byte("more")); err == nil {
			t.Errorf("Write after %s was accepted", name)
		}
		if key, err := w.Commit(t.Context()); err == nil {
			t.Errorf("Commit after %s made %s", name, key)
		}
		if after := keys(t, s, never()); !slices.Equal(before, after) {
			t.Errorf("use after %s changed the blobs from %v to %v", name, before, after)
		}
	}
}

func testCanceledCommit(t *testing.T, s blob.Store) {
	w := create(t, s)
	write(t, w, []byte("too late"))
	if key, err := w.Commit(canceled()); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit with a canceled context = %q, %v", key, err)
	}
	wantNothing(t, s)
	if _, err := s.Create(canceled()); !errors.Is(err, context.Canceled) {
		t.Errorf("Create with a canceled context: %v", err)
	}
}

func testInvisible(t *testing.T, s blob.Store) {
	w := create(t, s)
	write(t, w, bytes.Repeat([]byte{7}, 1<<20))
	if got := keys(t, s, never()); len(got) > 0 {
		t.Errorf("before Commit Keys() = %v", got)
	}
}

// testBigStream copies 64 MiB through the store. What is allocated on the way must not grow with it.
func testBigStream(t *testing.T, s blob.Store) {
	const size, bound = 64 << 20, 4 << 20
	w := create(t, s)
	buf := make([]byte, 64<<10)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range size / len(buf) {
		write(t, w, buf)
	}
	key, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf)
	if n != size || err != nil {
		t.Fatalf("read back %d bytes, %v, want %d", n, err, size)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > bound {
		t.Errorf("%d bytes were allocated for a stream of %d, want at most %d", used, size, bound)
	}
}
