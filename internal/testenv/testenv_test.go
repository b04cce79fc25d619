package testenv_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/internal/testenv"
)

func client(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatalf("ParseURL(%q): %v", url, err)
	}
	o.MaxRetries, o.ContextTimeoutEnabled = -1, true
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRedis(t *testing.T) {
	t.Parallel()
	s := testenv.StartRedis(t)
	other := client(t, testenv.Redis(t))
	c := client(t, s.URL)
	ctx := context.Background()
	if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatalf("set: %v", err)
	}
	if n := other.Exists(ctx, "k").Val(); n != 0 {
		t.Fatal("two tests share one server")
	}
	s.Kill()
	if err := c.Ping(ctx).Err(); err == nil {
		t.Fatal("the killed server answers")
	}
	s.Start(t)
	if n, err := c.Exists(ctx, "k").Result(); err != nil || n != 0 {
		t.Fatalf("after the restart: exists = %d, %v, want 0, nil", n, err)
	}
	if err := s.Hang(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := c.Ping(short).Err(); err == nil {
		t.Error("the hanging server answers")
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(ctx).Err(); err != nil {
		t.Errorf("after Resume: %v", err)
	}
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	seen := map[string]bool{}
	for range 2 {
		conn, err := pgx.Connect(ctx, testenv.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		var name string
		if err := conn.QueryRow(ctx, "select current_database()").Scan(&name); err != nil || seen[name] {
			t.Fatalf("database = %q, %v, want a new one", name, err)
		}
		seen[name] = true
		if _, err := conn.Exec(ctx, "create table t (x int)"); err != nil {
			t.Fatal(err)
		}
		conn.Close(ctx)
	}
}

func TestStoppedPostgresKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := testenv.StartPostgres(t, "max_connections=20")
	exec := func(sql string) error {
		conn, err := pgx.Connect(ctx, s.URL)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, sql)
		return err
	}
	if err := exec("create table t (x int)"); err != nil {
		t.Fatal(err)
	}
	s.StopImmediate()
	if err := exec("select 1"); err == nil {
		t.Fatal("the stopped server answers")
	}
	s.Start(t)
	if err := exec("insert into t values (1)"); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}
