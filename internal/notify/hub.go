package notify

import (
	"context"
	"sync"
)

// pending bounds the events that wait for one watcher. The newest count: a watcher that falls behind loses the oldest.
const pending = 16

// Hub gives the news of all jobs to those in this process who watch one. One subscription serves them all.
type Hub struct {
	cfg Config

	mu      sync.Mutex
	watches map[string]map[*Watch]struct{} // by job
}

// NewHub makes a Hub. News come while Run runs; Watch works before, too, and hears nothing.
func NewHub(cfg Config) *Hub { return &Hub{cfg: cfg, watches: map[string]map[*Watch]struct{}{}} }

// Run listens until ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	return listen(ctx, h.cfg, eventsChannel, func(payload string) { h.deliver(parseEvents(payload)) })
}

// Watch is somebody's interest in one job.
type Watch struct {
	// C brings events until Close. It is never closed: a hub that hears nothing and one that has ended look the same.
	C <-chan Event

	c   chan Event
	hub *Hub
	job string
}

// Watch begins to watch a job; the caller closes the Watch. To miss nothing, watch first and read the ledger after.
func (h *Hub) Watch(job string) *Watch {
	c := make(chan Event, pending)
	w := &Watch{C: c, c: c, hub: h, job: job}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watches[job] == nil {
		h.watches[job] = map[*Watch]struct{}{}
	}
	h.watches[job][w] = struct{}{}
	return w
}

// Close ends the watch. Events that wait in C may still be read.
func (w *Watch) Close() {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watches[w.job], w)
	if len(h.watches[w.job]) == 0 {
		delete(h.watches, w.job)
	}
}

// Watching counts open watches: more than there are waiting requests would be a leak.
func (h *Hub) Watching() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, set := range h.watches {
		n += len(set)
	}
	return n
}

func (h *Hub) deliver(events []Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		for w := range h.watches[e.Job] {
			w.put(e)
		}
	}
}

// put never waits. The hub's lock makes it the only sender, so a place that it frees stays free.
func (w *Watch) put(e Event) {
	select {
	case w.c <- e:
		return
	default:
	}
	select {
	case <-w.c:
	default: // the watcher has just taken one itself
	}
	w.c <- e
}
