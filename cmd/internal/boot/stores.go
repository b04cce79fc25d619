package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/rest"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/blob"
	"github.com/millrace/millrace/store/blob/disk"
	"github.com/millrace/millrace/store/postgres"
)

// Connections of one process to PostgreSQL, by role. All processes together must stay below its max_connections, 100 by default.
const (
	apiConns        = 16
	workerConns     = 4
	schedulerConns  = 4
	supervisorConns = 2
)

// redisConns is what a process needs of connections to Redis besides one for each slot: two asynq servers with their own rounds.
const redisConns = 16

// How long a process waits at start for stores that do not answer yet, as when everything is started at once.
const openPatience = time.Minute

const (
	productionWindow = 20_000
	embeddedWindow   = 2_000
	embeddedArchive  = 200 // tasks kept in asynq's archive per queue; the leader's default elsewhere
)

// stores is what a process keeps its state in.
type stores struct {
	redis     redis.UniversalClient
	queue     *queue.Queue
	publisher *notify.Publisher
	ledger    store.Ledger
	blobs     blob.Store

	window, committers int                                          // how dispatch should use them
	archive            int                                          // tasks kept in asynq's archive per queue; 0: the leader's default
	backup             func(ctx context.Context, w io.Writer) error // nil where the stores have backups of their own
	closers            []func() error
}

// Close closes everything, the newest first.
func (s *stores) Close() error {
	var all []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		all = append(all, s.closers[i]())
	}
	return errors.Join(all...)
}

// openStores opens the real stores: Redis, PostgreSQL and the shared directory.
func openStores(ctx context.Context, c Config, log *slog.Logger, conns int) (*stores, error) {
	s := &stores{window: productionWindow, committers: 2}
	if err := s.openAll(ctx, c, log, conns); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *stores) openAll(ctx context.Context, c Config, log *slog.Logger, conns int) error {
	if _, err := openDisk(c); err != nil {
		return err // now, and not after a minute of waiting for the others
	}
	if err := s.openRedis(ctx, c, log); err != nil {
		return err
	}
	if err := s.openPostgres(ctx, c, log, conns); err != nil {
		return err
	}
	return s.openBlobs(ctx, c)
}

// openRedis connects lazily: a Redis that is away delays dispatch, and nothing else.
func (s *stores) openRedis(ctx context.Context, c Config, log *slog.Logger) error {
	client, err := queue.Dial(c.RedisURL, queue.Options{PoolSize: redisConns + c.CPU + c.IO})
	if err != nil {
		return configError("REDIS_URL: %v", err)
	}
	if err := s.useRedis(client, log); err != nil {
		return err
	}
	if err := s.queue.Ping(ctx); redis.HasErrorPrefix(err, "WRONGPASS") || redis.HasErrorPrefix(err, "NOAUTH") {
		return configError("REDIS_URL: Redis refuses its user or password; put the right ones into the URL")
	}
	warnings, err := s.queue.Check(ctx)
	for _, w := range warnings {
		log.Warn(w)
	}
	if errors.Is(err, queue.ErrTooOld) {
		return configError("REDIS_URL: %v", err)
	}
	if err != nil {
		// It may come back at any time, and accepting goes on without it.
		log.Warn("redis does not answer; jobs are accepted and wait", "error", err)
	}
	return nil
}

func (s *stores) useRedis(client redis.UniversalClient, log *slog.Logger) error {
	s.closers = append(s.closers, client.Close)
	q, err := queue.Open(queue.Config{Redis: client, Log: log})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { q.Close(); return nil })
	s.redis, s.queue = client, q
	s.publisher = notify.NewPublisher(notify.Config{Redis: client, Log: log})
	return nil
}

func (s *stores) openPostgres(ctx context.Context, c Config, log *slog.Logger, conns int) error {
	return retry(ctx, log, "PostgreSQL", func() error {
		ledger, err := postgres.Open(ctx, postgres.Config{DSN: c.Database, MaxConns: conns, Log: log, Released: s.released})
		if err != nil {
			return postgresError(err)
		}
		s.ledger = ledger
		s.closers = append(s.closers, ledger.Close)
		return nil
	})
}

// released tells those who watch jobs that waited for an equal one what has become of them. The publisher gives up soon where Redis is away.
func (s *stores) released(jobs []store.Release) {
	news := make([]notify.Event, len(jobs))
	for i, j := range jobs {
		news[i] = notify.Event{Tenant: j.Tenant, Job: j.Job, State: j.State}
	}
	s.publisher.Publish(context.Background(), news)
}

// postgresError tells what waiting mends, which is returned as it is, from what a person has to: a server that refuses this user or does not
// know the database, and one that could lose jobs.
func postgresError(err error) error {
	var refused interface{ SQLState() string }
	if errors.As(err, &refused) {
		if code := refused.SQLState(); strings.HasPrefix(code, "28") || code == "3D000" {
			return configError("DATABASE_URL: %v", err)
		}
	}
	if errors.Is(err, postgres.ErrUnsuitable) {
		return configError("DATABASE_URL: %v", err)
	}
	return err
}

// openBlobs opens the directory and checks that the ledger means this one.
func (s *stores) openBlobs(ctx context.Context, c Config) error {
	blobs, err := openDisk(c)
	if err != nil {
		return err
	}
	s.blobs = blobs
	if s.ledger == nil {
		return nil // a worker behind the socket; core has checked
	}
	id, err := blobs.ID(ctx)
	if err != nil {
		return fmt.Errorf("read the blob store's id: %w", err)
	}
	if err := s.ledger.BlobStore(ctx, id); errors.Is(err, store.ErrOtherBlobStore) {
		return configError("the files in %s are not those of this ledger; set BLOB_URL or --data-dir to the directory that the ledger was begun with", c.blobDir())
	} else if err != nil {
		return err
	}
	return nil
}

// openDisk opens the directory of the files, and makes it where it is missing.
func openDisk(c Config) (*disk.Store, error) {
	blobs, err := disk.Open(disk.Config{Dir: c.blobDir()})
	if errors.Is(err, blob.ErrFull) {
		return nil, err
	}
	if err != nil {
		name := "BLOB_URL"
		if c.BlobURL == "" {
			name = c.names["data-dir"]
		}
		return nil, configError("%s: the directory of the files cannot be used: %v; make it one that this user may write to", name, err)
	}
	return blobs, nil
}

// retry gives a store that does not answer yet some time. What a person has to mend ends it at once.
func retry(ctx context.Context, log *slog.Logger, what string, open func() error) error {
	began := time.Now()
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := open()
		if err == nil || isUsage(err) || ctx.Err() != nil || time.Since(began) > openPatience {
			return err
		}
		if pause == 200*time.Millisecond {
			log.Warn(what+" does not answer; trying for a minute", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// lowDisk is when readyz says that the disk is about to be full, in bytes.
const lowDisk = 128 << 20

// checks are the dependencies that readyz names.
func (s *stores) checks() []rest.Check {
	return []rest.Check{
		{Name: "ledger", Required: true, Func: s.ledger.Ping},
		{Name: "blobs", Required: true, Func: func(ctx context.Context) error {
			_, err := s.blobs.Free(ctx)
			return err
		}},
		{Name: "disk", Func: func(ctx context.Context) error {
			free, err := s.blobs.Free(ctx)
			if err == nil && free >= 0 && free < lowDisk {
				err = fmt.Errorf("%d bytes left: %w", free, blob.ErrFull)
			}
			return err
		}},
		{Name: "queue", Func: s.queue.Ping},
	}
}
