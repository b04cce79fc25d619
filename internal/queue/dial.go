package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options are the client's bounds. What a URL says itself goes first.
type Options struct {
	PoolSize int // connections; 16. A worker needs its slots and eight more
}

// Dial makes a client for a REDIS_URL. Nothing is connected before the first command; the caller closes it.
//
//	redis://user:password@host:6379/0            one server; rediss:// with TLS, unix:///path for a socket
//	redis://host:26379/0?master_name=main&addr=host2:26379&username=u&password=p    Sentinel (also redis+sentinel://)
//	redis+cluster://user:password@host:6379?addr=host2:6379                         Cluster
func Dial(raw string, opts Options) (redis.UniversalClient, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("the address of Redis is not a URL") // the error would repeat the password
	}
	scheme, kind, _ := strings.Cut(u.Scheme, "+")
	if kind == "" && u.Query().Get("master_name") != "" {
		kind = "sentinel"
	}
	u.Scheme = scheme
	pool := cmp.Or(opts.PoolSize, 16)
	var client redis.UniversalClient
	switch kind {
	case "":
		client, err = dialOne(u, pool)
	case "sentinel":
		client, err = dialSentinel(u, pool)
	case "cluster":
		client, err = dialCluster(u, pool)
	default:
		err = fmt.Errorf("scheme %q is none of redis, rediss, unix, redis+sentinel, redis+cluster", u.Scheme+"+"+kind)
	}
	if err != nil {
		return nil, fmt.Errorf("the address of Redis: %s", strings.TrimPrefix(err.Error(), "redis: "))
	}
	return client, nil
}

const (
	dialTimeout = 2 * time.Second
	// ioTimeout stays below asynq's heartbeat: while Redis hangs, no task of a server can start or finish.
	ioTimeout = 3 * time.Second
	// pipelines are sent by two goroutines; go-redis keeps connections with large buffers for them.
	pipelineConns = 4
)

func noMaintNotifications() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled} // its goroutine outlives the client
}

func dialOne(u *url.URL, pool int) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, err
	}
	o.ContextTimeoutEnabled = true // else a hanging Redis holds a caller beyond its deadline
	o.MaintNotificationsConfig = noMaintNotifications()
	bounds{&o.PoolSize, &o.MinIdleConns, &o.PipelinePoolSize, &o.DialerRetries, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout}.fill(pool, 2)
	return redis.NewClient(o), nil
}

func dialSentinel(u *url.URL, pool int) (redis.UniversalClient, error) {
	o, err := redis.ParseFailoverURL(u.String())
	if err != nil {
		return nil, err
	}
	if o.MasterName == "" {
		return nil, errors.New("a Sentinel URL needs master_name")
	}
	o.ContextTimeoutEnabled = true
	bounds{&o.PoolSize, &o.MinIdleConns, &o.PipelinePoolSize, &o.DialerRetries, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout}.fill(pool, 2)
	return redis.NewFailoverClient(o), nil
}

func dialCluster(u *url.URL, pool int) (redis.UniversalClient, error) {
	o, err := redis.ParseClusterURL(u.String())
	if err != nil {
		return nil, err
	}
	o.ContextTimeoutEnabled = true
	o.MaintNotificationsConfig = noMaintNotifications()
	bounds{&o.PoolSize, &o.MinIdleConns, &o.PipelinePoolSize, &o.DialerRetries, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout}.fill(pool, 1)
	return redis.NewClusterClient(o), nil
}

// bounds are the fields that go-redis has in each of its three structs of options.
type bounds struct {
	pool, idle, pipeline, retries *int
	dial, read, write             *time.Duration
}

// fill sets what the URL left open, and keeps the timeouts short.
func (b bounds) fill(pool, idle int) {
	*b.pool, *b.idle = cmp.Or(*b.pool, pool), cmp.Or(*b.idle, idle)
	*b.pipeline = cmp.Or(*b.pipeline, pipelineConns)
	*b.dial, *b.retries = cmp.Or(*b.dial, dialTimeout), cmp.Or(*b.retries, 1)
	*b.read, *b.write = atMost(*b.read), atMost(*b.write)
}

// atMost keeps a timeout from the URL within ioTimeout; none at all would let one hanging socket hold a worker for ever.
func atMost(d time.Duration) time.Duration {
	if d <= 0 || d > ioTimeout {
		return ioTimeout
	}
	return d
}

// ErrTooOld says that Redis answers and cannot work.
var ErrTooOld = errors.New("too old: 6.2 or newer is needed")

// Check asks Redis what it is. A version that cannot work is ErrTooOld in one line; what works until it hurts is a warning.
func (q *Queue) Check(ctx context.Context) (warnings []string, err error) {
	server, err := q.redis.Info(ctx, "server").Result()
	if _, refused := errors.AsType[redis.Error](err); err != nil && !refused {
		return nil, fmt.Errorf("reach Redis: %w", err)
	}
	if v := infoField(server, "redis_version"); v != "" && !atLeast(v, 6, 2) {
		return nil, fmt.Errorf("redis %s is %w", v, ErrTooOld)
	}
	memory, err := q.redis.Info(ctx, "memory").Result()
	if _, refused := errors.AsType[redis.Error](err); err != nil && !refused {
		return nil, fmt.Errorf("reach Redis: %w", err)
	}
	if p := infoField(memory, "maxmemory_policy"); p != "" && p != "noeviction" {
		warnings = append(warnings, fmt.Sprintf("redis has maxmemory-policy %s: it may evict queued tasks; set noeviction", p))
	}
	return warnings, nil
}

// atLeast compares the first two numbers of a version. What cannot be read passes: it is some other server that speaks Redis.
func atLeast(version string, major, minor int) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(first)
	b, errB := strconv.Atoi(second)
	if errA != nil || errB != nil {
		return true
	}
	return a > major || a == major && b >= minor
}
