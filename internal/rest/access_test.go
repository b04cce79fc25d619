package rest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/auth"
	"github.com/millrace/millrace/internal/rest"
	"github.com/millrace/millrace/store"
)

const (
	adminKey  = "an-admin-key-of-some-forty-characters-ok"
	jwtSecret = "a-token-secret-of-some-forty-characters!"
)

func secured(t *testing.T) func(*rest.Config) {
	t.Helper()
	a := newAuth(t, auth.Config{AdminKey: adminKey, JWTSecret: jwtSecret})
	return func(c *rest.Config) { c.Auth, c.OpenMetrics = a, false }
}

func token(t *testing.T, tenant, scope string) option {
	t.Helper()
	claims := jwt.MapClaims{"sub": "robot", "tenant": tenant, "exp": time.Now().Add(time.Hour).Unix()}
	if scope != "" {
		claims["scope"] = scope
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(jwtSecret))
	if err != nil {
		t.Fatal(err)
	}
	return header("Authorization", "Bearer "+signed)
}

func TestEveryRouteByCredential(t *testing.T) {
	t.Parallel()
	m := newMill(t, secured(t))
	credentials := map[auth.Scope]option{
		"":             func(*http.Request) {},
		auth.JobsRead:  token(t, "default", "jobs:read"),
		auth.JobsWrite: token(t, "default", "jobs:write"),
		auth.Admin:     header("Authorization", "Bearer "+adminKey),
	}
	opens := map[string]bool{}
	for _, r := range m.server.Surface() {
		path := strings.NewReplacer(":id", newID(), ":name", "x", ":type", "x.y", "*", "x").Replace(r.Pattern)
		if r.Scope == "open" {
			opens[r.Pattern] = true
		}
		for have, credential := range credentials {
			t.Run(fmt.Sprintf("%s %s as %s", r.Method, r.Pattern, have), func(t *testing.T) {
				t.Parallel()
				a := m.do(r.Method, path, nil, credential)
				switch {
				case r.Scope == "open":
					if a.StatusCode == http.StatusForbidden || a.StatusCode == http.StatusUnauthorized && r.Pattern != "/v1/session" {
						t.Errorf("an open route answered %d", a.StatusCode)
					}
				case have == "":
					if a.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
						t.Errorf("without a credential = %d, WWW-Authenticate %q", a.StatusCode, a.Header.Get("WWW-Authenticate"))
					}
				case have == r.Scope || have == auth.Admin:
					if a.StatusCode == http.StatusUnauthorized || a.StatusCode == http.StatusForbidden {
						t.Errorf("with its scope = %d %s", a.StatusCode, a.body)
					}
				default:
					if a.StatusCode != http.StatusForbidden {
						t.Errorf("with another scope = %d, want 403", a.StatusCode)
					}
				}
			})
		}
	}
	for _, pattern := range []string{"/livez", "/readyz", "/", "/assets/*", "/docs", "/openapi.json", "/v1/session"} {
		if !opens[pattern] {
			t.Errorf("%s is not open", pattern)
		}
		delete(opens, pattern)
	}
	if len(opens) > 0 {
		t.Errorf("open, too: %v", opens)
	}
}

func TestCredentialsInTheQueryCountForNothing(t *testing.T) {
	t.Parallel()
	m := newMill(t, secured(t))
	for _, name := range []string{"access_token", "token", "key", "authorization"} {
		wantProblem(t, m.get("/v1/jobs?"+name+"="+adminKey), http.StatusUnauthorized)
	}
}

func TestTenantsSeeNothingOfEachOther(t *testing.T) {
	t.Parallel()
	m := newMill(t, secured(t))
	mine, theirs := token(t, "acme", ""), token(t, "other", "")
	f := read[file](t, m.do(http.MethodPost, "/v1/files?name=a", strings.NewReader("x"), mine), http.StatusCreated)
	j := read[job](t, m.postJSON("/v1/jobs", `{"type":"compute.checksum","input":{"file":"`+f.ID+`"}}`, mine), http.StatusAccepted)
	const schedule = `{"cron":"@daily","job":{"type":"compute.checksum","input":{"file":"%s"}}}`
	put := func(name, id string, who option) answer {
		return m.do(http.MethodPut, "/v1/schedules/"+name, strings.NewReader(fmt.Sprintf(schedule, id)), header("Content-Type", "application/json"), who)
	}
	read[any](t, put("nightly", f.ID, mine), http.StatusCreated)
	for _, tt := range []struct{ method, path string }{
		{"GET", "/v1/schedules/nightly"}, {"DELETE", "/v1/schedules/nightly"},
		{"GET", f.URL}, {"GET", f.URL + "/content"}, {"DELETE", f.URL}, {"GET", j.URL}, {"GET", j.URL + "?wait=1s"}, {"GET", j.URL + "/events"},
		{"GET", j.URL + "/output"}, {"GET", j.URL + "/outputs/x"}, {"POST", j.URL + "/cancel"}, {"POST", j.URL + "/retry"}, {"DELETE", j.URL},
	} {
		got := m.do(tt.method, tt.path, nil, theirs)
		absent := m.do(tt.method, strings.NewReplacer(f.ID, newID(), j.ID, newID(), "nightly", "absent").Replace(tt.path), nil, theirs)
		a, b := wantProblem(t, got, http.StatusNotFound), wantProblem(t, absent, http.StatusNotFound)
		a.Instance, b.Instance = "", ""
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s %s: another tenant's %+v differs from an absent one %+v", tt.method, tt.path, a, b)
		}
	}
	p := wantProblem(t, m.postJSON("/v1/jobs", `{"type":"compute.checksum","input":{"file":"`+f.ID+`"}}`, theirs), 422)
	if p.Code != "invalid_input" {
		t.Errorf("a job on another tenant's file = %+v", p)
	}
	if p := wantProblem(t, put("nightly", f.ID, theirs), 422); len(p.Errors) != 1 || p.Errors[0].Pointer != "/job/input/file" {
		t.Errorf("a schedule on another tenant's file = %+v", p)
	}
	batch := read[batchAnswer](t, m.postJSON("/v1/jobs/batch", `[{"type":"compute.checksum","input":{"file":"`+f.ID+`"},"cache":false}]`, theirs), http.StatusAccepted)
	if len(batch.Items) != 1 || batch.Items[0].Error == nil || batch.Items[0].Error.Code != "invalid_input" {
		t.Errorf("a batch on another tenant's file = %+v", batch)
	}
	for _, path := range []string{"/v1/files", "/v1/jobs", "/v1/schedules"} {
		if list := read[struct{ Items []any }](t, m.get(path, theirs), http.StatusOK); len(list.Items) != 0 {
			t.Errorf("GET %s shows %d items of another tenant", path, len(list.Items))
		}
	}
}

func TestSession(t *testing.T) {
	t.Parallel()
	m := newMill(t, secured(t))
	wantProblem(t, m.get("/v1/session"), http.StatusUnauthorized)
	wantProblem(t, m.postJSON("/v1/session", `{"key":"wrong"}`), http.StatusUnauthorized)
	wantProblem(t, m.postJSON("/v1/session", `{}`), 422)
	wantProblem(t, m.postJSON("/v1/session", `{"password":"x"}`), http.StatusBadRequest)
	wantProblem(t, m.do(http.MethodPost, "/v1/session", nil), http.StatusUnauthorized)
	for name, a := range map[string]answer{
		"key in the body":   m.postJSON("/v1/session", `{"key":"`+adminKey+`"}`),
		"key in the header": m.do(http.MethodPost, "/v1/session", nil, header("Authorization", "Bearer "+adminKey)),
		"behind TLS":        m.postJSON("/v1/session", `{"key":"`+adminKey+`"}`, header("X-Forwarded-Proto", "https")),
	} {
		if a.StatusCode != http.StatusOK || len(a.Cookies()) != 1 || bytes.Contains(a.body, []byte(adminKey)) {
			t.Fatalf("%s = %d %s, cookies %v", name, a.StatusCode, a.body, a.Cookies())
		}
		c := a.Cookies()[0]
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure != (name == "behind TLS") || c.MaxAge < 12*3600-60 {
			t.Errorf("%s: cookie = %s", name, a.Header.Get("Set-Cookie"))
		}
		cookie := func(r *http.Request) { r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value}) }
		for _, path := range []string{"/v1/jobs", "/dashboard", "/dashboard/static/x.js", "/v1/workers", "/v1/session"} {
			if got := m.get(path, cookie); got.StatusCode != http.StatusOK {
				t.Errorf("%s: GET %s = %d", name, path, got.StatusCode)
			}
		}
	}
	out := m.do(http.MethodDelete, "/v1/session", nil)
	if out.StatusCode != http.StatusNoContent || len(out.Cookies()) != 1 || out.Cookies()[0].MaxAge >= 0 {
		t.Errorf("DELETE = %d, cookies %v", out.StatusCode, out.Cookies())
	}
}

func TestSessionWithoutAuth(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	a := m.get("/v1/session")
	if s := read[map[string]any](t, a, http.StatusOK); s["auth"] != false || s["tenant"] != "default" {
		t.Errorf("session = %v", s)
	}
	if a := m.postJSON("/v1/session", `{"key":"x"}`); a.StatusCode != http.StatusOK || len(a.Cookies()) != 0 {
		t.Errorf("POST = %d, cookies %v", a.StatusCode, a.Cookies())
	}
}

func TestForeignHostsAndOrigins(t *testing.T) {
	t.Parallel()
	local := newMill(t, func(c *rest.Config) { c.Hosts = []string{"Mill.example"} })
	keyed := newMill(t, secured(t))
	named := newMill(t, secured(t), func(c *rest.Config) { c.Hosts = []string{"mill.example"} })
	key := header("Authorization", "Bearer "+adminKey)
	for _, tt := range []struct {
		name   string
		m      *mill
		method string
		path   string
		set    [][2]string
		status int
	}{
		{"own address", local, "GET", "/v1/jobs", nil, 200},
		{"localhost", local, "GET", "/v1/jobs", [][2]string{{"Host", "localhost:8080"}}, 200},
		{"in capitals, with a dot", local, "GET", "/v1/jobs", [][2]string{{"Host", "LocalHost."}}, 200},
		{"IPv6 loopback", local, "GET", "/v1/jobs", [][2]string{{"Host", "[::1]:8080"}}, 200},
		{"configured name", local, "GET", "/v1/jobs", [][2]string{{"Host", "mill.EXAMPLE:80"}}, 200},
		{"foreign name", local, "GET", "/v1/jobs", [][2]string{{"Host", "evil.example"}}, 403},
		{"foreign name for the page", local, "GET", "/", [][2]string{{"Host", "evil.example"}}, 403},
		{"foreign address", local, "GET", "/v1/jobs", [][2]string{{"Host", "10.0.0.1"}}, 403},
		{"loopback as a label", local, "GET", "/v1/jobs", [][2]string{{"Host", "127.0.0.1.evil.example"}}, 403},
		{"localhost as a label", local, "GET", "/v1/jobs", [][2]string{{"Host", "localhost.evil.example"}}, 403},
		{"probe by any name", local, "GET", "/livez", [][2]string{{"Host", "10.0.0.1"}}, 200},
		{"metrics by any name", local, "GET", "/metrics", [][2]string{{"Host", "10.0.0.1"}}, 200},
		{"any name with a key", keyed, "GET", "/v1/jobs", [][2]string{{"Host", "evil.example"}}, 200},
		{"configured name with a key", named, "GET", "/v1/jobs", [][2]string{{"Host", "mill.example"}}, 200},
		{"foreign name with a key and names", named, "GET", "/v1/jobs", [][2]string{{"Host", "evil.example"}}, 403},

		{"cross-site", local, "DELETE", "/v1/session", [][2]string{{"Sec-Fetch-Site", "cross-site"}}, 403},
		{"same-site", local, "DELETE", "/v1/session", [][2]string{{"Sec-Fetch-Site", "same-site"}}, 403},
		{"same-origin", local, "DELETE", "/v1/session", [][2]string{{"Sec-Fetch-Site", "same-origin"}}, 204},
		{"typed in", local, "DELETE", "/v1/session", [][2]string{{"Sec-Fetch-Site", "none"}}, 204},
		{"foreign origin", local, "DELETE", "/v1/session", [][2]string{{"Origin", "https://evil.example"}}, 403},
		{"null origin", local, "DELETE", "/v1/session", [][2]string{{"Origin", "null"}}, 403},
		{"other port", local, "DELETE", "/v1/session", [][2]string{{"Origin", "http://127.0.0.1:1"}}, 403},
		{"cross-site with a key", keyed, "DELETE", "/v1/session", [][2]string{{"Sec-Fetch-Site", "cross-site"}}, 403},
		{"cross-site form", local, "POST", "/v1/files", [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Content-Type", "multipart/form-data; boundary=b"}}, 403},
		{"cross-site link", local, "GET", "/v1/jobs", [][2]string{{"Sec-Fetch-Site", "cross-site"}}, 200},
		{"preflight", local, "OPTIONS", "/v1/jobs", [][2]string{{"Origin", "https://evil.example"}, {"Access-Control-Request-Method", "POST"}}, 204},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			options := []option{key}
			for _, h := range tt.set {
				options = append(options, header(h[0], h[1]))
			}
			a := tt.m.do(tt.method, tt.path, nil, options...)
			if a.StatusCode != tt.status {
				t.Fatalf("status = %d %s, want %d", a.StatusCode, a.body, tt.status)
			}
			if tt.status == http.StatusForbidden {
				wantProblem(t, a, tt.status)
			}
			for name := range a.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("the answer has %s", name)
				}
			}
		})
	}
}

func TestHeadersOnEverything(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("page.html", "<html><script>alert(1)</script>")
	for _, path := range []string{"/", "/v1/jobs", "/v1/nothing", "/livez", "/docs", "/dashboard", f.URL + "/content", "/openapi.json", "/metrics"} {
		a := m.get(path)
		csp := a.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src") || a.Header.Get("X-Content-Type-Options") != "nosniff" ||
			a.Header.Get("Referrer-Policy") != "no-referrer" || a.Header.Get("X-Frame-Options") != "DENY" || a.Header.Get("X-Request-Id") == "" {
			t.Errorf("GET %s: headers %v", path, a.Header)
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("GET %s: policy %s", path, csp)
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	for id, kept := range map[string]bool{"abc-DEF_1": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "a b": false, "<x>": false} {
		if got := m.get("/livez", header("X-Request-Id", id)).Header.Get("X-Request-Id"); (got == id) != kept || got == "" {
			t.Errorf("X-Request-Id %q became %q", id, got)
		}
	}
}

func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	for _, path := range []string{"/v1", "/v1/", "/v1/nothing", "/nothing", "/v1/jobs/x", "/v1/jobs/" + newID(), "/v1/files/%00", "/v1/files/..%2f..%2fx",
		"/v1/jobs/" + strings.ToUpper(newID()), "/v1/files/" + strings.Repeat("a", 5000), "//v1/jobs"} {
		wantProblem(t, m.get(path), http.StatusNotFound)
	}
	for _, tt := range []struct{ method, path, allow string }{
		{"PUT", "/v1/jobs", "GET"}, {"PATCH", "/v1/files/" + newID(), "DELETE"}, {"DELETE", "/v1/files", "POST"}, {"POST", "/livez", "GET"},
		{"HEAD", "/v1/jobs/" + newID() + "/events", "GET"}, {"DELETE", "/dashboard/x", "GET"}, {"POST", "/dashboard/api/queues/x:pause", "GET"},
	} {
		a := m.do(tt.method, tt.path, nil)
		if a.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(a.Header.Get("Allow"), tt.allow) {
			t.Errorf("%s %s = %d, Allow %q", tt.method, tt.path, a.StatusCode, a.Header.Get("Allow"))
		}
		if tt.method != "HEAD" {
			wantProblem(t, a, http.StatusMethodNotAllowed)
		}
	}
}

func TestLaterCallsSaySo(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	for _, call := range []string{
		"POST /v1/keys", "POST /v1/token", "GET /v1/breakers",
		"POST /v1/uploads", "OPTIONS /v1/uploads", "PATCH /v1/uploads/x",
	} {
		method, path, _ := strings.Cut(call, " ")
		if p := wantProblem(t, m.do(method, path, nil), 422); p.Code != "not_available" {
			t.Errorf("%s = %+v", call, p)
		}
	}
}

func TestWhatGoesWrongInside(t *testing.T) {
	t.Parallel()
	var log logBook
	m := newMill(t, func(c *rest.Config) {
		c.Ledger, c.Log = brokenLedger{c.Ledger, errors.New("driver: host=10.1.2.3 password=hunter2")}, log.logger()
	})
	down := m.get("/v1/jobs/" + newID())
	wantProblem(t, down, http.StatusServiceUnavailable)
	panicked := m.get("/v1/jobs?tag=canary-in-the-query", header("Authorization", "Bearer canary-in-the-header"))
	wantProblem(t, panicked, http.StatusInternalServerError)
	for _, a := range []answer{down, panicked} {
		if strings.Contains(string(a.body), "hunter2") || strings.Contains(string(a.body), ".go:") {
			t.Errorf("the answer shows the inside: %s", a.body)
		}
	}
	if down.Header.Get("Retry-After") == "" {
		t.Error("503 has no Retry-After")
	}
	book := log.String()
	if !strings.Contains(book, "hunter2") || !strings.Contains(book, down.Header.Get("X-Request-Id")) || !strings.Contains(book, "observe.go") {
		t.Errorf("the log lacks the cause, the request's id or the stack:\n%s", book)
	}
	if strings.Contains(book, "canary") {
		t.Errorf("the log holds what a client sent:\n%s", book)
	}
}

// refusing is a dispatcher with one answer.
type refusing struct {
	rest.Dispatcher
	err error
}

func TestEveryKindHasItsStatus(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		status int
		retry  bool
	}{
		{millrace.Errorf(millrace.Malformed, "x"), 400, false}, {millrace.Errorf(millrace.Unauthenticated, "x"), 401, false},
		{millrace.Errorf(millrace.Forbidden, "x"), 403, false}, {millrace.Errorf(millrace.NotFound, "x"), 404, false},
		{millrace.Errorf(millrace.Conflict, "x"), 409, false}, {millrace.Errorf(millrace.TooLarge, "x"), 413, false},
		{millrace.Errorf(millrace.Unsupported, "x"), 415, false}, {millrace.Errorf(millrace.BadRange, "x"), 416, false},
		{millrace.Errorf(millrace.Invalid, "x"), 422, false}, {millrace.Errorf(millrace.Limited, "x"), 429, true},
		{millrace.Errorf(millrace.Unavailable, "x"), 503, true}, {fmt.Errorf("wrapped: %w", store.ErrFull), 503, true},
		{fmt.Errorf("wrapped: %w", store.ErrNotFound), 404, false}, {store.ErrState, 409, false}, {errors.New("x"), 503, true},
	} {
		t.Run(fmt.Sprint(tt.status, tt.err), func(t *testing.T) {
			t.Parallel()
			m := newMill(t, func(c *rest.Config) { c.Dispatcher = refusing{c.Dispatcher, tt.err} })
			a := m.do(http.MethodDelete, "/v1/jobs/"+newID(), nil)
			wantProblem(t, a, tt.status)
			if got := a.Header.Get("Retry-After") != ""; got != tt.retry {
				t.Errorf("Retry-After = %q", a.Header.Get("Retry-After"))
			}
		})
	}
}

func (r refusing) Delete(context.Context, string, string) error { return r.err }
