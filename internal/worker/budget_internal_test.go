package worker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace"
)

func mustReserve(t *testing.T, b *budget, job string, bytes int64) *grant {
	t.Helper()
	g, err := b.reserve(t.Context(), job, bytes)
	if err != nil {
		t.Fatalf("reserve(%s, %d) = %v, want it granted", job, bytes, err)
	}
	return g
}

func mustRefuse(t *testing.T, b *budget, job string, bytes int64) {
	t.Helper()
	if g, err := b.reserve(t.Context(), job, bytes); !errors.As(err, new(noRoom)) {
		t.Fatalf("reserve(%s, %d) = %v, %v, want no room", job, bytes, g, err)
	}
}

// keeper asks for room that is kept, and tells when it has it.
func keeper(t *testing.T, b *budget, job string, bytes int64, wait time.Duration, give <-chan struct{}) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := b.keepRoom(t.Context(), job, bytes, wait, give)
		done <- err
	}()
	synctest.Wait()
	return done
}

func TestReserveWaitsAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		first := mustReserve(t, b, "a", 60)
		began := time.Now()
		mustRefuse(t, b, "b", 50)
		if took := time.Since(began); took != roomWait {
			t.Errorf("refused after %v, want %v", took, roomWait)
		}
		time.AfterFunc(roomWait/2, first.release)
		second := mustReserve(t, b, "b", 50)
		first.release() // once more
		if b.used() != 50 {
			t.Errorf("used = %d, want 50", b.used())
		}
		second.release()
		if b.used() != 0 || len(b.asks) != 0 {
			t.Errorf("used = %d with %d waiting, want none", b.used(), len(b.asks))
		}
		if _, err := b.reserve(t.Context(), "c", 101); millrace.KindOf(err) != millrace.Invalid {
			t.Errorf("reserve of more than there is = %v, want too_large", err)
		}
	})
}

func TestReserveEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		mustReserve(t, b, "a", 100)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(roomWait/2, func() { cancel(errCanceled) })
		if _, err := b.reserve(ctx, "b", 1); !errors.Is(err, errCanceled) {
			t.Errorf("reserve = %v, want the context's cause", err)
		}
		if len(b.asks) != 0 {
			t.Error("it waits on")
		}
	})
}

// A stream of small jobs that would always fit must not keep a large one out for ever.
func TestKeptRoomIsNotGivenAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		old := []*grant{mustReserve(t, b, "a", 30), mustReserve(t, b, "b", 30)}
		big := keeper(t, b, "big", 80, time.Minute, nil)
		mustRefuse(t, b, "c", 30) // it fits, and would be in big's way
		small := mustReserve(t, b, "d", 20)
		mustRefuse(t, b, "e", 1)
		if _, err := b.keepRoom(t.Context(), "second", 70, time.Minute, nil); !errors.As(err, new(noRoom)) {
			t.Errorf("room for a second job = %v, want no room at once", err)
		}
		old[0].release()
		mustRefuse(t, b, "c", 30)
		small.release()
		again := mustReserve(t, b, "f", 20)
		old[1].release()
		if err := <-big; err != nil {
			t.Fatalf("the large job got %v, want its room", err)
		}
		again.release()
		mustReserve(t, b, "c", 20) // nobody is in its way any more
		if b.used() != 100 || b.kept != nil {
			t.Errorf("used = %d, kept %+v; want 100 and nothing", b.used(), b.kept)
		}
	})
}

func TestKeptRoomStaysForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		old := mustReserve(t, b, "a", 50)
		if err := <-keeper(t, b, "big", 100, time.Second, nil); !errors.As(err, new(noRoom)) {
			t.Fatalf("room for the large job = %v, want none", err)
		}
		mustRefuse(t, b, "b", 10)
		old.release()
		mustRefuse(t, b, "b", 10)
		mustReserve(t, b, "big", 100).release() // it is back
		b = newBudget(100)
		mustReserve(t, b, "a", 50)
		<-keeper(t, b, "big", 100, time.Second, nil)
		time.Sleep(keepGap)
		mustReserve(t, b, "b", 10) // it ran elsewhere
	})
}

func TestKeptRoomIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		mustReserve(t, b, "a", 50)
		drain := make(chan struct{})
		big := keeper(t, b, "big", 100, time.Minute, drain)
		began := time.Now()
		close(drain)
		if err := <-big; !errors.Is(err, errShutdown) || time.Since(began) > 0 {
			t.Errorf("while the process drains: %v after %v, want errShutdown at once", err, time.Since(began))
		}
		mustReserve(t, b, "b", 50)
	})
}

func TestMuchMemoryIsGivenBackOnce(t *testing.T) {
	t.Parallel()
	b := newBudget(muchMemory)
	if b.idle() {
		t.Error("nothing was in use")
	}
	mustReserve(t, b, "small", muchMemory-1).release()
	if b.idle() {
		t.Error("little was in use")
	}
	g := mustReserve(t, b, "large", muchMemory)
	if b.idle() {
		t.Error("much is in use")
	}
	g.release()
	if !b.idle() || b.idle() {
		t.Error("want true, and then false")
	}
}

func TestMemoryThatAHandlerLeavesIsKnown(t *testing.T) {
	t.Parallel()
	b := newBudget(100)
	h := newHost(&Worker{budget: b}, &millrace.Job{ID: "a"})
	release, err := h.Reserve(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	given, err := h.Reserve(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	given()
	if left := h.end(); len(left) != 1 || left[0].bytes != 60 || left[0].released() {
		t.Errorf("left = %+v, want the 60 that are still in use", left)
	}
	h.Progress(millrace.Progress{Done: 1})
	if p := h.unheard(); p != nil {
		t.Errorf("progress %+v is heard of a handler that has returned", p)
	}
	release()
	if left := h.end(); len(left) != 0 || b.used() != 0 {
		t.Errorf("left = %+v with %d in use, want none", left, b.used())
	}
}
