package queue_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/testenv"
)

// lossy is a connection that breaks when the first subscription is sent through it.
type lossy struct {
	net.Conn
	broke *atomic.Bool
}

func (c lossy) Write(p []byte) (int, error) {
	if strings.Contains(strings.ToLower(string(p)), "subscribe") && c.broke.CompareAndSwap(false, true) {
		return 0, errors.Join(net.ErrClosed, c.Close())
	}
	return c.Conn.Write(p)
}

// A server whose first subscription is lost must still end: asynq waits for its subscriber.
func TestServeEndsThoughTheSubscriptionWasLost(t *testing.T) {
	t.Parallel()
	opts, err := redis.ParseURL(testenv.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	var broke atomic.Bool
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return lossy{conn, &broke}, err
	}
	client := redis.NewClient(opts)
	defer client.Close()
	q, err := queue.Open(queue.Config{Redis: client})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- q.Serve(ctx, queue.ServeConfig{Pool: millrace.IO, Slots: 1, Drain: time.Second,
			Handler: func(context.Context, queue.Task) error { return nil }})
	}()
	for deadline := time.Now().Add(20 * time.Second); !broke.Load(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody subscribed")
		}
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Serve does not end")
	}
}
