package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/cache"
	"github.com/millrace/millrace/internal/testenv"
)

func forever(c *cache.Config) { c.LocalTTL = 24 * time.Hour }

func change(t *testing.T, c *cache.Cache, key string, r *register, value string) {
	t.Helper()
	if err := c.Change(t.Context(), key, r.set(value)); err != nil {
		t.Fatalf("Change(%q): %v", key, err)
	}
}

func TestChangeReachesEveryProcess(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	a, b := open(t, url, forever), open(t, url, forever)
	listening(t, a, b)
	r := holding("old")
	get(t, a, "k", r)
	get(t, b, "k", r)
	change(t, a, "k", r, "new")
	if got := get(t, a, "k", r); got != "new" {
		t.Errorf("the process that changed it = %q at once, want the new value", got)
	}
	eventually(t, "the other process has the new value", func() bool { return get(t, b, "k", r) == "new" })
	if late := open(t, url, forever); get(t, late, "k", r) != "new" {
		t.Error("a process that starts now finds the old value")
	}
}

func TestAChangeThatFailedIsForgottenToo(t *testing.T) {
	t.Parallel()
	c := open(t, testenv.Redis(t), forever)
	listening(t, c)
	r, lost := holding("old"), errors.New("the answer was lost")
	get(t, c, "k", r)
	if err := c.Change(t.Context(), "k", func(ctx context.Context) error { return errors.Join(r.set("new")(ctx), lost) }); !errors.Is(err, lost) {
		t.Errorf("Change = %v, want what the write said", err)
	}
	if got := get(t, c, "k", r); got != "new" {
		t.Errorf("after a write whose answer was lost: %q", got)
	}
}

// slow is a load that has read its value and is not back yet.
type slow struct {
	read, release chan struct{}
	got           chan string
}

func begin(t *testing.T, c *cache.Cache, key string, r *register) *slow {
	t.Helper()
	s := &slow{make(chan struct{}), make(chan struct{}), make(chan string, 1)}
	go func() {
		v, err := c.Get(t.Context(), key, func(ctx context.Context) ([]byte, error) {
			v, err := r.load(ctx)
			close(s.read)
			<-s.release
			return v, err
		})
		if err != nil {
			t.Errorf("Get: %v", err)
		}
		s.got <- string(v)
	}()
	<-s.read
	return s
}

func (s *slow) end() string {
	close(s.release)
	return <-s.got
}

// What was read before a change and comes back after it must be kept nowhere: no message would ever take it away.
func TestALoadThatAChangeOvertakesIsNotKept(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	for _, by := range []string{"another process", "the same process"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			a, b := open(t, url, forever), open(t, url, forever)
			listening(t, a, b)
			key, r := "k of "+by, holding("old")
			late := begin(t, b, key, r)
			if by == "the same process" {
				change(t, b, key, r, "new")
				if got := get(t, b, key, r); got != "new" {
					t.Errorf("while the old value is on its way: %q, want the new one", got)
				}
			} else {
				heard := b.Stats().Changes
				change(t, a, key, r, "new")
				eventually(t, "the change is heard", func() bool { return b.Stats().Changes > heard })
			}
			if got := late.end(); got != "old" {
				t.Errorf("who asked before the change got %q", got)
			}
			for i, c := range []*cache.Cache{b, a, open(t, url, forever)} {
				if got := get(t, c, key, r); got != "new" {
					t.Errorf("process %d after it: %q, want the new value", i, got)
				}
			}
		})
	}
}

// A process that dies between its write and the message leaves nothing old in Redis.
func TestAChangeIsMarkedBeforeItIsMade(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	a, b := open(t, url, forever), open(t, url, forever)
	r := holding("old")
	get(t, b, "k", r)
	err := a.Change(t.Context(), "k", func(ctx context.Context) error {
		_ = r.set("new")(ctx)
		if got := get(t, open(t, url), "k", r); got != "new" { // as after a death at this moment
			t.Errorf("in the middle of the change: %q, want what is there", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// However loads and changes meet, in the end every process has the last value, and nothing but messages brought it there.
func TestEveryProcessEndsWithTheLastValue(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	caches := []*cache.Cache{open(t, url, forever), open(t, url, forever), open(t, url, forever)}
	listening(t, caches...)
	for round := range 20 {
		key, r := fmt.Sprint("k", round), holding("first")
		dawdle := func(ctx context.Context) ([]byte, error) {
			v, err := r.load(ctx)
			for range rand.IntN(200) {
				runtime.Gosched()
			}
			return v, err
		}
		var all sync.WaitGroup
		for _, c := range caches {
			for range 3 {
				all.Go(func() {
					for range 20 {
						if _, err := c.Get(t.Context(), key, dawdle); err != nil {
							t.Errorf("Get: %v", err)
						}
					}
				})
			}
		}
		for i := range 5 {
			change(t, caches[i%len(caches)], key, r, fmt.Sprint(i))
		}
		all.Wait()
		change(t, caches[round%len(caches)], key, r, "last")
		for i, c := range caches {
			eventually(t, fmt.Sprintf("round %d: the last value in process %d", round, i), func() bool { return get(t, c, key, r) == "last" })
		}
		if got := get(t, open(t, url), key, r); got != "last" {
			t.Fatalf("round %d: Redis has %q", round, got)
		}
	}
}
