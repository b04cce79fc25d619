package rest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/auth"
)

// router hangs the table into Echo. What every request goes through, in order: observe (id, log, metrics, errors, panics), protect (headers,
// Host, Origin), and for a route of the table: admit (credential, scope, query).
func (s *Server) router(routes []route) *echo.Echo {
	e := echo.New()
	e.IPExtractor = echo.ExtractIPDirect() // the default believes anybody's X-Forwarded-For
	e.HTTPErrorHandler = s.fail
	e.Use(s.observe, s.protect)
	for _, r := range routes {
		handle := s.admit(r)
		e.Add(r.method, r.pattern, handle)
		if r.method == http.MethodGet && !strings.HasSuffix(r.pattern, "/events") {
			e.Add(http.MethodHead, r.pattern, handle)
		}
	}
	return e
}

// admit lets a request of route r through to its handler. It is where "deny by default" lives: a route without a scope is a mistake that shows
// at start.
func (s *Server) admit(r route) echo.HandlerFunc {
	switch r.scope {
	case open, auth.JobsRead, auth.JobsWrite, auth.Admin:
	default:
		panic(fmt.Sprintf("rest: %s %s names no scope", r.method, r.pattern))
	}
	strict := strings.HasPrefix(r.pattern, "/v1/") && !r.later
	return func(c echo.Context) error {
		if r.scope != open {
			p, err := s.Auth.Authenticate(c.Request())
			if err != nil {
				return err
			}
			if !p.Has(r.scope) {
				return &millrace.Error{Kind: millrace.Forbidden, Code: "insufficient_scope",
					Detail: fmt.Sprintf("this needs the scope %s", r.scope)}
			}
			setPrincipal(c, p)
		}
		if strict {
			if err := refuseUnknown(c.Request(), r.query); err != nil {
				return err
			}
		}
		return r.handle(c)
	}
}

// refuseUnknown refuses query parameters that a route does not take, as a misspelt filter must not silently select everything.
func refuseUnknown(r *http.Request, allowed []string) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return millrace.Wrap(millrace.Malformed, err, "the query is not well-formed")
	}
	for name, values := range query {
		if !slices.Contains(allowed, name) {
			return badQuery(name, "is not a parameter of this call")
		}
		if len(values) > 1 {
			return badQuery(name, "is there twice")
		}
	}
	return nil
}

func badQuery(name, format string, args ...any) error {
	e := millrace.InvalidField("/"+name, format, args...)
	e.Kind = millrace.Malformed
	return e
}

const principalKey = "principal"

func setPrincipal(c echo.Context, p auth.Principal) { c.Set(principalKey, p) }

// tenant is whose data the request may see.
func tenant(c echo.Context) string {
	p, _ := c.Get(principalKey).(auth.Principal)
	return p.Tenant
}

// withRoom refuses new jobs while too many wait, before their bodies are read. A request under an idempotency key may be a repetition, which
// takes no room: the dispatcher refuses it once that is known.
func (s *Server) withRoom(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Request().Header.Get(keyHeader) == "" {
			if err := s.Dispatcher.Room(); err != nil {
				return err
			}
		}
		return next(c)
	}
}
