package auth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/auth"
)

const (
	adminKey = "an-admin-key-of-some-forty-characters-ok"
	secret   = "a-token-secret-of-some-forty-characters!"
)

var now = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

func open(t *testing.T, c auth.Config) *auth.Authenticator {
	t.Helper()
	c.Now = clock
	a, err := auth.New(c)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return a
}

func bearer(credential string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v1/jobs", nil)
	r.Header.Set("Authorization", "Bearer "+credential)
	return r
}

func sign(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestConfigIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		config     auth.Config
	}{
		{"short key", "MILLRACE_ADMIN_KEY", auth.Config{AdminKey: strings.Repeat("k", 31)}},
		{"short secret", "MILLRACE_JWT_SECRET", auth.Config{JWTSecret: strings.Repeat("k", 31)}},
		{"audience without secret", "MILLRACE_JWT_SECRET", auth.Config{AdminKey: adminKey, Audience: "mill"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := auth.New(tt.config)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, want an error that names %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "kkk") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestWithoutSecretsEverybodyIsLocal(t *testing.T) {
	t.Parallel()
	a := open(t, auth.Config{})
	p, err := a.Authenticate(httptest.NewRequest(http.MethodGet, "/", nil))
	if err != nil || a.Enabled() || p.Tenant != millrace.DefaultTenant || !p.Has(auth.Admin) {
		t.Errorf("Authenticate = %+v, %v; enabled %t", p, err, a.Enabled())
	}
}

func TestAdminKey(t *testing.T) {
	t.Parallel()
	a := open(t, auth.Config{AdminKey: adminKey})
	p, err := a.Authenticate(bearer(adminKey))
	if err != nil || p.Tenant != millrace.DefaultTenant || !p.Has(auth.JobsRead) || !p.Has(auth.JobsWrite) || !p.Has(auth.Admin) {
		t.Errorf("Authenticate = %+v, %v", p, err)
	}
	for _, header := range []string{
		"", "Bearer", "Bearer ", "Bearer " + adminKey + "x", "Bearer " + adminKey[1:], "Basic " + adminKey, adminKey,
		"Bearer " + strings.Repeat("x", 9<<10),
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/jobs?access_token="+adminKey+"&key="+adminKey, nil)
		r.Header.Set("Authorization", header)
		if p, err := a.Authenticate(r); millrace.KindOf(err) != millrace.Unauthenticated {
			t.Errorf("Authenticate(%.40q) = %+v, %v; want unauthenticated", header, p, err)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	a := open(t, auth.Config{JWTSecret: secret, Issuer: "mint", Audience: "mill"})
	later := now.Add(time.Hour)
	base := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{"sub": "robot", "iss": "mint", "aud": "mill", "exp": later.Unix()}
		change(c)
		return c
	}
	good := []struct {
		name   string
		claims jwt.MapClaims
		want   auth.Principal
	}{
		{"defaults", base(func(jwt.MapClaims) {}),
			auth.Principal{Tenant: "default", Subject: "robot", Scopes: []auth.Scope{auth.JobsRead, auth.JobsWrite}, Expires: later}},
		{"tenant and scopes", base(func(c jwt.MapClaims) { c["tenant"], c["scope"] = "acme", "jobs:read  nonsense admin" }),
			auth.Principal{Tenant: "acme", Subject: "robot", Scopes: []auth.Scope{auth.JobsRead, auth.Admin}, Expires: later}},
		{"no scopes asked for on purpose", base(func(c jwt.MapClaims) { c["scope"] = "" }),
			auth.Principal{Tenant: "default", Subject: "robot", Expires: later}},
		{"one audience of several", base(func(c jwt.MapClaims) { c["aud"] = []string{"other", "mill"} }),
			auth.Principal{Tenant: "default", Subject: "robot", Scopes: []auth.Scope{auth.JobsRead, auth.JobsWrite}, Expires: later}},
		{"expired within the leeway", base(func(c jwt.MapClaims) { c["exp"] = now.Add(-59 * time.Second).Unix() }),
			auth.Principal{Tenant: "default", Subject: "robot", Scopes: []auth.Scope{auth.JobsRead, auth.JobsWrite}, Expires: now.Add(-59 * time.Second)}},
	}
	for _, tt := range good {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := a.Authenticate(bearer(sign(t, jwt.SigningMethodHS256, []byte(secret), tt.claims)))
			if err != nil {
				t.Fatalf("Authenticate: %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("principal (-want +got):\n%s", diff)
			}
		})
	}
	hs256, key := jwt.SigningMethodHS256, []byte(secret)
	bad := map[string]string{
		"expired":                sign(t, hs256, key, base(func(c jwt.MapClaims) { c["exp"] = now.Add(-61 * time.Second).Unix() })),
		"no exp":                 sign(t, hs256, key, base(func(c jwt.MapClaims) { delete(c, "exp") })),
		"foreign issuer":         sign(t, hs256, key, base(func(c jwt.MapClaims) { c["iss"] = "elsewhere" })),
		"no issuer":              sign(t, hs256, key, base(func(c jwt.MapClaims) { delete(c, "iss") })),
		"foreign audience":       sign(t, hs256, key, base(func(c jwt.MapClaims) { c["aud"] = "elsewhere" })),
		"issued in the future":   sign(t, hs256, key, base(func(c jwt.MapClaims) { c["iat"] = now.Add(2 * time.Minute).Unix() })),
		"not yet valid":          sign(t, hs256, key, base(func(c jwt.MapClaims) { c["nbf"] = now.Add(2 * time.Minute).Unix() })),
		"other secret":           sign(t, hs256, []byte(strings.Repeat("x", 40)), base(func(jwt.MapClaims) {})),
		"HS512":                  sign(t, jwt.SigningMethodHS512, key, base(func(jwt.MapClaims) {})),
		"none":                   sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, base(func(jwt.MapClaims) {})),
		"tenant with a slash":    sign(t, hs256, key, base(func(c jwt.MapClaims) { c["tenant"] = "a/b" })),
		"tenant that climbs":     sign(t, hs256, key, base(func(c jwt.MapClaims) { c["tenant"] = "../x" })),
		"tenant of 65 letters":   sign(t, hs256, key, base(func(c jwt.MapClaims) { c["tenant"] = strings.Repeat("a", 65) })),
		"tenant of another type": sign(t, hs256, key, base(func(c jwt.MapClaims) { c["tenant"] = 7 })),
		"no token":               "a.b.c",
	}
	for name, token := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if p, err := a.Authenticate(bearer(token)); millrace.KindOf(err) != millrace.Unauthenticated {
				t.Errorf("Authenticate = %+v, %v; want unauthenticated", p, err)
			}
		})
	}
}

func TestSession(t *testing.T) {
	t.Parallel()
	a := open(t, auth.Config{AdminKey: adminKey})
	key, err := a.Credential(adminKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		secure bool
		cookie string
	}{{"plain", false, "millrace"}, {"TLS", true, "__Host-millrace"}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, expires, err := a.NewSession(key, tt.secure)
			if err != nil {
				t.Fatal(err)
			}
			if c.Name != tt.cookie || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure != tt.secure || c.Path != "/" || c.Domain != "" {
				t.Errorf("cookie = %s", c)
			}
			if !expires.Equal(now.Add(12*time.Hour)) || c.MaxAge != 12*60*60 {
				t.Errorf("expires %s, max-age %d", expires, c.MaxAge)
			}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.AddCookie(c)
			p, err := a.Authenticate(r)
			if err != nil || p.Subject != key.Subject || p.Tenant != key.Tenant || !p.Has(auth.Admin) {
				t.Errorf("Authenticate by cookie = %+v, %v", p, err)
			}
			if _, err := a.Authenticate(bearer(c.Value)); err == nil {
				t.Error("a session's token is a credential for the header")
			}
		})
	}
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	config := auth.Config{AdminKey: adminKey, JWTSecret: secret}
	a := open(t, config)
	token := sign(t, jwt.SigningMethodHS256, []byte(secret), jwt.MapClaims{"sub": "me", "exp": now.Add(time.Hour).Unix()})
	p, err := a.Credential(token)
	if err != nil {
		t.Fatal(err)
	}
	cookie, expires, err := a.NewSession(p, false)
	if err != nil || !expires.Equal(now.Add(time.Hour)) {
		t.Fatalf("a session outlives its token: %s, %v", expires, err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(cookie)
	if _, err := a.Authenticate(r); err != nil {
		t.Fatalf("a fresh session is refused: %v", err)
	}
	later := config
	later.Now = func() time.Time { return now.Add(time.Hour + time.Second) }
	rotated := config
	rotated.AdminKey, rotated.Now = adminKey+"2", clock
	for name, c := range map[string]auth.Config{"expired": later, "rotated secret": rotated} {
		other, err := auth.New(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Authenticate(r); millrace.KindOf(err) != millrace.Unauthenticated {
			t.Errorf("%s: Authenticate = %v, want unauthenticated", name, err)
		}
	}
	for _, c := range auth.EndSession(true) {
		if c.MaxAge >= 0 {
			t.Errorf("EndSession keeps %s", c)
		}
	}
}

func FuzzCredential(f *testing.F) {
	a, err := auth.New(auth.Config{AdminKey: adminKey, JWTSecret: secret})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(adminKey[:20])
	f.Fuzz(func(t *testing.T, credential string) {
		if p, err := a.Credential(credential); err == nil && credential != adminKey {
			t.Errorf("Credential(%q) = %+v", credential, p)
		}
	})
}
