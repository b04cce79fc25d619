package queue

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
)

// Page is a set of web pages and the Content-Security-Policy to send with them.
type Page struct {
	Handler http.Handler
	CSP     string
}

// Dashboard is asynq's own web interface under rootPath, such as "/dashboard". It has no idea of users: whoever reaches the handler may see
// everything, and change everything unless readOnly. Authentication and the check of the request's origin belong before it. Numbers on it are
// deliveries, not jobs.
func (q *Queue) Dashboard(rootPath string, readOnly bool) (Page, error) {
	if !strings.HasPrefix(rootPath, "/") || strings.HasSuffix(rootPath, "/") {
		return Page{}, fmt.Errorf("dashboard under %q: the path must begin with a slash and not end with one", rootPath)
	}
	mon := asynqmon.New(asynqmon.Options{
		RootPath:     rootPath,
		RedisConnOpt: shared{q.redis},
		ReadOnly:     readOnly,
		// Payloads are ids today; whatever comes to be in them is nobody's business here.
		PayloadFormatter: asynqmon.PayloadFormatterFunc(func(string, []byte) string { return "-" }),
		ResultFormatter:  asynqmon.ResultFormatterFunc(func(string, []byte) string { return "-" }),
	})
	index, err := renderIndex(mon, rootPath)
	if err != nil {
		return Page{}, fmt.Errorf("dashboard: %w", err)
	}
	return Page{
		Handler: &dashboard{mon: mon, api: rootPath + "/api/", index: index, readOnly: readOnly},
		CSP: "default-src 'none'; script-src 'self'" + scriptHashes(index) + "; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
			"font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}, nil
}

// shared hands our client to asynqmon, which would make its own from an address. asynqmon's Close is never called: it would close the client.
type shared struct{ client redis.UniversalClient }

func (s shared) MakeRedisClient() any { return s.client }

// outside finds links of the page's head that would be fetched from elsewhere: fonts, for which there are fallbacks.
var outside = regexp.MustCompile(`<link[^>]*href="https?://[^"]*"[^>]*>`)

// renderIndex is asynqmon's one HTML page without anything from outside this server.
func renderIndex(mon http.Handler, rootPath string) ([]byte, error) {
	r, err := http.NewRequest(http.MethodGet, rootPath+"/", nil)
	if err != nil {
		return nil, err
	}
	w := &assetWriter{header: http.Header{}}
	mon.ServeHTTP(w, r)
	if !w.index() {
		return nil, fmt.Errorf("asynqmon answered %d with no page", w.code)
	}
	page := outside.ReplaceAll(w.body.Bytes(), nil)
	if bytes.Contains(page, []byte(`="http`)) || bytes.Contains(page, []byte(`="//`)) {
		return nil, fmt.Errorf("asynqmon's page refers to another server in a way that is not known")
	}
	return page, nil
}

var inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)

// scriptHashes allows the page's own inline scripts and no others.
func scriptHashes(page []byte) string {
	var b strings.Builder
	for _, m := range inlineScript.FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(m[1])
		b.WriteString(" 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'")
	}
	return b.String()
}

type dashboard struct {
	mon      http.Handler
	api      string // prefix of its JSON paths
	index    []byte
	readOnly bool
}

func (d *dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.readOnly && r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the dashboard is read-only", http.StatusMethodNotAllowed)
		return
	}
	if strings.HasPrefix(r.URL.Path, d.api) {
		d.mon.ServeHTTP(w, r)
		return
	}
	a := &assetWriter{header: w.Header()}
	d.mon.ServeHTTP(a, r)
	body := a.body.Bytes()
	if a.index() {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store") // it names assets by their hashes
		body = d.index
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if a.code != 0 {
		w.WriteHeader(a.code)
	}
	_, _ = w.Write(body) // the client has gone
}

// assetWriter holds an answer back until it is known whether it is the page: every path that is no file is.
type assetWriter struct {
	header http.Header
	body   bytes.Buffer
	code   int
}

func (a *assetWriter) Header() http.Header         { return a.header }
func (a *assetWriter) WriteHeader(code int)        { a.code = code }
func (a *assetWriter) Write(p []byte) (int, error) { return a.body.Write(p) }

// index says whether the answer is the page. asynqmon names the type of every file, and of the page not.
func (a *assetWriter) index() bool {
	return a.header.Get("Content-Type") == "" && (a.code == 0 || a.code == http.StatusOK) && bytes.Contains(a.body.Bytes(), []byte("<html"))
}
