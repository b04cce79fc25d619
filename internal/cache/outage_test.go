package cache_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/internal/cache"
	"github.com/millrace/millrace/internal/testenv"
)

func TestWithoutRedisItStillAnswers(t *testing.T) {
	t.Parallel()
	c := open(t, nobody)
	r := holding("v")
	for range 3 {
		if got := get(t, c, "k", r); got != "v" {
			t.Errorf("Get = %q, want %q", got, "v")
		}
	}
	if n := r.reads.Load(); n != 1 {
		t.Errorf("computed %d times, want 1", n)
	}
	change(t, c, "k", r, "new")
	if got := get(t, c, "k", r); got != "new" {
		t.Errorf("after its own change: %q", got)
	}
}

// What was changed while a process heard nothing it cannot know: when it hears again it begins with nothing.
func TestAfterAReconnectNothingIsKept(t *testing.T) {
	t.Parallel()
	server := testenv.StartRedis(t)
	c := open(t, server.URL, forever)
	listening(t, c)
	r := holding("old")
	get(t, c, "k", r)
	server.Kill()
	_ = r.set("new")(t.Context()) // by a process whose message went nowhere
	if got := get(t, c, "k", r); got != "old" {
		t.Errorf("while it hears nothing: %q, want what it has", got)
	}
	server.Start(t)
	eventually(t, "the new value after the reconnect", func() bool { return get(t, c, "k", r) == "new" })
}

// A Redis that stalls holds nobody up, and goes on with what it had.
func TestAChangeWhileRedisHangs(t *testing.T) {
	t.Parallel()
	server := testenv.StartRedis(t)
	a, b := open(t, server.URL, forever), open(t, server.URL, forever)
	listening(t, a, b)
	r := holding("old")
	get(t, b, "k", r)
	if err := server.Hang(); err != nil {
		t.Fatal(err)
	}
	change(t, a, "k", r, "new")
	if got := get(t, a, "k", r); got != "new" {
		t.Errorf("the process that changed it = %q, want the new value", got)
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other process hears of it", func() bool { return get(t, b, "k", r) == "new" })
}

// cut refuses what a process says to Redis, and lets through what it asks.
type cut struct{ on atomic.Bool }

func (c *cut) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *cut) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c *cut) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if name := cmd.Name(); c.on.Load() && (name == "set" || name == "publish") {
			cmd.SetErr(errors.New("cut"))
			return cmd.Err()
		}
		return next(ctx, cmd)
	}
}

// What could not be told is told later, and until then the process that knows better does not believe Redis.
func TestAChangeThatRedisDidNotHearIsToldLater(t *testing.T) {
	t.Parallel()
	var (
		now  clock
		link cut
		url  = testenv.Redis(t)
	)
	a := open(t, url, forever, func(c *cache.Config) { c.Now = now.Now; c.Redis.AddHook(&link) })
	b := open(t, url, forever)
	listening(t, a, b)
	r := holding("old")
	get(t, b, "k", r)
	link.on.Store(true)
	change(t, a, "k", r, "new")
	now.advance(time.Minute) // it asks Redis again, where the old value is
	if got := get(t, a, "k", r); got != "new" {
		t.Errorf("the process that changed it = %q, want the new value", got)
	}
	if got := get(t, b, "k", r); got != "old" {
		t.Errorf("a process that was not told = %q", got)
	}
	link.on.Store(false)
	eventually(t, "the other process hears of it", func() bool { return get(t, b, "k", r) == "new" })
	if got := get(t, open(t, url), "k", r); got != "new" {
		t.Errorf("a process that starts then finds %q", got)
	}
}
