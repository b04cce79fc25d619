package rest

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
)

// apiCSP is the policy of everything that is no page: an answer that a browser shows by mistake can load and do nothing.
const apiCSP = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard keeps foreign web pages away. An embedded server has no password, and any page may send requests to localhost.
type guard struct {
	origins   *http.CrossOriginProtection
	checkHost bool
	hosts     map[string]bool
	values    []string // of the headers that every answer carries, in the order of protect
}

func newGuard(c Config) guard {
	g := guard{origins: http.NewCrossOriginProtection(), hosts: make(map[string]bool), checkHost: !c.Auth.Enabled() || len(c.Hosts) > 0,
		values: []string{apiCSP, "nosniff", "DENY", "no-referrer", "same-origin"}}
	for _, host := range c.Hosts {
		g.hosts[hostName(host)] = true
	}
	return g
}

// protect sets the headers that every answer carries and refuses foreign hosts and origins.
func (s *Server) protect(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		values := s.guard.values // shared by all answers; who sets such a header anew puts another slice in its place
		h["Content-Security-Policy"] = values[0:1:1]
		h["X-Content-Type-Options"] = values[1:2:2]
		h["X-Frame-Options"] = values[2:3:3]
		h["Referrer-Policy"] = values[3:4:4]
		h["Cross-Origin-Resource-Policy"] = values[4:5:5]
		if err := s.guard.check(c.Request()); err != nil {
			return err
		}
		return next(c)
	}
}

func (g guard) check(r *http.Request) error {
	if g.checkHost && !g.known(r.Host) && !probe(r.URL.Path) {
		return &millrace.Error{Kind: millrace.Forbidden, Code: "foreign_host",
			Detail: "the Host header names a host that this server does not serve; add it to MILLRACE_HOSTS"}
	}
	if err := g.origins.Check(r); err != nil {
		return &millrace.Error{Kind: millrace.Forbidden, Code: "cross_origin", Err: err,
			Detail: "requests from web pages of another origin are refused"}
	}
	return nil
}

// known says whether a Host header names this server: a name of loopback or one of MILLRACE_HOSTS.
func (g guard) known(host string) bool {
	name := hostName(host)
	if name == "localhost" || g.hosts[name] {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Zone() == "" && addr.Unmap().IsLoopback()
}

// hostName is a Host header without its port and in lower case.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// probe says whether a path is for supervisors and balancers, which call a process by whatever address they have.
func probe(path string) bool { return path == "/livez" || path == "/readyz" || path == "/metrics" }
