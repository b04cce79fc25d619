package web_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/web"
)

// site makes one handler for all tests; it holds nothing that a request could change.
var site = sync.OnceValue(func() http.Handler { return web.Handler() })

func request(t *testing.T, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	site().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestScreensAnswerThePage(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]int{
		"/": 200, "/submit": 200, "/jobs": 200, "/jobs/0198": 200, "/files": 200, "/workers": 200,
		"/jobs/": 404, "/jobs/a/b": 404, "/nowhere": 404, "/index.html": 404, "/assets/": 404, "/assets/0000/app.js": 404, "/assets/../embed.go": 404,
	} {
		r := request(t, "GET", path)
		if r.StatusCode != want {
			t.Errorf("GET %s = %d, want %d", path, r.StatusCode, want)
		}
		if got := web.IsScreen(path); got != (want == 200) {
			t.Errorf("IsScreen(%q) = %v, want %v", path, got, !got)
		}
	}
	if r := request(t, "POST", "/"); r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST / = %d, Allow %q, want 405 and GET, HEAD", r.StatusCode, r.Header.Get("Allow"))
	}
	if r := request(t, "HEAD", "/"); r.StatusCode != 200 || body(t, r) != "" {
		t.Errorf("HEAD / = %d with a body, want 200 without", r.StatusCode)
	}
}

func TestPatternsCoverWhatIsServed(t *testing.T) {
	t.Parallel()
	for _, pattern := range web.Patterns() {
		if strings.HasSuffix(pattern, "*") {
			continue
		}
		if path := strings.Replace(pattern, ":id", "0198", 1); !web.IsScreen(path) {
			t.Errorf("pattern %s: IsScreen(%q) = false, want true", pattern, path)
		}
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	r := request(t, "GET", "/")
	html := body(t, r)
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache", "Content-Security-Policy": web.ContentSecurityPolicy, "X-Content-Type-Options": "nosniff",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	for _, want := range []string{
		`<!doctype html>`, `<html lang="en">`, `<title>Millrace</title>`, `name="viewport" content="width=device-width, initial-scale=1"`, `<main id="main"`,
		`<a class="skip" href="#main">`, `role="status"`, `role="alert"`, `<nav id="nav" aria-label="Main">`, `<noscript>`,
		`<a href="/docs">API reference</a>`, `<a href="/openapi.json">OpenAPI</a>`, `<a href="/dashboard">asynq dashboard</a>`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for what, pattern := range map[string]string{
		"an inline script": `(?i)<script(?:\s[^>]*)?>[^<]`, "an inline style": `(?i)<style|\sstyle=`, "a handler": `(?i)\son[a-z]+=`, "another host": `(?i)(?:src|href)="(?:https?:)?//`,
	} {
		if found := regexp.MustCompile(pattern).FindString(html); found != "" {
			t.Errorf("the page holds %s: %q", what, found)
		}
	}
	etag := r.Header.Get("ETag")
	if again := request(t, "GET", "/jobs", "If-None-Match", etag); again.StatusCode != 304 || body(t, again) != "" {
		t.Errorf("GET /jobs with the ETag of / = %d, want 304 without a body", again.StatusCode)
	}
}

func TestFooterLinks(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	web.Handler(web.Link{Title: `A "place" <b>`, Href: "/place"}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	html := w.Body.String()
	if !strings.Contains(html, `<a href="/place">A &#34;place&#34; &lt;b&gt;</a>`) || strings.Contains(html, "/dashboard") {
		t.Errorf("the footer does not hold the given link alone:\n%s", html)
	}
}

// linked are the paths that the page names.
func linked(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, m := range regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`).FindAllStringSubmatch(body(t, request(t, "GET", "/")), -1) {
		paths = append(paths, m[1])
	}
	return paths
}

func TestAssets(t *testing.T) {
	t.Parallel()
	types := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
	paths := linked(t)
	if len(paths) < 20 {
		t.Fatalf("the page names %d files, want all modules and styles", len(paths))
	}
	for _, p := range paths {
		plain := request(t, "GET", p)
		if plain.StatusCode != 200 || plain.Header.Get("Content-Type") != types[path.Ext(p)] || plain.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("GET %s = %d %v, want 200, %s, immutable", p, plain.StatusCode, plain.Header, types[path.Ext(p)])
		}
		packed := request(t, "GET", p, "Accept-Encoding", "br, gzip;q=0.8")
		if packed.Header.Get("Content-Encoding") != "gzip" {
			if len(body(t, plain)) > 1500 {
				t.Errorf("GET %s is not compressed", p)
			}
			continue
		}
		unpacked, err := gzip.NewReader(packed.Body)
		if err != nil {
			t.Fatalf("GET %s: %v", p, err)
		}
		raw, err := io.ReadAll(unpacked)
		if want := body(t, plain); err != nil || string(raw) != want {
			t.Errorf("GET %s: compressed and plain differ (%v)", p, err)
		}
		if packed.Header.Get("ETag") == plain.Header.Get("ETag") {
			t.Errorf("GET %s: two representations share the ETag %s", p, plain.Header.Get("ETag"))
		}
		if r := request(t, "GET", p, "Accept-Encoding", "gzip;q=0"); r.Header.Get("Content-Encoding") != "" {
			t.Errorf("GET %s: compressed for a client that refuses it", p)
		}
	}
}

// TestModulesAreNamed keeps the list of preloaded modules whole: a module that is not there is found only import by import.
func TestModulesAreNamed(t *testing.T) {
	t.Parallel()
	names := linked(t)
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		if path.Ext(name) == ".js" && !slices.ContainsFunc(names, func(p string) bool { return strings.HasSuffix(p, "/"+name) }) {
			t.Errorf("the page does not name %s", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestModulesKeepTheirLines(t *testing.T) {
	t.Parallel()
	for _, p := range linked(t) {
		if path.Ext(p) != ".js" {
			continue
		}
		raw, err := os.ReadFile(strings.Join(strings.Split(p, "/")[3:], "/"))
		if err != nil {
			t.Fatal(err)
		}
		served, lines := strings.Split(body(t, request(t, "GET", p)), "\n"), strings.Split(string(raw), "\n")
		if len(served) != len(lines) {
			t.Fatalf("%s: served with %d lines, want %d", p, len(served), len(lines))
		}
		for i := range lines {
			if served[i] != lines[i] && (served[i] != "" || !regexp.MustCompile(`^\s*(//|/?\*)`).MatchString(lines[i])) {
				t.Errorf("%s:%d: served as %q, want %q", p, i+1, served[i], lines[i])
			}
		}
	}
}

// weightLimit is what a first visit may load, uncompressed and without the samples.
const weightLimit = 150_000

func TestPageWeight(t *testing.T) {
	t.Parallel()
	weight := len(body(t, request(t, "GET", "/")))
	seen := map[string]bool{}
	for _, p := range linked(t) {
		if !seen[p] {
			weight += len(body(t, request(t, "GET", p)))
		}
		seen[p] = true
	}
	if weight > weightLimit {
		t.Errorf("the page weighs %d bytes, want at most %d", weight, weightLimit)
	}
	t.Logf("%d bytes", weight)
}

// TestNoRawMarkup holds the rule that only lib/html.js makes markup of text, and that nothing loads from elsewhere.
func TestNoRawMarkup(t *testing.T) {
	t.Parallel()
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://`)
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".js" || name == "lib/html.js" {
			return err
		}
		raw, err := os.ReadFile(name)
		if found := forbidden.Find(raw); found != nil {
			t.Errorf("%s holds %q", name, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("lib/html.js")
	if n := bytes.Count(raw, []byte("innerHTML")); err != nil || n != 1 {
		t.Errorf("lib/html.js sets innerHTML %d times, want once (%v)", n, err)
	}
}
