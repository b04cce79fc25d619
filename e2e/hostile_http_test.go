package e2e_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// byHand sends a request as it is written and returns the answer; nil when there was none.
func (s *target) byHand(t *testing.T, request string) (*http.Response, []byte) {
	t.Helper()
	conn := s.dial(t)
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, nil // refused before it was whole
	}
	return answer(t, conn)
}

// foreignHosts checks what keeps web pages of others away: an embedded server has no password.
func foreignHosts(t *testing.T, s *target) {
	_, port, _ := strings.Cut(s.address(), ":")
	for _, host := range []string{
		"evil.example", "evil.example:" + port, "127.0.0.1.evil.example", "localhost.evil.example", "evil.example.localhost.", "127.0.0.1@evil.example",
		"10.0.0.1", "0.0.0.0:" + port, "[::]:" + port, "[::ffff:10.0.0.1]", "2130706433", "0x7f.1", "",
	} {
		for _, path := range []string{"/v1/files", "/", "/dashboard", "/openapi.json", "/v1/jobs"} {
			res, raw := s.byHand(t, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
			if res == nil {
				t.Errorf("Host %q at %s: no answer", host, path)
				continue
			}
			if res.StatusCode == http.StatusBadRequest && !strings.Contains(string(raw), "{") {
				continue // net/http takes it for no host at all
			}
			checkProblem(t, fmt.Sprintf("Host %q at %s", host, path), res.StatusCode, res.Header, raw, http.StatusForbidden, "foreign_host")
		}
	}
	for _, host := range []string{"localhost", "LOCALHOST:" + port, "localhost.", "127.0.0.1", "127.9.9.9", "[::1]:" + port} {
		if res, raw := s.byHand(t, "GET /v1/files HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); res == nil || res.StatusCode != http.StatusOK {
			t.Errorf("Host %q is refused: %.200s", host, raw)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		if res, raw := s.byHand(t, "GET "+path+" HTTP/1.1\r\nHost: 10.1.2.3\r\nConnection: close\r\n\r\n"); res == nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s is refused to a balancer: %.200s", path, raw)
		}
	}
	body := fmt.Sprintf(quickJob, s.probe)
	for _, header := range []string{
		"Origin: https://evil.example", "Origin: null", "Origin: http://localhost:1", "Origin: http://" + s.address() + ".evil.example", "Sec-Fetch-Site: cross-site",
		"Sec-Fetch-Site: same-site",
	} {
		for _, line := range []string{"POST /v1/jobs", "POST /v1/files", "DELETE /v1/files/" + s.probe, "POST /v1/session", "POST /dashboard/api/queues/io.normal:pause"} {
			res, raw := s.byHand(t, s.head(line, header, "Connection: close", "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(body)))+body)
			if res == nil {
				t.Errorf("%s with %s: no answer", line, header)
				continue
			}
			checkProblem(t, line+" with "+header, res.StatusCode, res.Header, raw, http.StatusForbidden, "cross_origin")
		}
		res, _ := s.byHand(t, s.head("GET /v1/files", header, "Connection: close"))
		if res == nil || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("GET with %s lets a foreign page read", header)
		}
		res, _ = s.byHand(t, s.head("OPTIONS /v1/jobs", header, "Connection: close", "Access-Control-Request-Method: POST"))
		if res == nil || res.Header.Get("Access-Control-Allow-Origin") != "" || res.Header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("OPTIONS with %s is answered as if other origins were welcome", header)
		}
	}
	if res, raw := s.byHand(t, s.head("POST /v1/jobs", "Origin: "+s.url, "Sec-Fetch-Site: same-origin", "Connection: close", "Content-Type: application/json",
		fmt.Sprintf("Content-Length: %d", len(body)))+body); res == nil || res.StatusCode != http.StatusAccepted {
		t.Errorf("a POST of the server's own page is refused: %.200s", raw)
	}
}

// garbage is no HTTP at all. The server closes, with or without a word.
func garbage(t *testing.T, s *target) {
	for name, bytes := range map[string]string{
		"nothing": "", "line ends": strings.Repeat("\r\n", 1000), "noise": string(noise(64 << 10)), "zeros": strings.Repeat("\x00", 4096), "one long line": strings.Repeat("A", 1<<20),
		"HTTP/9": "GET / HTTP/9.9\r\n\r\n", "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/0.9": "GET /\r\n", "redis": "*1\r\n$8\r\nFLUSHALL\r\n", "smtp": "EHLO x\r\n",
		"two lengths":          s.head("POST /v1/files", "Content-Length: 1", "Content-Length: 2") + "xy",
		"negative length":      s.head("POST /v1/files", "Content-Length: -1"),
		"length and chunks":    s.head("POST /v1/files", "Content-Type: application/octet-stream", "Content-Length: 9", "Transfer-Encoding: chunked", "Connection: close") + "ZZ\r\n\r\n",
		"strange encoding":     s.head("POST /v1/files", "Content-Type: application/octet-stream", "Transfer-Encoding: gzip"),
		"header without colon": s.head("GET /livez", "nonsense"), "space before colon": s.head("GET /livez", "X-A : b"), "null in header": s.head("GET /livez", "X-A: \x00"),
		"two hosts": "GET /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n", "no host": "GET /v1/files HTTP/1.1\r\n\r\n",
		"proxy request": "GET http://evil.example/v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
		"connect":       "CONNECT evil.example:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
	} {
		conn := s.dial(t)
		_, _ = io.WriteString(conn, bytes) // it may be cut off before the end
		_ = conn.CloseWrite()
		res, raw := answer(t, conn)
		conn.Close()
		if res != nil && res.StatusCode < 400 {
			t.Errorf("%s: answered %d: %.200s", name, res.StatusCode, raw)
		}
		if found := leak.Find(raw); found != nil {
			t.Errorf("%s: the answer tells %q: %.300s", name, found, raw)
		}
	}
	conn := s.dial(t)
	if err := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
		t.Error("a TLS handshake with a server that speaks plain HTTP succeeded")
	}
	conn.Close()
}

func badHeaders(t *testing.T, s *target) {
	many := make([]string, 5000)
	for i := range many {
		many[i] = fmt.Sprintf("X-%d: value", i)
	}
	for name, header := range map[string][]string{
		"one of 1 MiB": {"X-A: " + strings.Repeat("x", 1<<20)}, "many": many, "cookie": {"Cookie: millrace=" + strings.Repeat("x", 100<<10)},
	} {
		res, _ := s.byHand(t, s.head("GET /v1/files", append(header, "Connection: close")...))
		if res != nil && res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: %d, want 431 or a closed connection", name, res.StatusCode)
		}
	}
	// Headers that are wrong but small are no reason to fail.
	for _, header := range []string{
		"Cookie: millrace=nonsense; __Host-millrace=\"x", "Authorization: Basic Og==", "Authorization: Bearer", "Accept: nonsense/", "Accept-Encoding: \x01", "If-None-Match: \"",
		"X-Request-Id: " + strings.Repeat("a", 500), "X-Request-Id: <script>", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: evil.example", "Range: bytes=0-0", "Content-Type: \xff",
	} {
		res, raw := s.byHand(t, s.head("GET /v1/files", header, "Connection: close"))
		if res == nil || res.StatusCode != http.StatusOK && res.StatusCode != http.StatusBadRequest {
			t.Errorf("GET /v1/files with %.60s is answered with %+v: %.200s", header, res, raw)
			continue
		}
		if id := res.Header.Get("X-Request-Id"); strings.HasPrefix(header, "X-Request-Id") && (len(id) > 64 || strings.Contains(id, "<")) {
			t.Errorf("a client's request id is taken as it is: %.100s", id)
		}
	}
}

// badPaths try to get out of what a path may name.
func badPaths(t *testing.T, s *target) {
	j := s.on(t).submit(quickJob, s.probe)
	s.on(t).finish(j.ID)
	jobPath := "/v1/jobs/" + j.ID
	for _, path := range []string{
		jobPath + "/outputs/..%2f..%2f..%2fetc%2fpasswd", jobPath + "/outputs/../../../../etc/passwd", jobPath + "/outputs/%2e%2e", jobPath + "/outputs/..",
		jobPath + "/outputs/%00", jobPath + "/outputs/a%00b", jobPath + "/outputs/" + strings.Repeat("x", 8000), jobPath + "/outputs/%ff%fe", jobPath + "/outputs/",
		jobPath + "/outputs/..%5c..%5cx", jobPath + "/outputs/%25%32%65", jobPath + "/output", jobPath + "/nothing",
		"/v1/jobs/..%2f..%2fetc", "/v1/jobs/%00", "/v1/jobs/0198C0DE-0000-7000-8000-000000000000", "/v1/jobs/0198c0de-0000-7000-8000-000000000000", "/v1/jobs/1;drop table jobs",
		"/v1/jobs/'%20or%201=1", "/v1/files/../../data/millrace.db", "/v1/files/%2e%2e/content", "/v1/files/" + strings.Repeat("0", 36) + "/content",
		"/v1/task-types/..%2f", "/v1/task-types/%00", "/assets/../../../etc/passwd", "/assets/..%2f..%2fmillrace.db", "//v1/jobs", "/v1/jobs/", "/v1", "/nothing", "/.git/config", "/%",
	} {
		res, raw := s.byHand(t, s.head("GET "+strings.ReplaceAll(path, " ", "%20"), "Connection: close"))
		if res == nil {
			t.Errorf("GET %.100s: no answer", path)
			continue
		}
		if res.StatusCode != http.StatusNotFound && res.StatusCode != http.StatusBadRequest {
			t.Errorf("GET %.100s = %d, want 404 or 400: %.200s", path, res.StatusCode, raw)
		}
		if strings.Contains(string(raw), "root:") || leak.Match(raw) {
			t.Errorf("GET %.100s tells too much: %.300s", path, raw)
		}
		if res.StatusCode == http.StatusNotFound && strings.HasPrefix(path, "/v1/") {
			checkProblem(t, "GET "+path, res.StatusCode, res.Header, raw, http.StatusNotFound, "not_found")
		}
	}
}

func badMethods(t *testing.T, s *target) {
	for _, tt := range []struct{ line, allow string }{
		{"PUT /v1/files", "GET, HEAD, POST"}, {"DELETE /v1/jobs", "GET, HEAD, POST"}, {"PATCH /v1/files/" + s.probe, "DELETE, GET, HEAD"}, {"TRACE /v1/jobs", "GET, HEAD, POST"},
		{"POST /v1/files/" + s.probe + "/content", "GET, HEAD"}, {"GET /v1/jobs/" + s.probe + "/cancel", "POST"}, {"FOO /v1/jobs", "GET, HEAD, POST"}, {"POST /livez", "GET, HEAD"},
		{"POST /openapi.json", "GET, HEAD"}, {"PUT /", "GET, HEAD"}, {"POST /assets/x", "GET, HEAD"}, {"DELETE /dashboard", "GET, HEAD"},
	} {
		res, raw := s.byHand(t, s.head(tt.line, "Connection: close"))
		if res == nil {
			t.Errorf("%s: no answer", tt.line)
			continue
		}
		checkProblem(t, tt.line, res.StatusCode, res.Header, raw, http.StatusMethodNotAllowed, "method_not_allowed")
		if got := sorted(res.Header.Get("Allow")); got != tt.allow {
			t.Errorf("%s: Allow = %q, want %q", tt.line, got, tt.allow)
		}
	}
}
