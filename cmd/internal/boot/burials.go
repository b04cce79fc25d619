package boot

import (
	"context"
	"log/slog"
	"strings"
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

// death is what the ledger keeps of how a worker process ended, and what the owner of a job may read. A quarantine works for several tenants one after
// the other, and its last lines may be about any of them: they are for this server's log, and of them only what kind of end they tell is kept.
func death(exit supervise.Exit) store.Death {
	d := store.Death{Crash: exit.Crashed(), Detail: exit.String()}
	if why := lastWords(exit.Tail); why != "" {
		d.Detail += ": " + why
	}
	return d
}

// lastWords says why Go gave a process up, by the headline that it writes, and never in its words.
func lastWords(tail string) string {
	for _, end := range []struct{ headline, phrase string }{
		{"runtime: out of memory", "it ran out of memory"},
		{"fatal error: runtime: out of memory", "it ran out of memory"},
		{"fatal error: runtime: cannot allocate memory", "it ran out of memory"},
		{"panic: ", "it panicked"},
		{"fatal error: ", "it met a fatal error"},
	} {
		for line := range strings.Lines(tail) {
			if strings.HasPrefix(line, end.headline) {
				return end.phrase
			}
		}
	}
	return ""
}

// logTail leaves the last lines of a process that crashed where the operator finds them.
func logTail(log *slog.Logger, exit supervise.Exit) {
	if exit.Crashed() && exit.Tail != "" {
		log.Warn("the last lines of a process that crashed", "process", exit.Name, "pid", exit.PID, "end", exit.String(), "lines", exit.Tail)
	}
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
	logTail(b.log, exit)
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
