package auth

import (
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// SessionTTL is how long a browser stays signed in.
const SessionTTL = 12 * time.Hour

// The cookie's names. Browsers hold a __Host- cookie to this very host and to TLS, which plain HTTP on loopback has not.
const (
	secureCookie = "__Host-millrace"
	plainCookie  = "millrace"
)

// sessions signs and reads the cookies of browsers, which cannot send a header for the page, SSE, downloads and the dashboard. A session is a
// token signed with a key of its own: nothing is kept on the server, and it is no credential for the Authorization header.
type sessions struct {
	key    []byte
	now    func() time.Time
	parser *jwt.Parser
}

func newSessions(key []byte, now func() time.Time) sessions {
	return sessions{key: key, now: now, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(), jwt.WithTimeFunc(now))}
}

// NewSession makes the cookie that signs p in, and says when it ends: after SessionTTL, or with the credential it was made from. secure says
// that the browser speaks TLS to us or to a proxy before us.
func (a *Authenticator) NewSession(p Principal, secure bool) (*http.Cookie, time.Time, error) {
	expires := a.sessions.now().Add(SessionTTL).Truncate(time.Second)
	if !p.Expires.IsZero() && p.Expires.Before(expires) {
		expires = p.Expires
	}
	scope := joinScopes(p.Scopes)
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{Subject: p.Subject, ExpiresAt: jwt.NewNumericDate(expires)},
		Tenant:           p.Tenant, Scope: &scope,
	})
	value, err := token.SignedString(a.sessions.key)
	if err != nil {
		return nil, time.Time{}, err
	}
	cookie := sessionCookie(secure)
	cookie.Value, cookie.MaxAge = value, max(1, int(expires.Sub(a.sessions.now())/time.Second))
	return cookie, expires, nil
}

// EndSession makes the cookies that make a browser forget its session, whichever name it has.
func EndSession(secure bool) []*http.Cookie {
	cookies := []*http.Cookie{sessionCookie(false)}
	if secure {
		cookies = append(cookies, sessionCookie(true))
	}
	for _, c := range cookies {
		c.MaxAge = -1
	}
	return cookies
}

func sessionCookie(secure bool) *http.Cookie {
	c := &http.Cookie{Name: plainCookie, Path: "/", HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode}
	if secure {
		c.Name = secureCookie
	}
	return c
}

func (s sessions) read(r *http.Request) (Principal, bool) {
	for _, name := range []string{secureCookie, plainCookie} {
		cookie, err := r.Cookie(name)
		if err != nil || len(cookie.Value) > maxCredential {
			continue
		}
		var c claims
		if _, err := s.parser.ParseWithClaims(cookie.Value, &c, func(*jwt.Token) (any, error) { return s.key, nil }); err != nil {
			continue
		}
		if p, ok := c.principal(); ok {
			return p, true
		}
	}
	return Principal{}, false
}
