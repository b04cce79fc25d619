package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
func open(t *testing.T, url string, change ...func(*cache.Config)) *cache.Cache {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	options.ContextTimeoutEnabled, options.DialerRetries = true, 1 // as the product dials
	client := redis.NewClient(options)
	config := cache.Config{Redis: client, Name: "test", Log: slog.New(slog.DiscardHandler)}
	for _, change := range change {
		change(&config)
	}
	c := cache.New(config)
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

// register is where values are kept for good.
type register struct {
	value atomic.Pointer[string]
	reads atomic.Int64
}

func holding(value string) *register {
	r := new(register)
	r.value.Store(&value)
	return r
}

func (r *register) load(context.Context) ([]byte, error) {
	r.reads.Add(1)
	return []byte(*r.value.Load()), nil
}

// set is the write of a change.
func (r *register) set(value string) func(context.Context) error {
	return func(context.Context) error {
		r.value.Store(&value)
		return nil
	}
}

func get(t *testing.T, c *cache.Cache, key string, r *register) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // not for ever behind a flight of somebody else
	defer cancel()
	got, err := c.Get(ctx, key, r.load)
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	return string(got)
}

// eventually polls until done answers true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within half a minute", what)
		}
	}
}

// listening waits until each of the caches hears of changes.
func listening(t *testing.T, caches ...*cache.Cache) {
	t.Helper()
	for _, c := range caches {
		eventually(t, "a cache that hears", func() bool {
			c.Invalidate(t.Context(), "probe")
			return c.Stats().Changes > 0
		})
	}
}

func TestGetComputesOnceForAllProcesses(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	a, b := open(t, url), open(t, url)
	listening(t, a, b)
	r := holding("one")
	for _, c := range []*cache.Cache{a, a, b, b} {
		if got := get(t, c, "k", r); got != "one" {
			t.Errorf("Get = %q, want %q", got, "one")
		}
	}
	if n := r.reads.Load(); n != 1 {
		t.Errorf("computed %d times, want 1", n)
	}
	for _, tt := range []struct {
		name string
		c    *cache.Cache
		want cache.Stats
	}{
		{"the first", a, cache.Stats{LocalHits: 1, LocalMisses: 1, RedisMisses: 1, Entries: 1, Bytes: 4}},
		{"the second", b, cache.Stats{LocalHits: 1, LocalMisses: 1, RedisHits: 1, Entries: 1, Bytes: 4}},
	} {
		got := tt.c.Stats()
		if got.Changes = 0; got != tt.want {
			t.Errorf("%s: Stats() = %+v, want %+v", tt.name, got, tt.want)
		}
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
	listening(t, c) // what is asked before that may be asked again
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

func TestErrorsAreNotKept(t *testing.T) {
	t.Parallel()
	c := open(t, testenv.Redis(t))
	want := errors.New("no")
	if _, err := c.Get(t.Context(), "k", func(context.Context) ([]byte, error) { return nil, want }); !errors.Is(err, want) {
		t.Errorf("Get = %v, want %v", err, want)
	}
	if got := get(t, c, "k", holding("yes")); got != "yes" {
		t.Errorf("Get after an error = %q, want the value", got)
	}
}

func TestTheFirstCallersLeavingDoesNotEndTheFlight(t *testing.T) {
	t.Parallel()
	c := open(t, testenv.Redis(t))
	listening(t, c)
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
		v, _ := c.Get(t.Context(), "k", holding("v").load)
		second <- string(v)
	}()
	close(release)
	if got := <-second; got != "v" {
		t.Errorf("the next got %q, want %q", got, "v")
	}
}

func TestWhatIsNotThereIsKeptInProcessOnly(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	a, b := open(t, url), open(t, url)
	listening(t, a, b)
	r := holding("")
	for _, c := range []*cache.Cache{a, a, b, b} {
		if got := get(t, c, "k", r); got != "" {
			t.Errorf("Get = %q, want nothing", got)
		}
	}
	if n := r.reads.Load(); n != 2 {
		t.Errorf("looked for %d times, want once in each process", n)
	}
	if err := a.Change(t.Context(), "k", r.set("made")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other process finds what was made", func() bool { return get(t, b, "k", r) == "made" })
}

func TestTheProcessKeepsABoundedPart(t *testing.T) {
	t.Parallel()
	c := open(t, testenv.Redis(t), func(c *cache.Config) { c.Size, c.Bytes, c.MaxValue = 10, 1000, 500 })
	for i := range 20 {
		get(t, c, fmt.Sprintf("small%02d", i), holding("x"))
	}
	if s := c.Stats(); s.Entries != 10 || s.Bytes != 80 {
		t.Errorf("after small values: %+v, want 10 of 80 bytes", s)
	}
	for i := range 20 {
		get(t, c, fmt.Sprint("large", i), holding(string(bytes.Repeat([]byte("x"), 300))))
	}
	if s := c.Stats(); s.Entries != 3 || s.Bytes > 1000 {
		t.Errorf("after large values: %+v, want 3 of at most 1,000 bytes", s)
	}
	huge := holding(string(bytes.Repeat([]byte("x"), 501)))
	for range 2 {
		get(t, c, "huge", huge)
	}
	if n := huge.reads.Load(); n != 2 {
		t.Errorf("a value over the limit was read %d times, want each time", n)
	}
}

// nobody listens there.
const nobody = "redis://127.0.0.1:1/0"

// clock is a time that a test sets.
type clock struct{ now atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Unix(0, c.now.Load()) }
func (c *clock) advance(d time.Duration) { c.now.Add(int64(d)) }

func (c *clock) config(chance float64) func(*cache.Config) {
	return func(config *cache.Config) {
		config.LocalTTL, config.Now, config.Chance = 2*time.Second, c.Now, func() float64 { return chance }
	}
}

// Without Redis nothing tells a process of a change: its lifetime ends what it believes.
func TestWithoutRedisAValueGrowsOld(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		chance      float64
		fresh, over time.Duration
	}{
		{"the longest life", 0, 1999 * time.Millisecond, time.Millisecond},
		{"the shortest life", 0.999, 1600 * time.Millisecond, 10 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var now clock
			c := open(t, nobody, now.config(tt.chance))
			r := holding("old")
			get(t, c, "k", r)
			_ = r.set("new")(t.Context())
			now.advance(tt.fresh)
			if got := get(t, c, "k", r); got != "old" {
				t.Errorf("within its life: %q, want the kept value", got)
			}
			now.advance(tt.over)
			if got := get(t, c, "k", r); got != "new" {
				t.Errorf("after its life: %q, want the new value", got)
			}
		})
	}
}

func TestTyped(t *testing.T) {
	t.Parallel()
	type point struct{ X, Y int }
	url := testenv.Redis(t)
	a, b := cache.Typed[point]{Cache: open(t, url)}, cache.Typed[point]{Cache: open(t, url)}
	listening(t, a.Cache, b.Cache)
	loads := 0
	load := func(context.Context) (*point, error) { loads++; return &point{1, 2}, nil }
	for _, c := range []cache.Typed[point]{a, a, b} {
		got, err := c.Get(t.Context(), "k", load)
		if err != nil || *got != (point{1, 2}) {
			t.Errorf("Get = %v, %v", got, err)
		}
		got.X = 7 // a caller's value is its own
	}
	if loads != 1 {
		t.Errorf("loaded %d times, want once", loads)
	}
	if got, err := a.Get(t.Context(), "none", func(context.Context) (*point, error) { return nil, nil }); got != nil || err != nil {
		t.Errorf("Get of nothing = %v, %v", got, err)
	}
	if _, err := a.Cache.Get(t.Context(), "other", holding(`"text"`).load); err != nil {
		t.Fatal(err)
	}
	if got, err := a.Get(t.Context(), "other", load); err != nil || *got != (point{1, 2}) {
		t.Errorf("Get of what another release wrote = %v, %v, want what is loaded", got, err)
	}
}
