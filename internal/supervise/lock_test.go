package supervise_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/supervise"
)

// longDir is a directory with a path of more than 200 bytes, where a unix socket could not live.
func longDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100), strings.Repeat("e", 100))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLockNamesTheHolder(t *testing.T) {
	t.Parallel()
	dir := longDir(t)
	l, err := supervise.Lock(t.Context(), dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = supervise.Lock(t.Context(), dir, time.Millisecond)
	held := new(supervise.HeldError)
	if !errors.As(err, &held) || held.PID != os.Getpid() || held.Dir != dir {
		t.Errorf("Lock = %v, want a HeldError for %s and process %d", err, dir, os.Getpid())
	}
	if want := "in use by process " + strconv.Itoa(os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Lock = %v, want %q", err, want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// Not at once: a process that another test is just starting has our descriptors until it has become another program.
	l, err = supervise.Lock(t.Context(), dir, patience)
	if err != nil {
		t.Fatalf("Lock after Close = %v", err)
	}
	l.Close()
}

// The lock stays with the children when the supervisor's own part is gone, and the kernel frees it when the last has ended, killed or not.
func TestLockIsInherited(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := supervise.Lock(t.Context(), dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := run(t, supervise.Config{Children: []supervise.Child{
		{Name: "child", Command: as("stubborn"), Count: 2, Files: map[string]*os.File{"lock": l.File()}},
	}})
	b.ready(2)
	l.Close()
	held := new(supervise.HeldError)
	if _, err := supervise.Lock(t.Context(), dir, time.Millisecond); !errors.As(err, &held) {
		t.Fatalf("Lock while the children live = %v, want a HeldError", err)
	}
	again := make(chan error, 1)
	go func() {
		l, err := supervise.Lock(context.Background(), dir, patience)
		if err == nil {
			err = l.Close()
		}
		again <- err
	}()
	close(b.kill)
	if err := <-again; err != nil {
		t.Errorf("Lock after the children = %v, want nil", err)
	}
}

func TestLockWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := supervise.Lock(t.Context(), dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := supervise.Lock(ctx, dir, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock = %v, want context.Canceled", err)
	}
}

func TestHeldErrorOfADeadHolder(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pid  int
		want string
	}{
		{0, "another process"},
		{os.Getpid(), "process " + strconv.Itoa(os.Getpid())},
		{1 << 30, "children of process 1073741824, which itself has ended"},
	}
	for _, tt := range tests {
		if got := (&supervise.HeldError{Dir: "d", PID: tt.pid}).Error(); !strings.HasSuffix(got, tt.want) {
			t.Errorf("error for pid %d = %q, want it to end with %q", tt.pid, got, tt.want)
		}
	}
}
