// Package blobtest is the suite that every blob.Store must pass. An implementation calls Run from one test of its own.
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/store/blob"
)

// Run runs the suite. open gives each test an empty store of its own. The caller must not be parallel: one test measures memory.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	t.Run("BigStream", func(t *testing.T) { testBigStream(t, open(t)) }) // first, while the parallel ones wait
	for name, test := range map[string]func(*testing.T, blob.Store){
		"RoundTrip":            testRoundTrip,
		"Empty":                testEmpty,
		"Seek":                 testSeek,
		"IDIsStable":           testID,
		"SameContentTwice":     testSameContent,
		"ConcurrentCommits":    testConcurrentCommits,
		"NotFound":             testNotFound,
		"MalformedKeys":        testMalformedKeys,
		"RemoveTwice":          testRemove,
		"ReadWhileRemoved":     testReadWhileRemoved,
		"AbortLeavesNothing":   testAbort,
		"AbortAfterCommit":     testAbortAfterCommit,
		"UseAfterEnd":          testUseAfterEnd,
		"CanceledCommit":       testCanceledCommit,
		"InvisibleUntilCommit": testInvisible,
		"Sweep":                testSweep,
		"SweptWriter":          testSweptWriter,
		"Keys":                 testKeys,
		"KeysStops":            testKeysStops,
		"Free":                 testFree,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// never is a time after which nothing has been written yet.
func never() time.Time { return time.Now().Add(24 * time.Hour) }

func create(t *testing.T, s blob.Store) blob.Writer {
	t.Helper()
	w, err := s.Create(t.Context())
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	t.Cleanup(func() { w.Abort() })
	return w
}

func write(t *testing.T, w blob.Writer, p []byte) {
	t.Helper()
	if n, err := w.Write(p); n != len(p) || err != nil {
		t.Fatalf("Write of %d bytes = %d, %v", len(p), n, err)
	}
}

func put(t *testing.T, s blob.Store, p []byte) (key string) {
	t.Helper()
	w := create(t, s)
	write(t, w, p)
	key, err := w.Commit(t.Context())
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return key
}

func get(t *testing.T, s blob.Store, key string) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("Open(%s): %v", key, err)
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	return p
}

func keys(t *testing.T, s blob.Store, before time.Time) []string {
	t.Helper()
	var all []string
	err := s.Keys(t.Context(), before, func(key string) error {
		all = append(all, key)
		return nil
	})
	if err != nil {
		t.Fatalf("Keys: %v", err)
	}
	slices.Sort(all)
	return all
}

// wantNothing fails when the store holds any blob, published or temporary.
func wantNothing(t *testing.T, s blob.Store) {
	t.Helper()
	if left := keys(t, s, never()); len(left) > 0 {
		t.Errorf("published blobs were left: %v", left)
	}
	if n, err := s.Sweep(t.Context(), never()); n != 0 || err != nil {
		t.Errorf("temporary blobs were left: Sweep = %d, %v", n, err)
	}
}

func sum(p []byte) string {
	h := sha256.Sum256(p)
	return hex.EncodeToString(h[:])
}

func testRoundTrip(t *testing.T, s blob.Store) {
	want := bytes.Repeat([]byte("grist for the mill "), 10_000)
	w := create(t, s)
	for part := range slices.Chunk(want, 4099) {
		write(t, w, part)
	}
	if got, size := w.Sum(); got != sum(want) || size != int64(len(want)) {
		t.Errorf("Sum() = %s, %d, want %s, %d", got, size, sum(want), len(want))
	}
	key, err := w.Commit(t.Context())
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	if head, _, err := blob.SplitKey(key); err != nil || head != sum(want) {
		t.Errorf("Commit() = %q, want a key of %s (%v)", key, sum(want), err)
	}
	if got := get(t, s, key); !bytes.Equal(got, want) {
		t.Errorf("read back %d bytes that differ from the %d written", len(got), len(want))
	}
	if n, err := s.Sweep(t.Context(), never()); n != 0 || err != nil {
		t.Errorf("Sweep after Commit = %d, %v, want nothing to sweep", n, err)
	}
}

func testEmpty(t *testing.T, s blob.Store) {
	if got := get(t, s, put(t, s, nil)); len(got) != 0 {
		t.Errorf("an empty blob read back as %d bytes", len(got))
	}
}

func testSeek(t *testing.T, s blob.Store) {
	key := put(t, s, []byte("0123456789"))
	r, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if size, err := r.Seek(0, io.SeekEnd); size != 10 || err != nil {
		t.Errorf("Seek to the end = %d, %v, want 10", size, err)
	}
	p := make([]byte, 3)
	if n, err := r.ReadAt(p, 4); n != 3 || err != nil || string(p) != "456" {
		t.Errorf("ReadAt(4) = %q, %v", p[:n], err)
	}
	if n, err := r.ReadAt(p, 8); n != 2 || !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt over the end = %d, %v, want 2, EOF", n, err)
	}
	if _, err := r.Seek(7, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); string(rest) != "789" || err != nil {
		t.Errorf("after Seek(7): %q, %v", rest, err)
	}
}

func testID(t *testing.T, s blob.Store) {
	a, err := s.ID(t.Context())
	if err != nil || a == "" {
		t.Fatalf("ID() = %q, %v", a, err)
	}
	if b, err := s.ID(t.Context()); b != a || err != nil {
		t.Errorf("ID() again = %q, %v, want %q", b, err, a)
	}
}

func testFree(t *testing.T, s blob.Store) {
	if n, err := s.Free(t.Context()); n < -1 || n == 0 || err != nil {
		t.Errorf("Free() = %d, %v, want some bytes or -1", n, err)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
