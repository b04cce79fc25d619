package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/internal/embedded"
)

const password = "correct horse"

// serve runs an embedded Redis on a socket until the test ends or stop is called.
func serve(t *testing.T) (socket string, stop func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mr") // t.TempDir with a long test name passes the 108 bytes of a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	r, err := embedded.NewRedis(password)
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
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return socket, stop
}

func TestServe(t *testing.T) {
	t.Parallel()
	socket, stop := serve(t)
	c := embedded.Dial(socket, password)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()

	if err := c.Set(ctx, "k", "v", time.Second).Err(); err != nil {
		t.Fatalf("set: %v", err)
	}
	if n, err := c.Eval(ctx, `return redis.call("LLEN", KEYS[1])`, []string{"list"}).Int(); n != 0 || err != nil {
		t.Errorf("a script = %d, %v", n, err)
	}

	sub := c.Subscribe(ctx, "news")
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	if n, err := c.Publish(ctx, "news", "hello").Result(); n != 1 || err != nil {
		t.Errorf("publish = %d, %v, want 1 subscriber", n, err)
	}
	if m, err := sub.ReceiveMessage(ctx); err != nil || m.Payload != "hello" {
		t.Errorf("message = %v, %v", m, err)
	}

	popped := make(chan string, 1)
	go func() { popped <- fmt.Sprint(c.BRPop(ctx, 10*time.Second, "list").Result()) }()
	if err := c.LPush(ctx, "list", "x").Err(); err != nil {
		t.Fatal(err)
	}
	if got := <-popped; got != "[list x] <nil>" {
		t.Errorf("blocking pop = %s", got)
	}

	for c.Exists(ctx, "k").Val() == 1 { // the ticker moves the clock of keys
		if ctx.Err() != nil {
			t.Fatal("a key with a TTL of one second did not expire")
		}
		time.Sleep(20 * time.Millisecond)
	}

	// A blocked client must not hold up the end.
	go func() { popped <- fmt.Sprint(c.BRPop(ctx, 10*time.Second, "nothing").Err()) }()
	stop()
	<-popped
	if err := c.Ping(ctx).Err(); err == nil {
		t.Error("the stopped server answers")
	}
}

func TestPasswordIsDemanded(t *testing.T) {
	t.Parallel()
	if _, err := embedded.NewRedis(""); err == nil {
		t.Error("NewRedis without a password = nil error")
	}
	socket, _ := serve(t)
	for _, wrong := range []string{"", "wrong"} {
		c := embedded.Dial(socket, wrong)
		err := c.Get(context.Background(), "k").Err()
		c.Close()
		if err == nil || errors.Is(err, redis.Nil) || !(strings.Contains(err.Error(), "NOAUTH") || strings.Contains(err.Error(), "WRONGPASS")) {
			t.Errorf("get with password %q = %v, want a refusal", wrong, err)
		}
	}
}

func TestServesOnce(t *testing.T) {
	t.Parallel()
	r, err := embedded.NewRedis(password)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for i, want := range []bool{true, false} {
		l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Serve(ctx, l); (err == nil) != want {
			t.Errorf("Serve number %d = %v", i+1, err)
		}
		l.Close()
	}
}
