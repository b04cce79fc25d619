package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// maxPooled keeps rare big buffers out of the pool.
const maxPooled = 256 << 10

func newBuffer() any { return new(bytes.Buffer) }

func (s *Server) buffer() *bytes.Buffer { return s.buffers.Get().(*bytes.Buffer) }

func (s *Server) recycle(b *bytes.Buffer) {
	if b.Cap() <= maxPooled {
		b.Reset()
		s.buffers.Put(b)
	}
}

// respond answers with v as JSON. The body is complete before the status goes out, so that an encoding error can still be told.
func respond[T any](s *Server, c echo.Context, status int, v T) error {
	b := s.buffer()
	defer s.recycle(b)
	if err := encode(b, v); err != nil {
		return err
	}
	return s.respondBytes(c, status, "application/json", b.Bytes())
}

// encode writes v as the API writes JSON.
func encode[T any](b *bytes.Buffer, v T) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	return nil
}

// respondBytes answers with body. A client must take a long one in time; a short one fits into the kernel's buffers.
func (s *Server) respondBytes(c echo.Context, status int, contentType string, body []byte) error {
	h := c.Response().Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	if len(body) > longAnswer {
		_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(s.Limits.WriteIdle))
	}
	c.Response().WriteHeader(status)
	_, _ = c.Response().Write(body) // an error means that the client is gone
	return nil
}

const longAnswer = 32 << 10

func noContent(c echo.Context) error { return c.NoContent(http.StatusNoContent) }

// page is one page of a list.
type page[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// stamp is a time as the API writes it: RFC 3339, UTC, milliseconds; null for never.
type stamp time.Time

const stampLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON implements json.Marshaler.
func (t stamp) MarshalJSON() ([]byte, error) {
	if time.Time(t).IsZero() {
		return []byte("null"), nil
	}
	b := make([]byte, 0, len(stampLayout)+2)
	b = append(b, '"')
	b = time.Time(t).UTC().AppendFormat(b, stampLayout)
	return append(b, '"'), nil
}
