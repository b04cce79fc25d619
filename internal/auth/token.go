package auth

import (
	"errors"
	"regexp"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// leeway is how far the clocks of issuer and server may be apart.
const leeway = 60 * time.Second

// tokens verifies JWTs that others have signed. The parser's defaults would let pass a token without exp, another HMAC and a foreign audience,
// so each check is asked for by name, and there is one algorithm: HS256.
type tokens struct {
	secret []byte
	parser *jwt.Parser
}

func newTokens(c Config, now func() time.Time) *tokens {
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(now),
	}
	if c.Issuer != "" {
		options = append(options, jwt.WithIssuer(c.Issuer))
	}
	if c.Audience != "" {
		options = append(options, jwt.WithAudience(c.Audience))
	}
	return &tokens{secret: []byte(c.JWTSecret), parser: jwt.NewParser(options...)}
}

type claims struct {
	jwt.RegisteredClaims
	Tenant string  `json:"tenant,omitempty"`
	Scope  *string `json:"scope,omitempty"` // space-separated; absent: what a program that submits jobs needs
}

// tenantPattern keeps tenants to what is safe in keys, logs and paths.
var tenantPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (t *tokens) verify(raw string) (Principal, error) {
	var c claims
	_, err := t.parser.ParseWithClaims(raw, &c, func(*jwt.Token) (any, error) { return t.secret, nil })
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Principal{}, refused("the token has expired")
	case err != nil:
		return Principal{}, refused("the credential is not valid")
	}
	p, ok := c.principal()
	if !ok {
		return Principal{}, refused("the token's tenant is not valid: letters, digits, dots, dashes and underscores, at most 64")
	}
	return p, nil
}

func (c claims) principal() (Principal, bool) {
	p := Principal{Tenant: tenantOr(c.Tenant), Subject: c.Subject, Scopes: []Scope{JobsRead, JobsWrite}}
	if c.ExpiresAt != nil {
		p.Expires = c.ExpiresAt.Time
	}
	if c.Scope != nil {
		p.Scopes = parseScopes(*c.Scope)
	}
	return p, tenantPattern.MatchString(p.Tenant)
}
