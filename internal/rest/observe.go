package rest

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"
)

const requestIDHeader = "X-Request-Id"

// observe is the outermost layer of every request: its id, its log line and metrics, its errors and panics.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		id := c.Request().Header.Get(requestIDHeader)
		if !validRequestID(id) {
			id = rand.Text()
		}
		h := c.Response().Header()
		h.Set(requestIDHeader, id)
		if s.draining.Load() {
			h.Set("Connection", "close") // the client's next request goes to another process
		}
		s.hasten(c)
		if err := recovered(next, c); err != nil {
			s.fail(err, c)
		}
		s.metrics.request(c, time.Since(start))
		return nil
	}
}

// recovered runs next and makes an error of its panic. http.ErrAbortHandler is a handler's way to cut the connection and stays one.
func recovered(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if r == http.ErrAbortHandler {
			panic(r)
		}
		err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
	}()
	return next(c)
}

func requestID(c echo.Context) string { return c.Response().Header().Get(requestIDHeader) }

// validRequestID says whether a client's id may go into our logs and answers.
func validRequestID(id string) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for _, r := range []byte(id) {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return true
}
