package rest

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/auth"
	"github.com/millrace/millrace/internal/strict"
)

// sessionRequest is the body of POST /v1/session, for a page that has the key from a form. Without a body the Authorization header counts.
type sessionRequest struct {
	Key string `json:"key"`
}

// Shape implements strict.Shaped.
func (*sessionRequest) Shape() strict.Shape { return strict.Shape{"key": nil} }

// sessionView says who the caller is.
type sessionView struct {
	Auth      bool         `json:"auth"` // whether this server asks for credentials at all
	Tenant    string       `json:"tenant"`
	Subject   string       `json:"subject"`
	Scopes    []auth.Scope `json:"scopes"`
	ExpiresAt stamp        `json:"expires_at"` // null: never
}

func (s *Server) view(p auth.Principal) sessionView {
	return sessionView{Auth: s.Auth.Enabled(), Tenant: p.Tenant, Subject: p.Subject, Scopes: orEmpty(p.Scopes), ExpiresAt: stamp(p.Expires)}
}

// getSession lets the page find out whether it must ask for a key.
func (s *Server) getSession(c echo.Context) error {
	p, err := s.Auth.Authenticate(c.Request())
	if err != nil {
		return err
	}
	return respond(s, c, http.StatusOK, s.view(p))
}

// createSession signs a browser in: the key becomes a cookie that scripts of the page cannot read.
func (s *Server) createSession(c echo.Context) error {
	p, err := s.newcomer(c)
	if err != nil {
		return err
	}
	if s.Auth.Enabled() {
		cookie, expires, err := s.Auth.NewSession(p, secure(c.Request()))
		if err != nil {
			return err
		}
		c.SetCookie(cookie)
		p.Expires = expires
	}
	return respond(s, c, http.StatusOK, s.view(p))
}

func (s *Server) newcomer(c echo.Context) (auth.Principal, error) {
	if c.Request().ContentLength == 0 {
		return s.Auth.Authenticate(c.Request())
	}
	var req sessionRequest
	if err := decode(s, c, &req); err != nil {
		return auth.Principal{}, err
	}
	if req.Key == "" {
		if s.Auth.Enabled() && c.Request().Header.Get("Authorization") == "" {
			return auth.Principal{}, millrace.InvalidField("/key", "is required")
		}
		return s.Auth.Authenticate(c.Request())
	}
	return s.Auth.Credential(req.Key)
}

func (s *Server) endSession(c echo.Context) error {
	for _, cookie := range auth.EndSession(secure(c.Request())) {
		c.SetCookie(cookie)
	}
	return noContent(c)
}

// secure says whether the browser speaks TLS, to us or to the proxy before us. A client that lies about it gets a stricter cookie only.
func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}
