package boot

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/supervise"
	"github.com/millrace/millrace/store"
)

// mourner is told of worker processes as they come and go.
type mourner interface {
	started(pid int)
	ended(exit supervise.Exit)
}

// death is what the ledger keeps of how a worker process ended.
func death(exit supervise.Exit) store.Death {
	d := store.Death{Crash: exit.Crashed(), Detail: exit.String()}
	if exit.Tail != "" {
		d.Detail += "\n" + exit.Tail
	}
	return d
}

// burials tell a PostgreSQL ledger that workers of this host are dead the moment they are, and put their jobs back.
type burials struct {
	ledger store.Ledger
	log    *slog.Logger

	mu  sync.Mutex
	own map[int]bool // the processes of this supervisor: each is buried when it is known how it ended
}

func newBurials(ledger store.Ledger, log *slog.Logger) *burials {
	return &burials{ledger: ledger, log: log, own: make(map[int]bool)}
}

func (b *burials) started(pid int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.own[pid] = true
}

func (b *burials) ended(exit supervise.Exit) {
	b.mu.Lock()
	delete(b.own, exit.PID)
	b.mu.Unlock()
	b.bury(exit)
}

func (b *burials) lives(pid int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.own[pid]
}

// bury declares dead the workers of this host whose processes are gone. Nobody knows how those ended that are not of this supervisor, or of a run
// before it: that counts as no crash. Their number alone names the one that has just ended; it cannot have been used again before it was waited for.
func (b *burials) bury(exit supervise.Exit) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	host, err := supervise.Host()
	if err != nil {
		b.log.Warn("cannot bury dead workers; the leader will", "error", err)
		return
	}
	n, err := b.ledger.BuryHost(ctx, host.Name,
		func(w millrace.Worker) bool { return b.lives(w.PID) || !host.Gone(w.BootID, w.PID, w.PIDStart) },
		func(w millrace.Worker) store.Death {
			if w.PID == exit.PID && w.BootID == host.BootID {
				return death(exit)
			}
			return store.Death{}
		})
	if err != nil {
		b.log.Warn("cannot bury dead workers; the leader will", "error", err)
		return
	}
	if n > 0 {
		rescue(ctx, b.ledger, b.log)
	}
}
