package notify_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/embedded"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/testenv"
)

// silent keeps go-redis from writing a line for each refused dial.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(silent{})
	os.Exit(m.Run())
}

func each(t *testing.T, test func(t *testing.T, client redis.UniversalClient)) {
	t.Helper()
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, dial(t, testenv.Redis(t)))
	})
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, dialEmbedded(t))
	})
}

func dial(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.ContextTimeoutEnabled, o.DialerRetries = true, 1
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

func dialEmbedded(t *testing.T) redis.UniversalClient {
	t.Helper()
	dir, err := os.MkdirTemp("", "mr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := embedded.NewRedis("secret")
	if err != nil {
		t.Fatal(err)
	}
	background(t, func(ctx context.Context) error { return r.Serve(ctx, l) })
	c := embedded.Dial(filepath.Join(dir, "s"), "secret")
	t.Cleanup(func() { c.Close() })
	return c
}

// background runs something until the test ends or stop is called.
func background(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

func config(c redis.UniversalClient) notify.Config {
	return notify.Config{Redis: c, Log: slog.New(slog.DiscardHandler)}
}

// until repeats a hint until it is heard: a subscription that is not there yet misses it, by contract.
func until(t *testing.T, what string, say func(), heard func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		say()
		if heard() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func receive(t *testing.T, w *notify.Watch) notify.Event {
	t.Helper()
	select {
	case e := <-w.C:
		return e
	case <-time.After(30 * time.Second):
		t.Fatal("no event within 30 s")
		return notify.Event{}
	}
}

// ready waits until the hub hears what the publisher says.
func ready(t *testing.T, h *notify.Hub, p *notify.Publisher) {
	t.Helper()
	w := h.Watch("ready")
	defer w.Close()
	until(t, "the hub hears", func() { p.Publish(context.Background(), []notify.Event{{Job: "ready"}}) }, func() bool {
		select {
		case <-w.C:
			return true
		default:
			return false
		}
	})
}

func TestHubBringsEventsToWhoWatches(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c redis.UniversalClient) {
		h, p := notify.NewHub(config(c)), notify.NewPublisher(config(c))
		background(t, h.Run)
		ready(t, h, p)
		a, again, b := h.Watch("a"), h.Watch("a"), h.Watch("b")
		defer a.Close()
		defer again.Close()
		defer b.Close()
		want := []notify.Event{
			{Tenant: "t", Job: "a", State: millrace.Running, Progress: &millrace.Progress{Done: 1, Total: 2, Unit: "bytes"}},
			{Tenant: "t", Job: "nobody's", State: millrace.Failed},
			{Tenant: "t", Job: "a", State: millrace.Succeeded},
			{Tenant: "u", Job: "b", State: millrace.Canceled},
		}
		p.Publish(context.Background(), want)
		for _, w := range []*notify.Watch{a, again} {
			if diff := cmp.Diff([]notify.Event{want[0], want[2]}, []notify.Event{receive(t, w), receive(t, w)}); diff != "" {
				t.Errorf("events of a (-want +got):\n%s", diff)
			}
		}
		if diff := cmp.Diff(want[3], receive(t, b)); diff != "" {
			t.Errorf("event of b (-want +got):\n%s", diff)
		}
		if n := p.Dropped(); n != 0 {
			t.Errorf("Dropped = %d", n)
		}
	})
}

func TestSlowWatcherLosesTheOldest(t *testing.T) {
	t.Parallel()
	c := dialEmbedded(t)
	h, p := notify.NewHub(config(c)), notify.NewPublisher(config(c))
	background(t, h.Run)
	ready(t, h, p)
	slow, other := h.Watch("a"), h.Watch("other")
	defer slow.Close()
	defer other.Close()
	const n = 3 * notify.Pending
	var events []notify.Event
	for i := range n {
		events = append(events, notify.Event{Tenant: fmt.Sprint(i), Job: "a"})
	}
	p.Publish(context.Background(), append(events, notify.Event{Job: "other"}))
	receive(t, other) // all before it have been delivered: nobody waits for the slow one
	for i := n - notify.Pending; i < n; i++ {
		if e := receive(t, slow); e.Tenant != fmt.Sprint(i) {
			t.Fatalf("event %s, want %d: the newest in order", e.Tenant, i)
		}
	}
}

func TestCloseForgetsTheWatch(t *testing.T) {
	t.Parallel()
	h := notify.NewHub(notify.Config{})
	a, b := h.Watch("a"), h.Watch("a")
	if n := h.Watching(); n != 2 {
		t.Errorf("Watching = %d, want 2", n)
	}
	a.Close()
	a.Close()
	b.Close()
	if n := h.Watching(); n != 0 {
		t.Errorf("Watching after Close = %d, want 0", n)
	}
}

func TestCancels(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c redis.UniversalClient) {
		p := notify.NewPublisher(config(c))
		var mu sync.Mutex
		heard := map[string]bool{}
		stop := background(t, func(ctx context.Context) error {
			return notify.Cancels(ctx, config(c), func(job string) { mu.Lock(); heard[job] = true; mu.Unlock() })
		})
		until(t, "both jobs are heard of", func() { p.Cancel(context.Background(), []string{"a", "b"}) }, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return heard["a"] && heard["b"]
		})
		stop() // while nothing is said: the read must not hold it up
	})
}

func TestNewsComeBackAfterAnOutage(t *testing.T) {
	t.Parallel()
	s := testenv.StartRedis(t)
	c := dial(t, s.URL)
	h, p := notify.NewHub(config(c)), notify.NewPublisher(config(c))
	background(t, h.Run)
	ready(t, h, p)
	s.Kill()
	before := p.Dropped()
	p.Publish(context.Background(), make([]notify.Event, 3))
	p.Publish(context.Background(), make([]notify.Event, 2))
	if n := p.Dropped() - before; n != 5 {
		t.Errorf("Dropped = %d, want 5", n)
	}
	s.Start(t)
	ready(t, h, p)
}

func TestPublishOfNothingSendsNothing(t *testing.T) {
	t.Parallel()
	p := notify.NewPublisher(notify.Config{}) // a nil client would panic
	p.Publish(context.Background(), nil)
	p.Cancel(context.Background(), nil)
}

func FuzzParse(f *testing.F) {
	f.Add(`[{"tenant":"t","job":"a","state":"running","progress":{"done":1,"total":2}}]`)
	f.Add(`["a","b"]`)
	f.Add(`{}`)
	f.Fuzz(func(t *testing.T, payload string) {
		h := notify.NewHub(notify.Config{})
		w := h.Watch("a")
		for _, e := range notify.ParseEvents(payload) {
			_ = e.State.Final()
		}
		notify.ParseJobs(payload)
		w.Close()
	})
}
