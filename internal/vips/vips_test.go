package vips_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/millrace/millrace/internal/raster/order"
	"github.com/millrace/millrace/internal/vips"
)

func quiet() *slog.Logger         { return slog.New(slog.DiscardHandler) }
func background() context.Context { return context.Background() }

// picture is an order that is in order.
func picture() order.Order {
	all := order.Box{W: 4, H: 3}
	return order.Order{Op: order.Render, Format: "jpeg", Width: 4, Height: 3, Denom: 1, Outputs: []order.Output{{Source: all, ScaledW: 4, ScaledH: 3, Window: all}}}
}

func engine(t *testing.T, c vips.Config) *vips.Engine {
	t.Helper()
	if c.Log == nil {
		c.Log = quiet()
	}
	e := vips.New(c)
	t.Cleanup(e.Close)
	return e
}

func do(t *testing.T, e *vips.Engine, input string) (order.Answer, error) {
	t.Helper()
	return e.Do(t.Context(), input, picture(), strings.NewReader("data"), 4)
}

func mustDo(t *testing.T, e *vips.Engine) {
	t.Helper()
	a, err := do(t, e, "good")
	if err != nil || len(a.Pictures) != 1 || len(a.Pictures[0].Data) != 12 {
		t.Fatalf("Do = %+v, %v; want a picture", a, err)
	}
}

// gone says whether a process has ended and been waited for.
func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestHelpersAreLazyAndReused(t *testing.T) {
	t.Parallel()
	path := fake(t, "good")
	e := engine(t, vips.Config{Path: path})
	if n := len(notes(t, path, "starts")); n != 0 {
		t.Fatalf("%d helpers before there was work", n)
	}
	hello, err := e.Hello(t.Context())
	if err != nil || hello.Name != "fake" {
		t.Fatalf("Hello = %+v, %v", hello, err)
	}
	for range 3 {
		mustDo(t, e)
	}
	pids := notes(t, path, "starts")
	if len(pids) != 1 {
		t.Errorf("%d helpers for four questions, one after the other", len(pids))
	}
	e.Close()
	if !gone(pids[0]) {
		t.Error("the helper outlives Close")
	}
}

func TestADeadHelper(t *testing.T) {
	t.Parallel()
	for _, character := range []string{"crash", "garbage", "short"} {
		t.Run(character, func(t *testing.T) {
			t.Parallel()
			path := fake(t, character)
			var log bytes.Buffer
			e := engine(t, vips.Config{Path: path, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if _, err := do(t, e, "a"); !errors.Is(err, vips.ErrDied) {
				t.Fatalf("Do = %v, want ErrDied", err)
			}
			if _, err := do(t, e, "a"); !errors.Is(err, vips.ErrCondemned) {
				t.Errorf("the same bytes again: %v, want ErrCondemned", err)
			}
			if n := len(notes(t, path, "order")); n != 1 {
				t.Errorf("the bytes went to helpers %d times", n)
			}
			for _, pid := range notes(t, path, "starts") {
				if !gone(pid) {
					t.Errorf("helper %d is still there", pid)
				}
			}
			if character == "crash" && !strings.Contains(log.String(), "segmentation fault, they say") {
				t.Errorf("the log lacks the helper's last words: %s", &log)
			}
		})
	}
}

func TestAHelperThatIsKilled(t *testing.T) {
	t.Parallel()
	path := fake(t, "hang")
	e := engine(t, vips.Config{Path: path})
	failed := make(chan error, 1)
	go func() {
		_, err := e.Do(t.Context(), "a", picture(), strings.NewReader("data"), 4)
		failed <- err
	}()
	until(t, "the order arrives", func() bool { return len(notes(t, path, "order")) > 0 })
	if err := syscall.Kill(notes(t, path, "order")[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, vips.ErrDied) {
		t.Errorf("Do = %v, want ErrDied", err)
	}
}

// TestTheContextEnds while a helper stands still, so that it could not even read a signal.
func TestTheContextEnds(t *testing.T) {
	t.Parallel()
	path := fake(t, "hang")
	e := engine(t, vips.Config{Path: path})
	reason := errors.New("canceled by its owner")
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := e.Do(ctx, "a", picture(), strings.NewReader("data"), 4)
		failed <- err
	}()
	until(t, "the order arrives", func() bool { return len(notes(t, path, "order")) > 0 })
	pid := notes(t, path, "order")[0]
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	cancel(reason)
	if err := <-failed; !errors.Is(err, reason) {
		t.Errorf("Do = %v, want the context's cause", err)
	}
	if !gone(pid) {
		t.Error("the helper outlives the order")
	}
	// That was nobody's fault: the bytes may go to a helper again.
	ctx, cancel = context.WithCancelCause(t.Context())
	cancel(reason)
	if _, err := e.Do(ctx, "a", picture(), strings.NewReader("data"), 4); !errors.Is(err, reason) {
		t.Errorf("Do with an ended context = %v, want its cause", err)
	}
	if n := len(notes(t, path, "starts")); n > 2 {
		t.Errorf("%d helpers", n)
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	e := engine(t, vips.Config{Path: fake(t, "hang"), Patience: 50 * time.Millisecond})
	if _, err := do(t, e, "a"); !errors.Is(err, vips.ErrDied) || !strings.Contains(err.Error(), "50ms") {
		t.Errorf("Do = %v, want ErrDied after 50 ms", err)
	}
}

func TestAnInputThatCannotBeRead(t *testing.T) {
	t.Parallel()
	path := fake(t, "good")
	e := engine(t, vips.Config{Path: path})
	broken := errors.New("disk on fire")
	if _, err := e.Do(t.Context(), "a", picture(), iotest.ErrReader(broken), 4); !errors.Is(err, broken) {
		t.Errorf("Do = %v, want the reader's error", err)
	}
	if _, err := e.Do(t.Context(), "a", picture(), strings.NewReader("da"), 4); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Do with half of the input = %v, want ErrUnexpectedEOF", err)
	}
	mustDo(t, e)
	if _, err := do(t, e, "a"); err != nil {
		t.Errorf("the bytes were condemned for their reader: %v", err)
	}
}

func TestWhatAHelperRefuses(t *testing.T) {
	t.Parallel()
	path := fake(t, "refuse")
	e := engine(t, vips.Config{Path: path})
	for range 7 { // more often than deaths would be borne
		if _, err := do(t, e, "a"); !errors.Is(err, vips.ErrRefused) || !strings.Contains(err.Error(), "not my kind") {
			t.Fatalf("Do = %v, want ErrRefused with the reason", err)
		}
	}
	if n := len(notes(t, path, "starts")); n != 1 {
		t.Errorf("%d helpers: a refusal is no death", n)
	}
}

func TestWhatIsNotSent(t *testing.T) {
	t.Parallel()
	path := fake(t, "good")
	e := engine(t, vips.Config{Path: path})
	if _, err := e.Do(t.Context(), "a", picture(), strings.NewReader(""), order.MaxInput+1); !errors.Is(err, vips.ErrRefused) {
		t.Errorf("more than a frame may have: %v", err)
	}
	wrong := picture()
	wrong.Outputs[0].Window.X = 1
	if _, err := e.Do(t.Context(), "a", wrong, strings.NewReader("data"), 4); !errors.Is(err, vips.ErrRefused) {
		t.Errorf("a window beside the picture: %v", err)
	}
	if n := len(notes(t, path, "starts")); n != 0 {
		t.Errorf("%d helpers for it", n)
	}
}

func TestACrashLoop(t *testing.T) {
	t.Parallel()
	path := fake(t, "picky")
	const rest = 300 * time.Millisecond
	e := engine(t, vips.Config{Path: path, Rest: rest})
	for i := range 5 {
		if _, err := e.Do(t.Context(), strconv.Itoa(i), picture(), strings.NewReader("poison"), 6); !errors.Is(err, vips.ErrDied) {
			t.Fatalf("%d: Do = %v, want ErrDied", i, err)
		}
	}
	if _, err := do(t, e, "good"); !errors.Is(err, vips.ErrOff) {
		t.Errorf("after five deaths: Do = %v, want ErrOff", err)
	}
	if _, err := e.Hello(t.Context()); !errors.Is(err, vips.ErrOff) {
		t.Errorf("after five deaths: Hello = %v, want ErrOff", err)
	}
	until(t, "the engine comes back", func() bool {
		_, err := do(t, e, "good")
		return err == nil
	})
}

func TestAHelperThatIsNone(t *testing.T) {
	t.Parallel()
	for character, words := range map[string]string{"mute": "no library", "stranger": "protocol 2", "babbler": "frame", "": "cannot be started"} {
		t.Run(character, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "missing")
			if character != "" {
				path = fake(t, character)
			}
			if _, err := vips.Probe(t.Context(), path); !errors.Is(err, vips.ErrDied) || !strings.Contains(err.Error(), words) {
				t.Errorf("Probe = %v, want ErrDied with %q", err, words)
			}
			e := engine(t, vips.Config{Path: path})
			for range 5 {
				if _, err := do(t, e, "a"); !errors.Is(err, vips.ErrDied) {
					t.Fatalf("Do = %v, want ErrDied", err)
				}
			}
			if _, err := do(t, e, "a"); !errors.Is(err, vips.ErrOff) {
				t.Errorf("Do = %v, want ErrOff", err)
			}
		})
	}
}

func TestHelpersAreReplaced(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, character string
		config          vips.Config
		starts          int // for four pictures
	}{
		{"after so many images", "good", vips.Config{Images: 2}, 2},
		{"when they have grown", "fat", vips.Config{}, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.config.Path = fake(t, tt.character)
			e := engine(t, tt.config)
			for range 4 {
				mustDo(t, e)
			}
			if n := len(notes(t, tt.config.Path, "starts")); n != tt.starts {
				t.Errorf("%d helpers for four pictures, want %d", n, tt.starts)
			}
		})
	}
}

func TestAHelperWithoutWorkEnds(t *testing.T) {
	t.Parallel()
	path := fake(t, "good")
	e := engine(t, vips.Config{Path: path, Idle: 20 * time.Millisecond})
	mustDo(t, e)
	until(t, "the helper ends", func() bool { return gone(notes(t, path, "starts")[0]) })
	mustDo(t, e)
}

func TestHelpersAtOnce(t *testing.T) {
	t.Parallel()
	path := fake(t, "good")
	e := engine(t, vips.Config{Path: path, Helpers: 2})
	done := make(chan error)
	for range 16 {
		go func() {
			_, err := e.Do(background(), "a", picture(), strings.NewReader("data"), 4)
			done <- err
		}()
	}
	for range 16 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := len(notes(t, path, "starts")); n > 2 {
		t.Errorf("%d helpers, want 2 at most", n)
	}
}

// TestOrphans kills the process that has a helper: the helper ends too, though it is busy and reads nothing.
func TestOrphans(t *testing.T) {
	t.Parallel()
	path := fake(t, "hang")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	owner := exec.Command(self)
	owner.Env = append(os.Environ(), "VIPS_TEST_OWNER="+path)
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the order arrives", func() bool { return len(notes(t, path, "order")) > 0 })
	_ = owner.Process.Kill()
	_ = owner.Wait()
	pid := notes(t, path, "order")[0]
	until(t, "the helper ends", func() bool { return gone(pid) || zombie(pid) })
}

// zombie says whether a process is dead, and only nobody has asked how it died.
func zombie(pid int) bool {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(raw), ") ")
	return strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X")
}

func TestFind(t *testing.T) {
	if got := vips.Find("/named"); got != "/named" {
		t.Errorf("Find = %q, want what was named", got)
	}
	t.Setenv("PATH", t.TempDir())
	if got := vips.Find(""); got != "" {
		t.Errorf("Find = %q, want nothing", got)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "millrace-vips")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	if got := vips.Find(""); got != path {
		t.Errorf("Find = %q, want %q from PATH", got, path)
	}
}
