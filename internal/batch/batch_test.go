package batch_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/batch"
)

// slow is a flush that takes a second and notes the size of each group.
type slow struct {
	mu    sync.Mutex
	sizes []int
}

func (s *slow) flush(_ context.Context, items []int) []int {
	time.Sleep(time.Second) // a bubble's clock: how long a commit takes
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes = append(s.sizes, len(items))
	results := make([]int, len(items))
	for i, n := range items {
		results[i] = n * n
	}
	return results
}

func start[T, R any](t *testing.T, g *batch.Group[T, R]) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

func TestGroupsFormWhileOneIsOnItsWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s slow
		g := batch.New(batch.Config{Workers: 1, MaxItems: 4, QueueLen: 100}, s.flush)
		stop := start(t, g)
		defer stop()
		begin := time.Now()
		var wg sync.WaitGroup
		do := func(n int) {
			wg.Go(func() {
				if got, err := g.Do(context.Background(), n); got != n*n || err != nil {
					t.Errorf("Do(%d) = %d, %v, want %d, nil", n, got, err, n*n)
				}
			})
		}
		do(1)
		synctest.Wait() // the lone caller's flush has begun
		for n := 2; n <= 8; n++ {
			do(n)
		}
		wg.Wait()
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("8 items took %v, want 3s: one, then four, then three", took)
		}
		if want := []int{1, 4, 3}; len(s.sizes) != 3 || s.sizes[0] != want[0] || s.sizes[1] != want[1] || s.sizes[2] != want[2] {
			t.Errorf("group sizes = %v, want %v", s.sizes, want)
		}
	})
}

func TestWorkersFlushAtTheSameTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s slow
		g := batch.New(batch.Config{Workers: 2, MaxItems: 1}, s.flush)
		stop := start(t, g)
		defer stop()
		begin := time.Now()
		var wg sync.WaitGroup
		for n := range 4 {
			wg.Go(func() { g.Do(context.Background(), n) })
		}
		wg.Wait()
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("4 items by 2 workers took %v, want 2s", took)
		}
	})
}

func TestFullIsToldAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s slow
		g := batch.New(batch.Config{Workers: 1, MaxItems: 2, QueueLen: 2}, s.flush)
		stop := start(t, g)
		defer stop()
		var wg sync.WaitGroup
		wg.Go(func() { g.Do(context.Background(), 0) })
		synctest.Wait() // the worker is busy, the queue empty
		for n := range 2 {
			wg.Go(func() { g.Do(context.Background(), n) })
		}
		synctest.Wait() // the queue is full
		begin := time.Now()
		if _, err := g.Do(context.Background(), 3); !errors.Is(err, batch.ErrFull) {
			t.Errorf("Do on a full group = %v, want ErrFull", err)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("the refusal took %v", took)
		}
		wg.Wait()
		if _, err := g.Do(context.Background(), 4); err != nil {
			t.Errorf("Do after the group has drained: %v", err)
		}
	})
}

func TestCallerThatGoesAwayIsFlushedAllTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s slow
		g := batch.New(batch.Config{Workers: 1, MaxItems: 10}, s.flush)
		stop := start(t, g)
		defer stop()
		var wg sync.WaitGroup
		wg.Go(func() { g.Do(context.Background(), 1) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		wg.Go(func() {
			if _, err := g.Do(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Do past its deadline = %v", err)
			}
		})
		wg.Go(func() {
			if got, err := g.Do(context.Background(), 3); got != 9 || err != nil {
				t.Errorf("neighbour of the one that left = %d, %v, want 9, nil", got, err)
			}
		})
		wg.Wait()
		if len(s.sizes) != 2 || s.sizes[1] != 2 {
			t.Errorf("group sizes = %v, want [1 2]", s.sizes)
		}
		if _, err := g.Do(ctx, 4); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do with a context that has ended = %v", err)
		}
		synctest.Wait()
		if len(s.sizes) != 2 {
			t.Error("an item was accepted from a caller that had left before")
		}
	})
}

func TestEndFlushesWhatIsAccepted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(g *batch.Group[int, int], cancel context.CancelFunc)
	}{
		{"context", func(_ *batch.Group[int, int], cancel context.CancelFunc) { cancel() }},
		{"close", func(g *batch.Group[int, int], _ context.CancelFunc) { g.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var s slow
				g := batch.New(batch.Config{Workers: 1, MaxItems: 2, QueueLen: 10}, s.flush)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				ended := make(chan error, 1)
				go func() { ended <- g.Run(ctx) }()
				var wg sync.WaitGroup
				for n := range 5 {
					wg.Go(func() {
						if got, err := g.Do(context.Background(), n); got != n*n || err != nil {
							t.Errorf("Do(%d) = %d, %v, want %d, nil", n, got, err, n*n)
						}
					})
				}
				synctest.Wait()
				tt.end(g, cancel)
				if err := <-ended; err != nil {
					t.Errorf("Run: %v", err)
				}
				synctest.Wait()
				if _, err := g.Do(context.Background(), 9); !errors.Is(err, batch.ErrClosed) {
					t.Errorf("Do after the end = %v, want ErrClosed", err)
				}
				wg.Wait()
				if err := g.Run(context.Background()); err == nil {
					t.Error("a second Run began")
				}
				g.Close()
			})
		})
	}
}

func TestCloseWithoutRunAnswersThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := batch.New(batch.Config{}, func(context.Context, []int) []int { return nil })
		ended := make(chan error, 1)
		go func() { _, err := g.Do(context.Background(), 1); ended <- err }()
		synctest.Wait()
		g.Close()
		if err := <-ended; !errors.Is(err, batch.ErrClosed) {
			t.Errorf("Do = %v, want ErrClosed", err)
		}
	})
}

func TestShortAnswerIsAnErrorOfTheRest(t *testing.T) {
	t.Parallel()
	g := batch.New(batch.Config{}, func(context.Context, []int) []int { return nil })
	stop := start(t, g)
	defer stop()
	if _, err := g.Do(context.Background(), 1); err == nil {
		t.Error("Do without a result = nil error")
	}
}

func TestManyCallersEachGetTheirOwn(t *testing.T) {
	t.Parallel()
	g := batch.New(batch.Config{Workers: 3, MaxItems: 7, QueueLen: 64}, func(_ context.Context, items []int) []int {
		results := make([]int, len(items))
		for i, n := range items {
			results[i] = -n
		}
		return results
	})
	stop := start(t, g)
	defer stop()
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			for i := range 200 {
				n := w*1000 + i
				if got, err := g.Do(context.Background(), n); got != -n || err != nil {
					t.Errorf("Do(%d) = %d, %v", n, got, err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkDo(b *testing.B) {
	g := batch.New(batch.Config{Workers: 2}, func(_ context.Context, items []int) []int { return items })
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { g.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := g.Do(ctx, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}
