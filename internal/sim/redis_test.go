package sim_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

var errRefused = errors.New("connection refused")

// dispatchServer is the one Redis of the world, reachable through links only.
type dispatchServer struct {
	mini *miniredis.Miniredis
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu    sync.Mutex
	down  bool
	links map[*link]struct{} // the clients' ends
	saved []stored
	run   int // which run of the server this is
}

func newDispatchServer() (*dispatchServer, error) {
	mini := miniredis.NewMiniRedis()
	conn, err := mini.Dial() // the one way to start it that opens no port
	if err != nil {
		return nil, err
	}
	if err := conn.Close(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &dispatchServer{mini: mini, stop: stop, links: map[*link]struct{}{}}
	mini.Server().SetPreHook(s.info)
	s.wg.Go(func() { s.tick(ctx) })
	return s, nil
}

// info answers INFO as Redis does, with the name of this run of the server: miniredis knows none.
func (s *dispatchServer) info(c *server.Peer, cmd string, _ ...string) bool {
	if cmd != "INFO" {
		return false
	}
	s.mu.Lock()
	run := s.run
	s.mu.Unlock()
	c.WriteBulk("run_id:" + strconv.Itoa(run) + "\r\n")
	return true
}

func (s *dispatchServer) restarted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run++
}

// tick moves the clock of keys that expire, as the embedded server does.
func (s *dispatchServer) tick(ctx context.Context) {
	const every = 250 * time.Millisecond
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.mini.FastForward(every)
		}
	}
}

func (s *dispatchServer) close() {
	s.setDown(true)
	s.stop()
	s.wg.Wait()
	s.mini.Close()
}

// client makes the Redis client of one process, with the bounds of the embedded one.
func (s *dispatchServer) client(p *process) redis.UniversalClient {
	return redis.NewClient(&redis.Options{
		Addr: "memory:1", Protocol: 2,
		Dialer:      func(context.Context, string, string) (net.Conn, error) { return s.dial(p) },
		DialTimeout: 2 * time.Second, DialerRetries: 1,
		ReadTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second,
		PoolSize: 32, MinIdleConns: 1, PipelinePoolSize: 4,
		ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

func (s *dispatchServer) dial(p *process) (net.Conn, error) {
	if _, err := p.transmit("redis: dial"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errRefused
	}
	ours, theirs := newLink(p)
	if err := p.remember(ours); err != nil {
		return nil, err
	}
	s.links[ours] = struct{}{}
	s.mini.Server().ServeConn(theirs)
	return ours, nil
}

// setDown refuses connections and cuts those there are, or answers again.
func (s *dispatchServer) setDown(down bool) {
	s.mu.Lock()
	s.down = down
	cut := make([]*link, 0, len(s.links))
	if down {
		for l := range s.links {
			cut = append(cut, l)
		}
		clear(s.links)
	}
	s.mu.Unlock()
	for _, l := range cut {
		l.Close()
	}
}

// stored is one key as it was.
type stored struct {
	key, kind string
	ttl       time.Duration
	text      string
	list      []string
	scores    map[string]float64
}

// save copies everything, to be restored later as an old snapshot.
func (s *dispatchServer) save() {
	db := s.mini.DB(0)
	var all []stored
	for _, key := range db.Keys() {
		k := stored{key: key, kind: db.Type(key), ttl: db.TTL(key)}
		switch k.kind {
		case "string":
			k.text, _ = db.Get(key)
		case "list":
			k.list, _ = db.List(key)
		case "set":
			k.list, _ = db.Members(key)
		case "hash":
			fields, _ := db.HKeys(key)
			for _, f := range fields {
				k.list = append(k.list, f, db.HGet(key, f))
			}
		case "zset":
			k.scores, _ = db.SortedSet(key)
		}
		all = append(all, k)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved = all
}

// restore puts the saved copy in the place of everything.
func (s *dispatchServer) restore() {
	s.mu.Lock()
	saved := s.saved
	s.mu.Unlock()
	s.mini.FlushAll()
	db := s.mini.DB(0)
	for _, k := range saved {
		switch k.kind {
		case "string":
			_ = db.Set(k.key, k.text)
		case "list":
			_, _ = db.Push(k.key, k.list...)
		case "set":
			_, _ = db.SetAdd(k.key, k.list...)
		case "hash":
			db.HSet(k.key, k.list...)
		case "zset":
			for m, score := range k.scores {
				_, _ = db.ZAdd(k.key, score, m)
			}
		}
		if k.ttl > 0 {
			db.SetTTL(k.key, k.ttl)
		}
	}
}

// mute is where the Redis client writes of failed dials.
type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}
