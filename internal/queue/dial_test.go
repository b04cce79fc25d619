package queue_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/testenv"
)

func TestDial(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		url, user, password, addr string
		db, pool                  int
		tls                       bool
	}{
		{"redis://host", "", "", "host:6379", 0, 7, false},
		{"redis://alice:pw@host:1234/2", "alice", "pw", "host:1234", 2, 7, false},
		{"rediss://:pw@host:1234", "", "pw", "host:1234", 0, 7, true},
		{"redis://host?pool_size=3", "", "", "host:6379", 0, 3, false},
		{"unix:///run/redis.sock?db=1", "", "", "/run/redis.sock", 1, 7, false},
		{"redis+sentinel://s1:26379/3?master_name=m&username=u&password=p", "u", "p", "FailoverClient", 3, 7, false},
		{"redis://s1:26379/3?master_name=m&username=u&password=p", "u", "p", "FailoverClient", 3, 7, false},
	} {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()
			c, err := queue.Dial(tt.url, queue.Options{PoolSize: 7})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			o := c.(*redis.Client).Options()
			if o.Username != tt.user || o.Password != tt.password || o.Addr != tt.addr || o.DB != tt.db || (o.TLSConfig != nil) != tt.tls {
				t.Errorf("user %q, password %q, addr %q, db %d, tls %v", o.Username, o.Password, o.Addr, o.DB, o.TLSConfig != nil)
			}
			if o.PoolSize != tt.pool || !o.ContextTimeoutEnabled || o.ReadTimeout > 3*time.Second || o.MaintNotificationsConfig.Mode != "disabled" {
				t.Errorf("pool %d, context timeout %v, read timeout %v, notifications %v",
					o.PoolSize, o.ContextTimeoutEnabled, o.ReadTimeout, o.MaintNotificationsConfig.Mode)
			}
		})
	}
}

func TestDialCluster(t *testing.T) {
	t.Parallel()
	c, err := queue.Dial("redis+cluster://u:p@h1:1?addr=h2:2&read_timeout=30s", queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	o := c.(*redis.ClusterClient).Options()
	if len(o.Addrs) != 2 || o.Username != "u" || o.Password != "p" || o.PoolSize != 16 || !o.ContextTimeoutEnabled || o.ReadTimeout != 3*time.Second {
		t.Errorf("addresses %q, user %q, pool %d, read timeout %v", o.Addrs, o.Username, o.PoolSize, o.ReadTimeout)
	}
}

func TestDialRefuses(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "host:6379", "http://host", "redis://host/x", "redis://host?nonsense=1", "redis+cloud://host", "redis+sentinel://host",
		"redis://us er:secret@host:port:port", "unix://",
	} {
		_, err := queue.Dial(url, queue.Options{})
		if err == nil {
			t.Errorf("Dial(%q) = nil error", url)
			continue
		}
		if s := err.Error(); strings.Contains(s, "secret") || strings.Contains(s, "\n") || !strings.HasPrefix(s, "the address of Redis") {
			t.Errorf("Dial(%q) = %q", url, s)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		if warnings, err := open(t, e.client).Check(context.Background()); err != nil || len(warnings) != 0 {
			t.Errorf("Check = %q, %v, want nothing to say", warnings, err)
		}
	})
	t.Run("eviction", func(t *testing.T) {
		t.Parallel()
		s := testenv.StartRedis(t, "--maxmemory-policy", "allkeys-lru")
		warnings, err := open(t, dial(t, s.URL)).Check(context.Background())
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "noeviction") {
			t.Errorf("Check = %q, %v, want a warning", warnings, err)
		}
	})
	t.Run("away", func(t *testing.T) {
		t.Parallel()
		s := testenv.StartRedis(t)
		s.Kill()
		if _, err := open(t, dial(t, s.URL)).Check(context.Background()); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("Check without Redis = %v", err)
		}
	})
}

func TestAtLeast(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"6.2.0": true, "6.2": true, "7.0.15": true, "10.1": true, "6.0.16": false, "5.9.9": false, "6": true, "valkey": true,
	} {
		if got := queue.AtLeast(version, 6, 2); got != want {
			t.Errorf("AtLeast(%q, 6, 2) = %v, want %v", version, got, want)
		}
	}
}

func FuzzTask(f *testing.F) {
	f.Add("0189-x.7", []byte(`{"job":"a","fence":1}`))
	f.Add(".1", []byte(`{}`))
	f.Fuzz(func(t *testing.T, id string, payload []byte) {
		if job, fence, ok := queue.ParseID(id); ok {
			again, n, ok := queue.ParseID(queue.Task{Job: job, Fence: fence}.ID())
			if !ok || again != job || n != fence {
				t.Errorf("ParseID(%q) = %q, %d, and back %q, %d", id, job, fence, again, n)
			}
		}
		if job, fence, err := queue.ParsePayload(payload); err == nil {
			b, err := queue.Task{Job: job, Fence: fence}.Payload()
			if err != nil {
				t.Fatal(err)
			}
			if again, n, err := queue.ParsePayload(b); err != nil || again != job || n != fence {
				t.Errorf("ParsePayload(%q) = %q, %d, and back %q, %d, %v", payload, job, fence, again, n, err)
			}
		}
	})
}
