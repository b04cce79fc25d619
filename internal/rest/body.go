package rest

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
)

// progressReader reads a request's body as long as the client keeps sending. There is no limit on the whole, since an upload may take hours;
// but a client that stalls, or drips a byte a second, must not keep its place.
type progressReader struct {
	body  io.Reader
	conn  *http.ResponseController
	idle  time.Duration
	rate  int64 // bytes per second
	since time.Time
	got   int64 // since then
}

// rateWindow is how long a body may be slower than the rate before it is cut off.
const rateWindow = time.Minute

// errStalled is what a body read fails with when the client is too slow.
var errStalled = errors.New("the body stalled")

// hasten gives the first byte of a request's body a deadline, whether its handler reads it or the server throws it away.
func (s *Server) hasten(c echo.Context) {
	if c.Request().ContentLength != 0 {
		_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(s.Limits.BodyIdle))
	}
}

func (s *Server) progress(c echo.Context, body io.Reader) *progressReader {
	return &progressReader{
		body: body, conn: http.NewResponseController(c.Response()),
		idle: s.Limits.BodyIdle, rate: s.Limits.BodyRate, since: time.Now(),
	}
}

func (p *progressReader) Read(b []byte) (int, error) {
	now := time.Now()
	if passed := now.Sub(p.since); passed >= rateWindow {
		if p.got < p.rate*int64(passed/time.Second) {
			_ = p.conn.SetReadDeadline(now) // the server, which reads what is left over, is not to wait either
			return 0, errStalled
		}
		p.since, p.got = now, 0
	}
	_ = p.conn.SetReadDeadline(now.Add(p.idle)) // not every ResponseWriter of a test can
	n, err := p.body.Read(b)
	p.got += int64(n)
	if err == io.EOF {
		// The server goes on reading behind the body to notice that the client leaves; the deadline must not end that.
		_ = p.conn.SetReadDeadline(time.Time{})
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		err = errStalled
	}
	return n, err
}

// brokenBody says why a body could not be read to its end. Nothing has been kept of it.
func brokenBody(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errStalled):
		return millrace.Wrap(millrace.Malformed, err, "the body stalled; nothing was kept")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return millrace.Wrap(millrace.Malformed, err, "the body ended before its announced length; nothing was kept")
	}
	return millrace.Wrap(millrace.Malformed, err, "the body broke off; nothing was kept")
}
