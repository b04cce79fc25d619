package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/embedded"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/testenv"
)

func TestMain(m *testing.M) {
	queue.LogRedis(slog.New(slog.DiscardHandler)) // tests that kill Redis would fill the output with refused dials
	os.Exit(m.Run())
}

// env is one server under test.
type env struct {
	client redis.UniversalClient
	real   bool // Redis itself, not the embedded one
}

// each runs a test against Redis and against the embedded one.
func each(t *testing.T, test func(t *testing.T, e env)) {
	t.Helper()
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, env{dial(t, testenv.Redis(t)), true})
	})
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, env{dialEmbedded(t), false})
	})
}

func dial(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	c, err := queue.Dial(url, queue.Options{PoolSize: 32})
	if err != nil {
		t.Fatalf("Dial(%q): %v", url, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func dialEmbedded(t testing.TB) redis.UniversalClient {
	t.Helper()
	dir, err := os.MkdirTemp("", "mr") // short: a socket's path has a limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	r, err := embedded.NewRedis("secret")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Serve(ctx, l); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	c := embedded.Dial(socket, "secret")
	t.Cleanup(func() { c.Close() })
	return c
}

func open(t testing.TB, c redis.UniversalClient) *queue.Queue {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	q, err := queue.Open(queue.Config{Redis: c, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}

// serve runs Serve until the test ends or stop is called, which waits for it.
func serve(t testing.TB, q *queue.Queue, cfg queue.ServeConfig) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := q.Serve(ctx, cfg); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

func task(n int) queue.Task {
	return queue.Task{Job: fmt.Sprintf("01890000-0000-7000-8000-%012d", n), Fence: 1, Type: "image.resize", Queue: "cpu.normal"}
}

func tasks(n int) []queue.Task {
	all := make([]queue.Task, n)
	for i := range all {
		all[i] = task(i)
	}
	return all
}

func enqueue(t testing.TB, q *queue.Queue, all ...queue.Task) {
	t.Helper()
	for i, err := range q.Enqueue(context.Background(), all) {
		if err != nil {
			t.Fatalf("Enqueue of task %d: %v", i, err)
		}
	}
}

// eventually polls until ok or a generous deadline: there is no event to wait for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func depth(t testing.TB, q *queue.Queue, name string) int {
	t.Helper()
	d, err := q.Depths(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(d) != len(millrace.Queues()) {
		t.Fatalf("Depths = %v, want all of %v", d, millrace.Queues())
	}
	return d[name]
}

// got collects what handlers were given.
type got struct {
	mu    sync.Mutex
	tasks []queue.Task
}

func (g *got) handle(_ context.Context, t queue.Task) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tasks = append(g.tasks, t)
	return nil
}

func (g *got) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.tasks)
}

// sorted is what came, by job.
func (g *got) sorted() []queue.Task {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := slices.Clone(g.tasks)
	slices.SortFunc(all, func(a, b queue.Task) int { return slices.Compare([]byte(a.ID()), []byte(b.ID())) })
	return all
}
