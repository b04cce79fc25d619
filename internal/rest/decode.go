package rest

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/strict"
)

// decode reads the request's JSON object into v: nothing but application/json, no larger and no deeper than the limits, no unknown field.
func decode[T any](s *Server, c echo.Context, v *T) error {
	b := s.buffer()
	defer s.recycle(b) // what v keeps was copied out by the decoder
	if err := s.readJSON(c, b); err != nil {
		return err
	}
	return strict.Object(b.Bytes(), v)
}

// readJSON reads a small JSON body whole.
func (s *Server) readJSON(c echo.Context, b *bytes.Buffer) error {
	if mediaType(c.Request()) != "application/json" {
		return millrace.Errorf(millrace.Unsupported, "this call takes Content-Type: application/json")
	}
	return s.readBody(c, b)
}

// readBody reads a small body whole.
func (s *Server) readBody(c echo.Context, b *bytes.Buffer) error {
	r := c.Request()
	limit := s.Limits.Body
	if r.ContentLength > limit {
		return bodyTooLarge(limit)
	}
	body := s.progress(c, r.Body)
	n, err := b.ReadFrom(io.LimitReader(body, limit+1))
	if n > limit {
		return bodyTooLarge(limit)
	}
	return brokenBody(err)
}

func bodyTooLarge(limit int64) error {
	return millrace.Errorf(millrace.TooLarge, "a JSON body may have at most %d bytes", limit)
}

// mediaType is the request's content type without parameters, "" when it is missing or wrong. A charset other than UTF-8 is wrong.
func mediaType(r *http.Request) string {
	header := r.Header.Get("Content-Type")
	if header == "application/json" {
		return header
	}
	t, params, err := mime.ParseMediaType(header)
	if err != nil || t == "application/json" && params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return ""
	}
	return t
}

// noBody makes sure that a call without parameters was given none, whatever the client wraps them in.
func (s *Server) noBody(c echo.Context) error {
	if c.Request().ContentLength == 0 {
		return nil
	}
	b := s.buffer()
	defer s.recycle(b)
	if err := s.readBody(c, b); err != nil {
		return err
	}
	if len(bytes.TrimSpace(b.Bytes())) == 0 {
		return nil
	}
	if mediaType(c.Request()) != "application/json" {
		return millrace.Errorf(millrace.Unsupported, "this call takes no body, or an empty JSON object")
	}
	return strict.Object(b.Bytes(), new(nothing))
}

// nothing is the request of a call without parameters.
type nothing struct{}

// Shape implements strict.Shaped.
func (*nothing) Shape() strict.Shape { return strict.Shape{} }
