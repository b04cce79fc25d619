package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const jwtSecret = "a secret of the length that the server demands"

// token signs claims as an issuer of JWTs does.
func token(alg string, claims map[string]any) string {
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	body := part(map[string]string{"alg": alg, "typ": "JWT"}) + "." + part(claims)
	mac := hmac.New(sha256.New, []byte(jwtSecret))
	mac.Write([]byte(body))
	if alg == "none" {
		return body + "."
	}
	return body + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func claims(scope, tenant string) map[string]any {
	c := map[string]any{"sub": "somebody", "exp": time.Now().Add(time.Hour).Unix()}
	if scope != "" {
		c["scope"] = scope
	}
	if tenant != "" {
		c["tenant"] = tenant
	}
	return c
}

// TestAccess checks what a server with a key asks of whom, in both modes.
func TestAccess(t *testing.T) {
	for _, mode := range []string{"embedded", "production"} {
		t.Run(mode, func(t *testing.T) {
			s := newTarget(startLocked(t, mode, "MILLRACE_JWT_SECRET="+jwtSecret))
			t.Run("without", func(t *testing.T) { strangers(t, s) })
			t.Run("scopes", func(t *testing.T) { scopes(t, s) })
			t.Run("tenants", func(t *testing.T) { tenants(t, s) })
			t.Run("session", func(t *testing.T) { sessions(t, s) })
		})
	}
}

// strangers walks through everything that the document describes, with credentials that are none.
func strangers(t *testing.T, s *target) {
	var doc struct {
		Paths map[string]map[string]struct {
			Security []any
			Scope    string `json:"x-scope"`
		}
	}
	if err := json.Unmarshal(s.on(t).bytes("/openapi.json"), &doc); err != nil {
		t.Fatal(err)
	}
	closed := 0
	for path, methods := range doc.Paths {
		path = strings.NewReplacer("{id}", s.probe, "{name}", "x", "{type}", "image.resize").Replace(path)
		for method, op := range methods {
			open := op.Scope == ""
			for _, credential := range []string{"Bearer nonsense", "Basic YTpi", "Bearer " + adminKey + "x", "bearer", "Bearer " + token("none", claims("admin", ""))} {
				res, raw := s.ask(t, strings.ToUpper(method), path, map[string]string{"Authorization": credential}, "")
				if !open {
					closed++
				}
				if !open && method != "head" {
					checkProblem(t, method+" "+path+" as a stranger", res.StatusCode, res.Header, raw, http.StatusUnauthorized, "unauthenticated")
				}
				if !open && (res.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer")) {
					t.Errorf("%s %s as a stranger = %d, WWW-Authenticate %q", method, path, res.StatusCode, res.Header.Get("WWW-Authenticate"))
				}
			}
		}
	}
	if closed < 150 {
		t.Errorf("only %d calls were closed to strangers", closed)
	}
	plain := &client{t: t, url: s.url, http: &http.Client{}}
	for path, want := range map[string]int{
		"/": 200, "/docs": 200, "/openapi.json": 200, "/livez": 200, "/readyz": 200, "/jobs": 200, "/v1/session": 401, "/v1/jobs": 401, "/v1/workers": 401, "/v1/task-types": 401,
		"/dashboard": 401, "/dashboard/api/queues": 401, "/metrics": 401, "/v1/nothing": 404,
	} {
		if status, _, raw, err := plain.do("GET", path, "", nil); err != nil || status != want {
			t.Errorf("GET %s without a credential = %d, %v, want %d: %.200s", path, status, err, want, raw)
		}
	}
}

func scopes(t *testing.T, s *target) {
	exp := time.Now().Add(time.Hour).Unix()
	for name, tt := range map[string]struct {
		token string
		want  map[string]int // by method and path
	}{
		"read":      {token("HS256", claims("jobs:read", "")), map[string]int{"GET /v1/jobs": 200, "POST /v1/jobs": 403, "POST /v1/files": 403, "DELETE /v1/files/" + s.probe: 403, "GET /v1/workers": 403, "GET /dashboard": 403, "GET /metrics": 403}},
		"write":     {token("HS256", claims("jobs:write", "")), map[string]int{"GET /v1/jobs": 403, "POST /v1/jobs": 415, "GET /v1/workers": 403}},
		"none":      {token("HS256", claims("", "")), map[string]int{"GET /v1/jobs": 200, "POST /v1/jobs": 415, "GET /v1/workers": 403, "GET /dashboard": 403}},
		"admin":     {token("HS256", claims("admin", "")), map[string]int{"GET /v1/workers": 200, "GET /dashboard": 200, "GET /metrics": 200}},
		"key":       {adminKey, map[string]int{"GET /v1/jobs": 200, "POST /v1/jobs": 415, "GET /v1/workers": 200, "GET /dashboard": 200}},
		"expired":   {token("HS256", map[string]any{"sub": "x", "exp": time.Now().Add(-time.Hour).Unix()}), map[string]int{"GET /v1/jobs": 401}},
		"no expiry": {token("HS256", map[string]any{"sub": "x"}), map[string]int{"GET /v1/jobs": 401}},
		"too soon":  {token("HS256", map[string]any{"sub": "x", "exp": exp, "nbf": exp}), map[string]int{"GET /v1/jobs": 401}},
		"HS512":     {token("HS512", claims("admin", "")), map[string]int{"GET /v1/jobs": 401}},
		"forged":    {token("HS256", claims("jobs:read", "")) + "AA", map[string]int{"GET /v1/jobs": 401}},
	} {
		for line, want := range tt.want {
			method, path, _ := strings.Cut(line, " ")
			res, raw := s.ask(t, method, path, map[string]string{"Authorization": "Bearer " + tt.token, "Content-Type": map[bool]string{true: "text/plain"}[method == "POST"]}, "")
			if res.StatusCode != want {
				t.Errorf("%s with %s = %d, want %d: %.200s", line, name, res.StatusCode, want, raw)
			}
			if want == http.StatusForbidden {
				checkProblem(t, line+" with "+name, res.StatusCode, res.Header, raw, want, "insufficient_scope")
			}
		}
	}
}

// tenants do not see one another: what is another's is as if it did not exist.
func tenants(t *testing.T, s *target) {
	as := func(tenant string) *client {
		return &client{t: t, url: s.url, http: &http.Client{Transport: bearer{token("HS256", claims("", tenant)), http.DefaultTransport}}}
	}
	a, b := as("a"), as("b")
	f := a.upload("secret.txt", []byte("of a alone"))
	j := a.finish(a.submit(`{"type":"file.compress","input":{"file":%q}}`, f.ID).ID)
	a.call("PUT", "/v1/schedules/mine", "application/json", fmt.Appendf(nil, `{"cron":"@daily","job":{"type":"compute.checksum","input":{"file":%q}}}`, f.ID), http.StatusCreated, nil)
	for _, line := range []string{
		"GET /v1/schedules/mine", "DELETE /v1/schedules/mine",
		"GET /v1/files/" + f.ID, "GET /v1/files/" + f.ID + "/content", "DELETE /v1/files/" + f.ID, "GET /v1/jobs/" + j.ID, "GET /v1/jobs/" + j.ID + "/output", "GET /v1/jobs/" + j.ID + "/events",
		"POST /v1/jobs/" + j.ID + "/cancel", "POST /v1/jobs/" + j.ID + "/retry", "DELETE /v1/jobs/" + j.ID, "GET " + j.Outputs[0].URL, "GET /v1/files/" + j.Outputs[0].File,
	} {
		method, path, _ := strings.Cut(line, " ")
		status, header, raw, err := b.do(method, path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		checkProblem(t, line+" by another tenant", status, header, raw, http.StatusNotFound, "not_found")
	}
	status, header, raw, err := b.do("POST", "/v1/jobs", "application/json", strings.NewReader(fmt.Sprintf(quickJob, f.ID)))
	if err != nil {
		t.Fatal(err)
	}
	checkProblem(t, "a job on another tenant's file", status, header, raw, http.StatusUnprocessableEntity, "")
	for path, want := range map[string]string{"/v1/jobs": j.ID, "/v1/files": f.ID, "/v1/schedules": `"mine"`} {
		if strings.Contains(string(b.bytes(path)), want) {
			t.Errorf("GET %s shows another tenant's", path)
		}
		if !strings.Contains(string(a.bytes(path)), want) {
			t.Errorf("GET %s does not show one's own", path)
		}
	}
	// The same work on the same bytes is no way to another's result.
	same := b.upload("secret.txt", []byte("of a alone"))
	var mine job
	b.call("POST", "/v1/jobs?wait=30s", "application/json", fmt.Appendf(nil, `{"type":"file.compress","input":{"file":%q}}`, same.ID), http.StatusOK, &mine)
	if mine.Cached {
		t.Error("a result came from another tenant's cache")
	}
}

func sessions(t *testing.T, s *target) {
	plain := &client{t: t, url: s.url, http: &http.Client{}}
	for body, want := range map[string]int{`{"key":"wrong"}`: 401, `{"key":""}`: 422, `{}`: 422, `{"key":1}`: 422, `{"key":"` + adminKey + `"}`: 200} {
		status, header, raw, err := plain.do("POST", "/v1/session", "application/json", strings.NewReader(body))
		if err != nil || status != want {
			t.Errorf("POST /v1/session %s = %d, %v, want %d: %.200s", body, status, err, want, raw)
			continue
		}
		cookie := header.Get("Set-Cookie")
		if want != http.StatusOK {
			if cookie != "" {
				t.Errorf("POST /v1/session %s sets a cookie", body)
			}
			continue
		}
		for _, part := range []string{"HttpOnly", "SameSite=Strict", "Path=/"} {
			if !strings.Contains(cookie, part) {
				t.Errorf("the cookie %q lacks %s", cookie, part)
			}
		}
		if strings.Contains(cookie, adminKey) {
			t.Error("the cookie holds the key itself")
		}
		pair, _, _ := strings.Cut(cookie, ";")
		checkCookie(t, s, pair)
	}
}

// checkCookie goes by a cookie alone. From another origin it is worth nothing.
func checkCookie(t *testing.T, s *target, cookie string) {
	t.Helper()
	for line, want := range map[string]int{
		"GET /v1/session": 200, "GET /v1/jobs": 200, "GET /v1/workers": 200, "GET /dashboard": 200, "GET /v1/files/" + s.probe + "/content": 200, "POST /v1/jobs": 202, "DELETE /v1/session": 204,
	} {
		method, path, _ := strings.Cut(line, " ")
		for _, foreign := range []bool{false, true} {
			req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, nil)
			if method == "POST" {
				req, err = http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(fmt.Sprintf(quickJob, s.probe)))
			}
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Cookie", cookie)
			req.Header.Set("Content-Type", "application/json")
			status := want
			if foreign && method != "GET" {
				req.Header.Set("Origin", "https://evil.example")
				status = http.StatusForbidden
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != status {
				t.Errorf("%s by cookie (foreign: %v) = %d, want %d", line, foreign, res.StatusCode, status)
			}
			if ended := res.Header.Values("Set-Cookie"); method == "DELETE" && !foreign && !strings.Contains(strings.Join(ended, " "), "Max-Age=0") {
				t.Errorf("signing out sets %v, want the cookie to end", ended)
			}
		}
	}
}
