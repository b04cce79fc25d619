package rest

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
)

// maxDepthCount bounds how far a queue is counted: beyond it a client reads "at least".
const maxDepthCount = 10_000

type queuesView struct {
	Items []queueView `json:"items"`
	AsOf  stamp       `json:"as_of"`
	Limit int         `json:"limit"` // counts end here
}

type queueView struct {
	Name     string            `json:"name"`
	Pool     millrace.Pool     `json:"pool"`
	Priority millrace.Priority `json:"priority"`
	Depth    int               `json:"depth"`   // due and waiting for a worker
	Delayed  int               `json:"delayed"` // scheduled or retrying
	Running  int               `json:"running"`
	Latency  string            `json:"latency"` // how long the oldest has been due
	Paused   bool              `json:"paused"`
}

// queueCache keeps the depths for a few seconds, so that watching clients cost the ledger one look.
type queueCache struct {
	mu   sync.Mutex
	view queuesView
}

func (s *Server) listQueues(c echo.Context) error {
	view, err := s.depths(c.Request().Context())
	if err != nil {
		return fromLedger(err)
	}
	return respond(s, c, http.StatusOK, view)
}

func (s *Server) depths(ctx context.Context) (queuesView, error) {
	q := &s.queues
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if now.Sub(time.Time(q.view.AsOf)) < s.Limits.QueuesStay {
		return q.view, nil
	}
	depths, err := s.Ledger.Depths(ctx, maxDepthCount)
	if err != nil {
		return queuesView{}, err
	}
	rows := make(map[string]queueView, len(depths))
	for _, d := range depths {
		rows[d.Queue] = queueView{Depth: d.Ready, Delayed: d.Delayed, Running: d.Running, Latency: d.Oldest.Round(time.Millisecond).String()}
	}
	view := queuesView{AsOf: stamp(now), Limit: maxDepthCount}
	for _, pool := range millrace.Pools() {
		for _, priority := range millrace.Priorities() {
			name := millrace.QueueName(pool, priority)
			row, ok := rows[name]
			if !ok {
				row.Latency = "0s"
			}
			row.Name, row.Pool, row.Priority = name, pool, priority
			view.Items = append(view.Items, row)
		}
	}
	q.view = view
	return view, nil
}
