package rest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/blob"
)

// problem is an error as clients see it (RFC 9457).
type problem struct {
	Type     string                `json:"type"`
	Title    string                `json:"title"`
	Status   int                   `json:"status"`
	Detail   string                `json:"detail"`
	Instance string                `json:"instance"` // the request id
	Code     millrace.Code         `json:"code"`
	Errors   []millrace.FieldError `json:"errors,omitempty"`
	Job      string                `json:"job,omitempty"` // that has the unique key
}

// answers says how each kind of error looks from outside.
var answers = [...]struct {
	status int
	code   millrace.Code // where the error names none
	title  string
}{
	millrace.Internal:        {http.StatusInternalServerError, millrace.CodeInternal, "Internal error"},
	millrace.Malformed:       {http.StatusBadRequest, "malformed", "Malformed request"},
	millrace.Unauthenticated: {http.StatusUnauthorized, "unauthenticated", "Credential needed"},
	millrace.Forbidden:       {http.StatusForbidden, "forbidden", "Not allowed"},
	millrace.NotFound:        {http.StatusNotFound, "not_found", "Not found"},
	millrace.Conflict:        {http.StatusConflict, "conflict", "Conflict"},
	millrace.TooLarge:        {http.StatusRequestEntityTooLarge, millrace.CodeTooLarge, "Too large"},
	millrace.Unsupported:     {http.StatusUnsupportedMediaType, "unsupported_media_type", "Unsupported media type"},
	millrace.BadRange:        {http.StatusRequestedRangeNotSatisfiable, "range_not_satisfiable", "Range not satisfiable"},
	millrace.Invalid:         {http.StatusUnprocessableEntity, "invalid", "Invalid request"},
	millrace.Limited:         {http.StatusTooManyRequests, "limited", "Too many requests"},
	millrace.Changed:         {http.StatusPreconditionFailed, "changed", "Precondition failed"},
	millrace.Unavailable:     {http.StatusServiceUnavailable, millrace.CodeUnavailable, "Unavailable"},
}

const defaultRetryAfter = 2 // seconds

// fail is the only place where an error becomes an answer. An error that nobody classified is internal and its text stays in the log.
func (s *Server) fail(err error, c echo.Context) {
	if c.Response().Committed {
		s.Log.Warn("answer broke off", "request_id", requestID(c), "route", c.Path(), "error", err)
		return
	}
	p, e := problemOf(err)
	p.Instance = requestID(c)
	s.report(c, p.Status, err)
	h := c.Response().Header()
	if p.Job != "" {
		h.Set("Location", jobURL(p.Job))
	}
	switch e.Kind {
	case millrace.Limited, millrace.Unavailable:
		h.Set("Retry-After", strconv.Itoa(cmp.Or(e.RetryAfter, defaultRetryAfter)))
	case millrace.Unauthenticated:
		h.Set("WWW-Authenticate", `Bearer realm="millrace"`)
	case millrace.Forbidden:
		if e.Code == insufficientScope {
			h.Set("WWW-Authenticate", `Bearer realm="millrace", error="insufficient_scope"`)
		}
	}
	body, err := json.Marshal(p)
	if err != nil {
		s.Log.Error("problem document cannot be encoded", "error", err)
	}
	for _, name := range []string{"ETag", "Last-Modified", "Content-Disposition", "Content-Encoding"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	_ = s.respondBytes(c, p.Status, "application/problem+json", body)
}

// report logs what an operator would act on. What a client did wrong is the client's to read.
func (s *Server) report(c echo.Context, status int, err error) {
	level := slog.LevelDebug
	switch {
	case c.Request().Context().Err() != nil: // the client left; nobody hears the answer
	case status == http.StatusServiceUnavailable:
		if s.outages.begins(classify(err).Detail, time.Now()) {
			level = slog.LevelWarn
		}
	case status >= 500:
		level = slog.LevelError
	}
	s.Log.Log(c.Request().Context(), level, "request refused",
		"request_id", requestID(c), "method", c.Request().Method, "route", c.Path(), "status", status, "error", err)
}

// outages remembers why requests were refused with 503, so that the log has one line for each time that something is down and not one for each
// request.
type outages struct {
	mu   sync.Mutex
	last map[string]time.Time // by detail, of which there are few: they are constants of the product
}

// quietAfter is how long nothing may have been refused for a reason before the next refusal is news again.
const (
	quietAfter = 30 * time.Second
	maxOutages = 64
)

// begins says whether a refusal is the first of its kind for a while.
func (o *outages) begins(detail string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last == nil || len(o.last) > maxOutages {
		o.last = make(map[string]time.Time)
	}
	last, seen := o.last[detail]
	o.last[detail] = now
	return !seen || now.Sub(last) > quietAfter
}

func problemOf(err error) (problem, *millrace.Error) {
	e := classify(err)
	a := answers[e.Kind]
	code := cmp.Or(e.Code, a.code)
	p := problem{
		Type: "urn:millrace:problem:" + string(code), Title: a.title, Status: a.status, Detail: e.Detail, Code: code, Errors: e.Fields,
	}
	if held, ok := errors.AsType[*store.HeldError](err); ok {
		p.Job = held.Job
	}
	if e.Code == methodNotAllowed {
		p.Status, p.Title = http.StatusMethodNotAllowed, "Method not allowed"
	}
	return p, e
}

// Codes that only HTTP knows.
const (
	methodNotAllowed  millrace.Code = "method_not_allowed"
	insufficientScope millrace.Code = "insufficient_scope"
)

// classify finds the kind of any error that reaches the edge.
func classify(err error) *millrace.Error {
	if e, ok := errors.AsType[*millrace.Error](err); ok && int(e.Kind) < len(answers) && e.Kind != millrace.Internal {
		return e
	}
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch e.Code {
		case http.StatusMethodNotAllowed:
			return &millrace.Error{Kind: millrace.Malformed, Code: methodNotAllowed, Detail: "this path does not take that method; see the Allow header"}
		case http.StatusNotFound:
			return millrace.Errorf(millrace.NotFound, "there is nothing at this path; the API is described at /openapi.json")
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, blob.ErrNotFound):
		return millrace.Errorf(millrace.NotFound, "it does not exist")
	case errors.Is(err, store.ErrState):
		return millrace.Errorf(millrace.Conflict, "its state does not allow this")
	case errors.Is(err, store.ErrInUse):
		return &millrace.Error{Kind: millrace.Conflict, Code: "in_use", Detail: "a job that is not finished needs this file; cancel the job first"}
	case errors.Is(err, store.ErrFull), errors.Is(err, blob.ErrFull):
		return &millrace.Error{Kind: millrace.Unavailable, Detail: "the server's disk is full; nothing was accepted", RetryAfter: 60}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return millrace.Errorf(millrace.Unavailable, "this took too long; try again")
	}
	return millrace.Errorf(millrace.Internal, "something went wrong on the server; its log has more under this request id")
}

// fromLedger classifies the ledger's errors: what is none of its words is the database's own, so it is out of reach.
func fromLedger(err error) error { return fromStore(err, "the ledger is out of reach; try again") }

// fromBlobs classifies the blob store's errors likewise.
func fromBlobs(err error) error { return fromStore(err, "the file store is out of reach; try again") }

func fromStore(err error, detail string) error {
	if err == nil {
		return nil
	}
	if e := classify(err); e.Kind != millrace.Internal {
		return err
	}
	return millrace.Wrap(millrace.Unavailable, err, "%s", detail)
}

func (s *Server) notAvailable(c echo.Context) error {
	return &millrace.Error{Kind: millrace.Invalid, Code: millrace.CodeNotAvailable, Detail: "this call comes with a later release"}
}
