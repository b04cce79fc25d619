package queue_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/queue"
)

func get(t *testing.T, h http.Handler, method, path string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	res := w.Result()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e env) {
		q := open(t, e.client)
		if err := q.Register(context.Background()); err != nil {
			t.Fatal(err)
		}
		enqueue(t, q, task(1))
		page, err := q.Dashboard("/dashboard", true)
		if err != nil {
			t.Fatal(err)
		}
		_, body := get(t, page.Handler, "GET", "/dashboard/api/queues")
		var list struct {
			Queues []struct {
				Queue   string `json:"queue"`
				Pending int    `json:"pending"`
			} `json:"queues"`
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatalf("list of queues %q: %v", body, err)
		}
		pending := map[string]int{}
		for _, l := range list.Queues {
			pending[l.Queue] = l.Pending
		}
		if len(pending) != len(millrace.Queues()) || pending["cpu.normal"] != 1 {
			t.Errorf("pending by queue = %v", pending)
		}
		_, body = get(t, page.Handler, "GET", "/dashboard/api/queues/cpu.normal/pending_tasks")
		if !strings.Contains(body, `"id":"`+task(1).ID()+`"`) || !strings.Contains(body, `"type":"image.resize"`) {
			t.Errorf("pending tasks = %s", body)
		}
		if !strings.Contains(body, `"payload":"-"`) {
			t.Errorf("the payload shows: %s", body)
		}
		for _, path := range []string{"/dashboard/api/queues/cpu.normal:pause", "/dashboard/api/nothing", "/dashboard"} {
			if res, _ := get(t, page.Handler, "POST", path); res.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("POST %s = %d, want 405", path, res.StatusCode)
			}
		}
		if res, _ := get(t, page.Handler, "DELETE", "/dashboard/api/queues/cpu.normal"); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("DELETE = %d, want 405", res.StatusCode)
		}
		if n := depth(t, q, "cpu.normal"); n != 1 {
			t.Errorf("%d tasks after refused writes, want 1", n)
		}

		writable, err := q.Dashboard("/dashboard", false)
		if err != nil {
			t.Fatal(err)
		}
		if res, body := get(t, writable.Handler, "POST", "/dashboard/api/queues/cpu.normal:pause"); res.StatusCode/100 != 2 {
			t.Errorf("POST to a writable dashboard = %d %s", res.StatusCode, body)
		}
	})
}

var reference = regexp.MustCompile(`(?:src|href)="([^"]*)"`)

func TestDashboardPageStaysHome(t *testing.T) {
	t.Parallel()
	q := open(t, dialEmbedded(t))
	page, err := q.Dashboard("/dashboard", true)
	if err != nil {
		t.Fatal(err)
	}
	var scripts int
	for _, path := range []string{"/dashboard", "/dashboard/", "/dashboard/queues/cpu.normal"} {
		res, body := get(t, page.Handler, "GET", path)
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(body, `<div id="root">`) {
			t.Fatalf("GET %s = %d %s %.80q", path, res.StatusCode, res.Header.Get("Content-Type"), body)
		}
		for _, m := range reference.FindAllStringSubmatch(body, -1) {
			if !strings.HasPrefix(m[1], "/dashboard/") {
				t.Errorf("GET %s refers to %s", path, m[1])
				continue
			}
			res, asset := get(t, page.Handler, "GET", m[1])
			if res.StatusCode != 200 || len(asset) == 0 || strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
				t.Errorf("GET %s = %d %s, want a file", m[1], res.StatusCode, res.Header.Get("Content-Type"))
			}
			scripts += strings.Count(m[1], ".js")
		}
		for _, inline := range strings.Split(body, "<script>")[1:] {
			text, _, _ := strings.Cut(inline, "</script>")
			sum := sha256.Sum256([]byte(text))
			if !strings.Contains(page.CSP, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
				t.Errorf("the policy does not allow the page's own script %.60q", text)
			}
		}
	}
	if scripts == 0 {
		t.Error("the page loads no script: the test looked at the wrong thing")
	}
	if strings.Contains(page.CSP, "http") || strings.Contains(page.CSP, "script-src 'self' 'unsafe-inline'") {
		t.Errorf("policy %q", page.CSP)
	}
}

func TestDashboardPath(t *testing.T) {
	t.Parallel()
	q := open(t, dialEmbedded(t))
	for _, path := range []string{"", "/", "dashboard", "/dashboard/"} {
		if _, err := q.Dashboard(path, true); err == nil {
			t.Errorf("Dashboard(%q) = nil error", path)
		}
	}
	var _ queue.Page
}
