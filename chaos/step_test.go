//go:build linux

package chaos_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/internal/fault"
)

// step is one fault of a plan.
type step struct {
	name string
	kind kind
	// do breaks something and mends it again, and says when the fault began and ended, as far as a process could feel it.
	do func(r *chaosRun) (strike, error)
}

// once is a fault without a duration.
func once(name string, k kind, do func(r *chaosRun) error) step {
	return step{name, k, func(r *chaosRun) (strike, error) {
		now := time.Now()
		err := do(r)
		return strike{began: now, ended: now, hit: err == nil}, err
	}}
}

// lasting is a fault that is mended after a while.
func lasting(name string, k kind, d func(r *chaosRun) time.Duration, begin, end func(r *chaosRun) error) step {
	return step{name, k, func(r *chaosRun) (strike, error) {
		s := strike{began: time.Now()}
		err := begin(r)
		s.hit = err == nil
		r.sleep(d(r))
		if mended := end(r); err == nil {
			err = mended
		}
		s.ended = time.Now()
		return s, err
	}}
}

func seconds(low, high float64) func(r *chaosRun) time.Duration {
	return func(r *chaosRun) time.Duration {
		return time.Duration((low + r.rand.Float64()*(high-low)) * float64(time.Second))
	}
}

// kill ends one process of a kind with SIGKILL.
func kill(what string) step {
	k := killed
	switch {
	case what == "core":
		k = coreGone
	case what == "leader" || strings.HasPrefix(what, "scheduler"):
		k = deposed
	}
	return once("kill -9 "+what, k, func(r *chaosRun) error { return r.hit(what, syscall.SIGKILL) })
}

// freeze stops one process of a kind and lets it go on.
func freeze(what string, k kind, d func(*chaosRun) time.Duration) step {
	return step{"SIGSTOP " + what, k, func(r *chaosRun) (strike, error) {
		pid, err := r.one(what)
		if err != nil {
			return strike{}, err
		}
		s := strike{began: time.Now(), note: fmt.Sprint("pid ", pid)}
		err = signal(pid, syscall.SIGSTOP)
		s.hit = err == nil
		r.sleep(d(r))
		_ = signal(pid, syscall.SIGCONT)
		s.ended = time.Now()
		return s, err
	}}
}

// term drains a unit; its service manager starts it again.
func term(unit string) step {
	return step{"SIGTERM " + unit, drained, func(r *chaosRun) (strike, error) {
		s := strike{began: time.Now(), hit: true}
		took, ok := r.f.units[unit].term(40 * time.Second)
		s.ended, s.note = time.Now().Add(500*time.Millisecond), fmt.Sprintf("drained in %v", took.Round(time.Millisecond))
		if !ok {
			return s, fmt.Errorf("%s had not drained after 40 s", unit)
		}
		return s, nil
	}}
}

// order lets a process do something to itself at a named moment, and waits until one has.
func order(point, action, child string, patience time.Duration) step {
	k := killed
	switch {
	case child == "core":
		k = coreGone
	case point == fault.Leading || point == fault.Marked:
		k = deposed
	case action == "stop":
		k = lost
	case action == "error" && point == fault.Fsync:
		k = diskFull
	case action == "error":
		k = linkOut
	}
	return step{action + " at " + point, k, func(r *chaosRun) (strike, error) {
		text := action
		if point != fault.Marked { // which comes once
			text += fmt.Sprintf(" every=%d", 1+r.rand.IntN(5))
		}
		if child != "" {
			text += " child=" + child
		}
		before := len(r.f.ownStrikes())
		if err := r.f.order(point, text); err != nil {
			return strike{}, err
		}
		var own ownStrike
		hit := eventually(patience, func() bool {
			for _, o := range r.f.ownStrikes()[before:] {
				if o.point == point && o.action == action {
					own = o
					return true
				}
			}
			return r.ctx.Err() != nil
		})
		if !hit || own.pid == 0 {
			r.f.withdraw(point)
			return strike{}, fmt.Errorf("nobody came to %s within %v", point, patience)
		}
		s := strike{began: own.at, ended: own.at, hit: true, note: fmt.Sprint("pid ", own.pid)}
		if action == "stop" {
			r.sleep(seconds(r.freezeLow, r.freezeHigh)(r))
			_ = signal(own.pid, syscall.SIGCONT)
			s.ended = time.Now()
		}
		return s, nil
	}}
}

var flushAll = once("FLUSHALL", flushed, func(r *chaosRun) error {
	options, err := redis.ParseURL(r.f.redis.URL)
	if err != nil {
		return err
	}
	client := redis.NewClient(options)
	defer client.Close()
	return client.FlushAll(r.ctx).Err()
})

func killRedis(d func(*chaosRun) time.Duration) step {
	return lasting("kill -9 redis-server", redisOut, d,
		func(r *chaosRun) error { r.f.redis.Kill(); return nil },
		func(r *chaosRun) error { r.f.redis.Start(r.t); return nil })
}

func hangRedis(d func(*chaosRun) time.Duration) step {
	return lasting("SIGSTOP redis-server", redisOut, d,
		func(r *chaosRun) error { return r.f.redis.Hang() },
		func(r *chaosRun) error { return r.f.redis.Resume() })
}

func stopPostgres(d func(*chaosRun) time.Duration) step {
	return lasting("PostgreSQL stopped -m immediate", pgOut, d,
		func(r *chaosRun) error { r.f.pg.StopImmediate(); return nil },
		func(r *chaosRun) error { r.f.pg.Start(r.t); return nil })
}

// way is a fault of the links of one unit.
func way(name string, k kind, unit string, d func(*chaosRun) time.Duration, servers []string, harm func(*link) error) step {
	each := func(r *chaosRun, do func(*link) error) error {
		for _, server := range servers {
			if err := do(r.f.links[unit+"/"+server]); err != nil {
				return fmt.Errorf("%s of %s/%s: %w", name, unit, server, err)
			}
		}
		return nil
	}
	return lasting(name+" "+unit+" and "+strings.Join(servers, ", "), k, d,
		func(r *chaosRun) error { return each(r, harm) },
		func(r *chaosRun) error { return each(r, (*link).join) })
}

func cutWay(unit string, d func(*chaosRun) time.Duration, servers ...string) step {
	return way("cut between", linkOut, unit, d, servers, func(l *link) error { l.cut(); return nil })
}

func slowWay(unit string, ms int, d func(*chaosRun) time.Duration, servers ...string) step {
	return way(fmt.Sprintf("%d ms between", ms), linkOut, unit, d, servers, func(l *link) error { return l.slow(ms) })
}

func silentWay(unit string, d func(*chaosRun) time.Duration) step {
	return way("silence between", lost, unit, d, []string{"redis", "postgres"}, (*link).swallow)
}

func fillDisk(d func(*chaosRun) time.Duration) step {
	return lasting("disk full", diskFull, d, func(r *chaosRun) error {
		if r.f.volume.limited != "" {
			return skipped(r.f.volume.limited)
		}
		return r.f.volume.fill()
	}, func(r *chaosRun) error {
		if r.f.volume.limited != "" {
			return nil
		}
		return r.f.volume.free()
	})
}

// skipped is a fault that this machine does not allow.
type skipped string

func (s skipped) Error() string { return "skipped: " + string(s) }

// killCollector strikes the leader between marking blobs and deleting them. A new leader collects at once: so there is something to collect, its
// time passes, the leader is told to end, and the next one is struck.
func killCollector(leader, child string) step {
	strikeIt := order(fault.Marked, "kill", child, 30*time.Second)
	return step{strikeIt.name, strikeIt.kind, func(r *chaosRun) (strike, error) {
		if err := collectable(r); err != nil {
			return strike{}, err
		}
		r.sleep(blobGrace + time.Second)
		pid, err := r.one(leader)
		if err != nil {
			return strike{}, err
		}
		for _, u := range r.f.units {
			if u.pid() == pid {
				u.ask() // it gives its lease back: the next one need not wait for the end of it
			}
		}
		return strikeIt.do(r)
	}}
}

// collectable makes a blob that nobody refers to. The fault before may have ended a moment ago, as a full disk that refuses uploads: so it asks again.
func collectable(r *chaosRun) error {
	var err error
	asked := eventually(15*time.Second, func() bool {
		err = unwanted(r)
		return err == nil || r.ctx.Err() != nil
	})
	if !asked {
		return fmt.Errorf("no blob to collect: %w", err)
	}
	return r.ctx.Err()
}

// unwanted uploads a file and deletes it.
func unwanted(r *chaosRun) error {
	var file struct{ ID string }
	body := fmt.Appendf(nil, "nobody wants this: %d", rand.Uint64())
	header := map[string]string{"Content-Type": "application/octet-stream"}
	if status, _, err := r.f.call(r.ctx, r.load.client, "POST", "/v1/files?name=unwanted", body, header, &file); err != nil || status != http.StatusCreated {
		return fmt.Errorf("upload: %d, %v", status, err)
	}
	if status, _, err := r.f.call(r.ctx, r.load.client, "DELETE", "/v1/files/"+file.ID, nil, nil, nil); err != nil || status >= 300 {
		return fmt.Errorf("delete: %d, %v", status, err)
	}
	return nil
}

// hit sends a signal to one process of a kind.
func (r *chaosRun) hit(what string, s syscall.Signal) error {
	pid, err := r.one(what)
	if err != nil {
		return err
	}
	return signal(pid, s)
}

// one chooses a process of a kind. An earlier fault may have ended all of them a moment ago.
func (r *chaosRun) one(what string) (int, error) {
	var pids []int
	if !eventually(15*time.Second, func() bool { pids = r.f.processes(what); return len(pids) > 0 || r.ctx.Err() != nil }) || len(pids) == 0 {
		return 0, fmt.Errorf("no %s is running", what)
	}
	return pids[r.rand.IntN(len(pids))], nil
}

func (r *chaosRun) sleep(d time.Duration) {
	select {
	case <-r.ctx.Done():
	case <-time.After(d):
	}
}
