// Package auth says who a request comes from and what it may do: an admin key, a signed token, a browser's session, or nobody.
//
// It decides nothing about routes: package rest asks for a scope and answers 401 or 403. It keeps no state, so that any api process accepts
// what another one issued, as long as both are configured with the same secrets.
package auth

import (
	"cmp"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// MinSecret is how many characters the admin key and the token secret must have at least.
const MinSecret = 32

// maxCredential bounds what is hashed or parsed for a stranger, in bytes.
const maxCredential = 8 << 10

// Config names the secrets. With none of them authentication is off and every request is the local user's; a server may then listen on
// loopback only, which is for its starter to enforce.
type Config struct {
	AdminKey  string // MILLRACE_ADMIN_KEY: scope admin in the default tenant
	JWTSecret string // MILLRACE_JWT_SECRET: verifies tokens signed with HS256
	Issuer    string // MILLRACE_JWT_ISSUER: tokens must carry this iss; "": not checked
	Audience  string // MILLRACE_JWT_AUDIENCE: tokens must carry this aud; "": not checked

	// Now is the clock for expiry. nil: time.Now.
	Now func() time.Time
}

// Validate names the setting at fault.
func (c Config) Validate() error {
	if c.AdminKey != "" && len(c.AdminKey) < MinSecret {
		return fmt.Errorf("MILLRACE_ADMIN_KEY must have at least %d characters", MinSecret)
	}
	if c.JWTSecret != "" && len(c.JWTSecret) < MinSecret {
		return fmt.Errorf("MILLRACE_JWT_SECRET must have at least %d characters", MinSecret)
	}
	if c.JWTSecret == "" && (c.Issuer != "" || c.Audience != "") {
		return fmt.Errorf("MILLRACE_JWT_ISSUER and MILLRACE_JWT_AUDIENCE need MILLRACE_JWT_SECRET")
	}
	return nil
}

// Authenticator tells principals by their credentials. It is safe for concurrent use.
type Authenticator struct {
	enabled  bool
	keyHash  [sha256.Size]byte
	hasKey   bool
	tokens   *tokens // nil: no token secret
	sessions sessions
}

// New makes an Authenticator.
func New(c Config) (*Authenticator, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	a := &Authenticator{enabled: c.AdminKey != "" || c.JWTSecret != ""}
	now := c.Now
	if now == nil {
		now = time.Now
	}
	if c.AdminKey != "" {
		a.hasKey, a.keyHash = true, sha256.Sum256([]byte(c.AdminKey))
	}
	if c.JWTSecret != "" {
		a.tokens = newTokens(c, now)
	}
	if a.enabled {
		key, err := sessionKey(c)
		if err != nil {
			return nil, err
		}
		a.sessions = newSessions(key, now)
	}
	return a, nil
}

// sessionKey derives what signs sessions from every configured secret, so that changing one of them ends all sessions.
func sessionKey(c Config) ([]byte, error) {
	var secret []byte
	for _, s := range []string{c.AdminKey, c.JWTSecret} {
		secret = binary.BigEndian.AppendUint64(secret, uint64(len(s)))
		secret = append(secret, s...)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "millrace session v1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the session key: %w", err)
	}
	return key, nil
}

// Enabled says whether requests need credentials at all.
func (a *Authenticator) Enabled() bool { return a.enabled }

// Authenticate tells whose request r is: by its Authorization header, else by its session cookie. Errors are millrace.Errors of kind
// Unauthenticated. Credentials in the query are never looked at: they would end up in logs and histories.
func (a *Authenticator) Authenticate(r *http.Request) (Principal, error) {
	if !a.enabled {
		return local(), nil
	}
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, credential, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return Principal{}, refused("the Authorization header must be: Bearer <API key or token>")
		}
		return a.Credential(strings.TrimSpace(credential))
	}
	if p, ok := a.sessions.read(r); ok {
		return p, nil
	}
	return Principal{}, refused("this needs a credential: Authorization: Bearer <API key or token>")
}

// Credential tells whose API key or token that is.
func (a *Authenticator) Credential(credential string) (Principal, error) {
	if !a.enabled {
		return local(), nil
	}
	if credential == "" || len(credential) > maxCredential {
		return Principal{}, refused("the credential is not valid")
	}
	hash := sha256.Sum256([]byte(credential))
	if a.hasKey && subtle.ConstantTimeCompare(hash[:], a.keyHash[:]) == 1 {
		return Principal{Tenant: millrace.DefaultTenant, Subject: "admin-key", Scopes: []Scope{Admin}}, nil
	}
	if a.tokens == nil {
		return Principal{}, refused("the credential is not valid")
	}
	return a.tokens.verify(credential)
}

// local is the principal of a server without authentication: whoever can reach its loopback address.
func local() Principal {
	return Principal{Tenant: millrace.DefaultTenant, Subject: "local", Scopes: []Scope{Admin}}
}

func refused(detail string) error { return millrace.Errorf(millrace.Unauthenticated, "%s", detail) }

func tenantOr(t string) string { return cmp.Or(t, millrace.DefaultTenant) }
