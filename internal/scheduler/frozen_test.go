//go:build unix

package scheduler_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/scheduler"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store/blob/disk"
	"github.com/millrace/millrace/store/postgres"
)

// replacement is how soon another process must lead after the leader was lost.
const replacement = 15 * time.Second

// Variables that make the test's own binary a scheduler process.
const (
	childRedis    = "SCHEDULER_TEST_REDIS"
	childDatabase = "SCHEDULER_TEST_DATABASE"
	childBlobs    = "SCHEDULER_TEST_BLOBS"
)

func TestMain(m *testing.M) {
	if os.Getenv(childRedis) != "" {
		if err := leadAsChild(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// leadAsChild is a scheduler process that lives until it is killed, or until its parent has gone.
func leadAsChild() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		cancel()
	}()
	leader, done, err := realLeader(ctx, os.Getenv(childRedis), os.Getenv(childDatabase), os.Getenv(childBlobs), nil)
	if err != nil {
		return err
	}
	defer done()
	return leader.Run(ctx)
}

// realLeader stands on PostgreSQL and Redis; wrap may put something between it and the queue.
func realLeader(ctx context.Context, redisURL, dsn, dir string, wrap func(*queue.Queue) scheduler.Queue) (*scheduler.Leader, func(), error) {
	log := slog.New(slog.DiscardHandler)
	ledger, err := postgres.Open(ctx, postgres.Config{DSN: dsn, MaxConns: 4, Log: log})
	if err != nil {
		return nil, nil, err
	}
	client, err := queue.Dial(redisURL, queue.Options{PoolSize: 4})
	if err != nil {
		return nil, nil, err
	}
	q, err := queue.Open(queue.Config{Redis: client, Log: log})
	if err != nil {
		return nil, nil, err
	}
	blobs, err := disk.Open(disk.Config{Dir: dir})
	if err != nil {
		return nil, nil, err
	}
	c := scheduler.Config{Ledger: ledger, Queue: q, Blobs: blobs, Log: log}
	if wrap != nil {
		c.Queue = wrap(q)
	}
	return scheduler.New(c), func() {
		q.Close()
		_ = client.Close()
		_ = ledger.Close()
	}, nil
}

// felt counts the pulses of one leader.
type felt struct {
	*queue.Queue
	pulses *atomic.Int64
}

func (q felt) Pulse(ctx context.Context) (int64, string, error) {
	q.pulses.Add(1)
	return q.Queue.Pulse(ctx)
}

// A leader that is killed, and one that is frozen, whose connections to the database stay open: the stand-by leads in time. The frozen one thaws and
// leads no more.
func TestLostLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]os.Signal{"killed": syscall.SIGKILL, "frozen": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redisURL, dsn, dir := testenv.Redis(t), testenv.Postgres(t), t.TempDir()
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), childRedis+"="+redisURL, childDatabase+"="+dsn, childBlobs+"="+dir)
			child.Stderr = os.Stderr
			stdin, err := child.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = stdin.Close()
				_ = child.Process.Kill()
				_ = child.Wait()
			})
			watch, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, MaxConns: 1, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = watch.Close() })
			await(t, "the child to lead", time.Minute, func() bool {
				gen, err := watch.Generation(t.Context())
				return err == nil && gen > 1 // a new leader doubts the queue
			})

			pulses := new(atomic.Int64)
			standby, done, err := realLeader(t.Context(), redisURL, dsn, dir, func(q *queue.Queue) scheduler.Queue { return felt{q, pulses} })
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- standby.Run(ctx) }()
			t.Cleanup(func() {
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				done()
			})
			if pulses.Load() > 0 {
				t.Fatal("two lead")
			}
			if err := child.Process.Signal(lose); err != nil {
				t.Fatal(err)
			}
			await(t, "the stand-by to lead", replacement, func() bool { return pulses.Load() > 0 })
			if lose == syscall.SIGKILL {
				return
			}
			before, err := watch.Generation(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			led := pulses.Load()
			await(t, "the stand-by to go on", time.Minute, func() bool { return pulses.Load() > led+3 })
			if after, err := watch.Generation(t.Context()); err != nil || after > before+1 {
				t.Errorf("the generation went from %d to %d (%v): the one that thawed leads, too", before, after, err)
			}
		})
	}
}

func await(t *testing.T, what string, limit time.Duration, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, limit)
		}
	}
}
