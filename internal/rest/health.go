package rest

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// How /readyz asks: each dependency for so long, and anew after so long, since anybody may call it.
const (
	checkTimeout = 2 * time.Second
	checkStay    = 500 * time.Millisecond
)

// readyView names each dependency and says no more about it: why one fails is in the log.
type readyView struct {
	Status string            `json:"status"` // ready, degraded, unready or draining
	Checks map[string]string `json:"checks"` // ok or failing
	Images *engineView       `json:"images,omitempty"`
}

// readiness is the last look at the dependencies.
type readiness struct {
	mu   sync.Mutex
	at   time.Time
	view readyView
}

func (s *Server) livez(c echo.Context) error {
	return s.respondBytes(c, http.StatusOK, "application/json", []byte(`{"status":"ok"}`+"\n"))
}

func (s *Server) readyz(c echo.Context) error {
	view := s.look(c.Request().Context())
	if s.draining.Load() {
		view.Status = "draining"
	}
	status := http.StatusOK
	if view.Status != "ready" && view.Status != "degraded" {
		status = http.StatusServiceUnavailable
		c.Response().Header().Set("Retry-After", "2")
	}
	return respond(s, c, status, view)
}

// look asks all dependencies at once, or answers what was found a moment ago.
func (s *Server) look(ctx context.Context) readyView {
	s.ready.mu.Lock()
	defer s.ready.mu.Unlock()
	if time.Since(s.ready.at) < checkStay {
		return s.ready.view
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout) // the answer is for others too
	defer cancel()
	errs := make([]error, len(s.Checks))
	var all sync.WaitGroup
	for i, check := range s.Checks {
		all.Go(func() { errs[i] = check.Func(ctx) })
	}
	all.Wait()
	view := readyView{Status: "ready", Checks: make(map[string]string, len(s.Checks)), Images: viewEngine(s.Images)}
	for i, check := range s.Checks {
		view.Checks[check.Name] = "ok"
		if errs[i] == nil {
			if s.ready.view.Checks[check.Name] == "failing" {
				s.Log.Info("dependency is back", "name", check.Name)
			}
			continue
		}
		if s.ready.view.Checks[check.Name] != "failing" {
			s.Log.Warn("dependency is failing", "name", check.Name, "required", check.Required, "error", errs[i])
		}
		view.Checks[check.Name] = "failing"
		switch {
		case check.Required:
			view.Status = "unready"
		case view.Status == "ready":
			view.Status = "degraded"
		}
	}
	s.ready.at, s.ready.view = time.Now(), view
	return view
}
