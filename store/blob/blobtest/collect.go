package blobtest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/store/blob"
)

func testNotFound(t *testing.T, s blob.Store) {
	key := blob.NewKey(sum([]byte("never written")))
	if _, err := s.Open(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Open of an unknown key = %v, want ErrNotFound", err)
	}
}

func testMalformedKeys(t *testing.T, s blob.Store) {
	good := put(t, s, []byte("precious"))
	head, salt, _ := strings.Cut(good, "/")
	for _, key := range []string{
		"", "/", ".", "..", head, head + "/", "/" + salt, "../" + good, good + "/..", good + "/", "./" + good,
		strings.ToUpper(good), head + "//" + salt, head + "/../" + salt, head + `\` + salt, good + "\x00", "../id", "/etc/passwd",
		head + "/" + salt[:len(salt)-1] + "*",
	} {
		if key == good {
			continue
		}
		if r, err := s.Open(t.Context(), key); err == nil {
			r.Close()
			t.Errorf("Open(%q) opened something", key)
		}
		if err := s.Remove(t.Context(), key); err == nil {
			t.Errorf("Remove(%q) is no error", key)
		}
	}
	if got := get(t, s, good); string(got) != "precious" {
		t.Errorf("the good blob holds %q", got)
	}
}

func testRemove(t *testing.T, s blob.Store) {
	key := put(t, s, []byte("gone"))
	for range 2 {
		if err := s.Remove(t.Context(), key); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
	if _, err := s.Open(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Open after Remove = %v, want ErrNotFound", err)
	}
	wantNothing(t, s)
}

func testReadWhileRemoved(t *testing.T, s blob.Store) {
	want := bytes.Repeat([]byte("still here "), 50_000)
	key := put(t, s, want)
	r, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	head := make([]byte, 1000)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(append(head, rest...), want) {
		t.Errorf("the open reader got %d of %d bytes, %v", len(head)+len(rest), len(want), err)
	}
}

func testSweep(t *testing.T, s blob.Store) {
	w := create(t, s)
	write(t, w, []byte("under way"))
	if n, err := s.Sweep(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("Sweep of what is an hour old = %d, %v, want 0", n, err)
	}
	key, err := w.Commit(t.Context())
	if err != nil {
		t.Fatalf("Commit after a Sweep that was not meant for it: %v", err)
	}
	if n, err := s.Sweep(t.Context(), never()); n != 0 || err != nil {
		t.Errorf("Sweep with nothing temporary = %d, %v", n, err)
	}
	if got := get(t, s, key); string(got) != "under way" {
		t.Errorf("after Sweep the blob holds %q", got)
	}
}

func testSweptWriter(t *testing.T, s blob.Store) {
	w := create(t, s)
	write(t, w, []byte("abandoned"))
	if n, err := s.Sweep(t.Context(), never()); n != 1 || err != nil {
		t.Fatalf("Sweep = %d, %v, want 1", n, err)
	}
	if key, err := w.Commit(t.Context()); err == nil {
		t.Errorf("Commit of a swept blob made %s", key)
	}
	wantNothing(t, s)
}

func testKeys(t *testing.T, s blob.Store) {
	want := []string{put(t, s, []byte("a")), put(t, s, []byte("b")), put(t, s, []byte("c"))}
	slices.Sort(want)
	if got := keys(t, s, never()); !slices.Equal(got, want) {
		t.Errorf("Keys() = %v, want %v", got, want)
	}
	if got := keys(t, s, time.Now().Add(-time.Hour)); len(got) != 0 {
		t.Errorf("Keys older than an hour = %v, want none", got)
	}
}

func testKeysStops(t *testing.T, s blob.Store) {
	for _, p := range []string{"a", "b", "c"} {
		put(t, s, []byte(p))
	}
	stop := errors.New("enough")
	calls := 0
	err := s.Keys(t.Context(), never(), func(string) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("Keys called yield %d times and returned %v, want 1 and yield's error", calls, err)
	}
	if err := s.Keys(canceled(), never(), func(string) error { return nil }); err == nil {
		t.Error("Keys with a canceled context is no error")
	}
}
