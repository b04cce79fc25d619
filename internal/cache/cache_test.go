package cache_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/internal/cache"
	"github.com/millrace/millrace/internal/testenv"
)

// open makes the cache of one process on a Redis.
func open(t *testing.T, url string) *cache.Cache {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	c := cache.New(cache.Config{Redis: client, Name: "test", Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		_ = client.Close()
	})
	return c
}

// counted is a value that counts how often it was computed.
type counted struct {
	value string
	calls atomic.Int64
}

func (c *counted) load(context.Context) ([]byte, error) {
	c.calls.Add(1)
	return []byte(c.value), nil
}

func get(t *testing.T, c *cache.Cache, key string, v *counted) string {
	t.Helper()
	got, err := c.Get(t.Context(), key, v.load)
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	return string(got)
}

func TestGetComputesOnceForAllProcesses(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	a, b := open(t, url), open(t, url)
	v := &counted{value: "one"}
	for _, c := range []*cache.Cache{a, a, b, b} {
		if got := get(t, c, "k", v); got != "one" {
			t.Errorf("Get = %q, want %q", got, "one")
		}
	}
	if n := v.calls.Load(); n != 1 {
		t.Errorf("computed %d times, want 1", n)
	}
	if got, want := a.Stats(), (cache.Stats{Local: 1, Computed: 1}); got != want {
		t.Errorf("a.Stats() = %+v, want %+v", got, want)
	}
	if got, want := b.Stats(), (cache.Stats{Local: 1, Redis: 1}); got != want {
		t.Errorf("b.Stats() = %+v, want %+v", got, want)
	}
}

func TestGetSharesOneFlight(t *testing.T) {
	t.Parallel()
	c := open(t, testenv.Redis(t))
	var calls atomic.Int64
	release := make(chan struct{})
	load := func(context.Context) ([]byte, error) {
		calls.Add(1)
		<-release
		return []byte("v"), nil
	}
	var waiting sync.WaitGroup
	for range 20 {
		waiting.Go(func() {
			if v, err := c.Get(t.Context(), "k", load); err != nil || string(v) != "v" {
				t.Errorf("Get = %q, %v", v, err)
			}
		})
	}
	close(release)
	waiting.Wait()
	if n := calls.Load(); n != 1 {
		t.Errorf("computed %d times, want 1", n)
	}
}

func TestInvalidateReachesOtherProcesses(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	a, b := open(t, url), open(t, url)
	old, fresh := &counted{value: "old"}, &counted{value: "new"}
	get(t, a, "k", old)
	get(t, b, "k", old)
	deadline := time.Now().Add(10 * time.Second)
	for {
		a.Invalidate(t.Context(), "k") // again, until b's subscription is there to hear it
		if get(t, b, "k", fresh) == "new" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the other process still has the old value")
		}
	}
}

func TestErrorsAreNotCached(t *testing.T) {
	t.Parallel()
	c := open(t, testenv.Redis(t))
	want := errors.New("no")
	if _, err := c.Get(t.Context(), "k", func(context.Context) ([]byte, error) { return nil, want }); !errors.Is(err, want) {
		t.Errorf("Get = %v, want %v", err, want)
	}
	if got := get(t, c, "k", &counted{value: "yes"}); got != "yes" {
		t.Errorf("Get after an error = %q, want the value", got)
	}
}

func TestWithoutRedisItStillAnswers(t *testing.T) {
	t.Parallel()
	c := open(t, "redis://127.0.0.1:1/0") // nobody listens there
	v := &counted{value: "v"}
	for range 3 {
		if got := get(t, c, "k", v); got != "v" {
			t.Errorf("Get = %q, want %q", got, "v")
		}
	}
	if n := v.calls.Load(); n != 1 {
		t.Errorf("computed %d times, want 1", n)
	}
}

func TestTheFirstCallersLeavingDoesNotEndTheFlight(t *testing.T) {
	t.Parallel()
	c := open(t, testenv.Redis(t))
	ctx, leave := context.WithCancel(t.Context())
	started, release := make(chan struct{}), make(chan struct{})
	load := func(ctx context.Context) ([]byte, error) {
		close(started)
		<-release
		return []byte("v"), ctx.Err()
	}
	left := make(chan error, 1)
	go func() {
		_, err := c.Get(ctx, "k", load)
		left <- err
	}()
	<-started
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who left got %v", err)
	}
	second := make(chan string, 1)
	go func() {
		v, _ := c.Get(t.Context(), "k", (&counted{value: "v"}).load)
		second <- string(v)
	}()
	close(release)
	if got := <-second; got != "v" {
		t.Errorf("the next got %q, want %q", got, "v")
	}
}
