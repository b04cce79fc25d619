package rest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
)

// maxDepthCount bounds how far a queue is counted: beyond it a client reads "at least".
const maxDepthCount = 10_000

// depthsTimeout bounds one look at the queues, which is nobody's request alone.
const depthsTimeout = 10 * time.Second

type queuesView struct {
	Items []queueView `json:"items"`
	AsOf  stamp       `json:"as_of"`
	Limit int         `json:"limit"` // counts end here
}

type queueView struct {
	Name     string             `json:"name"`
	Pool     millrace.Pool      `json:"pool"`
	Priority *millrace.Priority `json:"priority"` // null for the quarantine
	Depth    int                `json:"depth"`    // due and waiting for a worker
	Delayed  int                `json:"delayed"`  // scheduled or retrying
	Running  int                `json:"running"`
	Waiting  int                `json:"waiting"` // for an equal job
	Latency  string             `json:"latency"` // how long the oldest has been due
	Paused   bool               `json:"paused"`
}

// queueCache keeps the last look at the queues for a few seconds, so that watching clients cost the ledger one look. While one is on its way all
// who ask wait for it, each as long as it likes.
type queueCache struct {
	mu     sync.Mutex // held for moments, never over a look
	view   queuesView
	flight *queueLook
}

// queueLook is a look at the queues that is on its way. view and err are there once done is closed.
type queueLook struct {
	done chan struct{}
	view queuesView
	err  error
}

func (s *Server) listQueues(c echo.Context) error {
	view, err := s.depths(c.Request().Context(), s.Limits.QueuesStay)
	if err != nil {
		return fromLedger(err)
	}
	return respond(s, c, http.StatusOK, view)
}

func (s *Server) pauseQueue(c echo.Context) error { return s.setPaused(c, true) }

func (s *Server) resumeQueue(c echo.Context) error { return s.setPaused(c, false) }

// setPaused answers with the queue as it is then.
func (s *Server) setPaused(c echo.Context, paused bool) error {
	name := c.Param("name")
	at := slices.Index(millrace.Queues(), name)
	if at < 0 {
		return millrace.Errorf(millrace.NotFound, "there is no such queue; GET /v1/queues lists them")
	}
	if err := s.noBody(c); err != nil {
		return err
	}
	ctx := c.Request().Context()
	if err := s.Dispatcher.PauseQueue(ctx, name, paused); err != nil {
		return fromLedger(err)
	}
	view, err := s.depths(ctx, 0)
	if err != nil {
		return fromLedger(err)
	}
	queue := view.Items[at]
	queue.Paused = paused // whatever a look that had begun before has seen
	return respond(s, c, http.StatusOK, queue)
}

// depths looks at the queues, or answers what was seen no longer ago than stay.
func (s *Server) depths(ctx context.Context, stay time.Duration) (queuesView, error) {
	q := &s.queues
	q.mu.Lock()
	if stay > 0 && time.Since(time.Time(q.view.AsOf)) < stay {
		defer q.mu.Unlock()
		return q.view, nil
	}
	look := q.flight
	if look == nil {
		look = &queueLook{done: make(chan struct{})}
		q.flight = look
		go s.lookAtQueues(context.WithoutCancel(ctx), look)
	}
	q.mu.Unlock()
	select {
	case <-look.done:
		return look.view, look.err
	case <-ctx.Done():
		return queuesView{}, ctx.Err()
	}
}

// lookAtQueues makes a look and leaves it for those who come after. It ends by its own limit.
func (s *Server) lookAtQueues(ctx context.Context, look *queueLook) {
	ctx, cancel := context.WithTimeout(ctx, depthsTimeout)
	defer cancel()
	look.view, look.err = s.readQueues(ctx)
	s.queues.mu.Lock()
	if look.err == nil {
		s.queues.view = look.view
	}
	s.queues.flight = nil
	s.queues.mu.Unlock()
	close(look.done)
}

func (s *Server) readQueues(ctx context.Context) (queuesView, error) {
	now := time.Now()
	depths, err := s.Ledger.Depths(ctx, maxDepthCount)
	if err != nil {
		return queuesView{}, err
	}
	paused, err := s.Ledger.PausedQueues(ctx)
	if err != nil {
		return queuesView{}, err
	}
	rows := make(map[string]queueView, len(depths))
	for _, d := range depths {
		rows[d.Queue] = queueView{Depth: d.Ready, Delayed: d.Delayed, Running: d.Running, Waiting: d.Waiting, Latency: d.Oldest.Round(time.Millisecond).String()}
	}
	view := queuesView{AsOf: stamp(now), Limit: maxDepthCount}
	for _, name := range millrace.Queues() {
		row, ok := rows[name]
		if !ok {
			row.Latency = "0s"
		}
		pool, priority, pooled := strings.Cut(name, ".")
		if row.Name, row.Pool = name, millrace.Pool(pool); pooled {
			p := millrace.Priority(priority)
			row.Priority = &p
		}
		row.Paused = slices.Contains(paused, name)
		view.Items = append(view.Items, row)
	}
	return view, nil
}
