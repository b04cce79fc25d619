package boot

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/supervise"
	"github.com/millrace/millrace/store"
)

// The supervisor of an embedded server sees how a worker ended; core has the ledger, and only sees that the worker's connection has. So the
// supervisor sends word through a pipe that outlives any core.

// word is one line on that pipe: a process has begun, or has ended.
type word struct {
	PID    int    `json:"pid"`
	Ended  bool   `json:"ended"`
	Crash  bool   `json:"crash"`
	Detail string `json:"detail"`
}

// wordPatience is how long core waits for the word on a worker whose connection has ended; the supervisor takes milliseconds.
const wordPatience = time.Second

// sender is the supervisor's end. It never waits for core: a word that does not go through is a death that counts against no job.
type sender struct {
	log *slog.Logger
	mu  sync.Mutex
	to  *os.File
}

func (s *sender) started(pid int) { s.send(word{PID: pid}) }

func (s *sender) ended(exit supervise.Exit) {
	logTail(s.log, exit)
	d := death(exit)
	s.send(word{PID: exit.PID, Ended: true, Crash: d.Crash, Detail: d.Detail})
}

func (s *sender) send(w word) {
	line, err := json.Marshal(w)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		_ = s.to.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		_, err = s.to.Write(append(append([]byte{'\n'}, line...), '\n')) // the first ends what may have been cut
	}
	if err != nil {
		s.log.Warn("cannot tell core how a worker ended", "error", err)
	}
}

// receiver is core's end.
type receiver struct {
	mu     sync.Mutex
	deaths map[int]store.Death
	news   chan struct{} // closed and replaced when a word has come
}

func newReceiver() *receiver {
	return &receiver{deaths: make(map[int]store.Death), news: make(chan struct{})}
}

// listen hears the supervisor until ctx ends.
func (r *receiver) listen(ctx context.Context, from *os.File) error {
	defer from.Close()
	defer context.AfterFunc(ctx, func() { _ = from.SetReadDeadline(time.Unix(1, 0)) })()
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		var w word
		if len(lines.Bytes()) > 0 && json.Unmarshal(lines.Bytes(), &w) == nil {
			r.hear(w)
		}
	}
	return nil // the supervisor's end, or our own, is no failure of this service
}

func (r *receiver) hear(w word) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !w.Ended {
		delete(r.deaths, w.PID) // one that had the number before
		return
	}
	r.deaths[w.PID] = store.Death{Crash: w.Crash, Detail: w.Detail}
	close(r.news)
	r.news = make(chan struct{})
}

// of is how a process ended. A process of which nobody sends word, as one that lives and has only lost its connection, did not crash.
func (r *receiver) of(ctx context.Context, pid int) store.Death {
	ctx, cancel := context.WithTimeout(ctx, wordPatience)
	defer cancel()
	for {
		r.mu.Lock()
		d, known := r.deaths[pid]
		delete(r.deaths, pid)
		news := r.news
		r.mu.Unlock()
		if known {
			return d
		}
		select {
		case <-news:
		case <-ctx.Done():
			return store.Death{}
		}
	}
}
