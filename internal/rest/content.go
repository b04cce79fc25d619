package rest

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
)

// contentCSP keeps a file that a browser opens anyway from being a page of our origin.
const contentCSP = "sandbox; default-src 'none'; frame-ancestors 'none'"

func (s *Server) fileContent(c echo.Context) error {
	f, err := s.file(c)
	if err != nil {
		return err
	}
	return s.serveFile(c, f)
}

// serveFile answers a file's bytes, whole or in ranges. net/http does the conditions and ranges of RFC 9110; the ETag is the SHA-256, so it is
// strong. The client keeps no copy without asking again: a file may be deleted.
func (s *Server) serveFile(c echo.Context, f millrace.File) error {
	r, err := s.Blobs.Open(c.Request().Context(), f.Blob)
	if err != nil {
		return fromBlobs(err)
	}
	defer func() { _ = r.Close() }()
	h := c.Response().Header()
	h.Set("Content-Type", f.ContentType)
	h.Set("Content-Disposition", disposition(f.Name))
	h.Set("Content-Security-Policy", contentCSP)
	h.Set("Cache-Control", "private, no-cache")
	h.Set("ETag", `"`+f.SHA256+`"`)
	w := &contentWriter{Response: c.Response(), conn: http.NewResponseController(c.Response()), idle: s.Limits.WriteIdle}
	http.ServeContent(w, c.Request(), "", f.CreatedAt, r)
	if w.refused {
		return millrace.Errorf(millrace.BadRange, "the file has %d bytes; the range lies outside", f.Size)
	}
	return nil
}

// contentWriter stands between http.ServeContent and the connection: it holds back the plain-text 416, for which we have a problem document, and
// gives the client time for each piece of the answer instead of for the whole.
type contentWriter struct {
	*echo.Response
	conn    *http.ResponseController
	idle    time.Duration
	refused bool
}

func (w *contentWriter) WriteHeader(status int) {
	if status == http.StatusRequestedRangeNotSatisfiable {
		w.refused = true
		return
	}
	w.Response.WriteHeader(status)
}

func (w *contentWriter) Write(b []byte) (int, error) {
	if w.refused {
		return len(b), nil
	}
	w.extend()
	return w.Response.Write(b)
}

// pieceSize is how much the client must take in one idle time.
const pieceSize = 1 << 20

// ReadFrom keeps the kernel's way open from a file to the socket, which Echo's own writer hides.
func (w *contentWriter) ReadFrom(src io.Reader) (int64, error) {
	file, left := src, int64(-1)
	if l, ok := src.(*io.LimitedReader); ok {
		file, left = l.R, l.N
	}
	var total int64
	for left != 0 {
		piece := int64(pieceSize)
		if left > 0 {
			piece = min(piece, left)
		}
		w.extend()
		n, err := io.CopyN(w.Response.Writer, file, piece)
		total += n
		w.Response.Size += n
		if left > 0 {
			left -= n
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (w *contentWriter) extend() {
	_ = w.conn.SetWriteDeadline(time.Now().Add(w.idle)) // not every ResponseWriter of a test can
}

// disposition is a Content-Disposition (RFC 6266) that makes browsers save the file under its name, whatever characters that has.
func disposition(name string) string {
	var plain strings.Builder
	ascii := true
	for _, r := range name {
		switch {
		case r < 0x20 || r >= 0x7f:
			ascii = false
			plain.WriteByte('_')
		case r == '"' || r == '\\' || r == '%':
			ascii = false
			plain.WriteByte('_')
		default:
			plain.WriteRune(r)
		}
	}
	if ascii {
		return `attachment; filename="` + name + `"`
	}
	return `attachment; filename="` + plain.String() + `"; filename*=UTF-8''` + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}
