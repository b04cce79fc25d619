// Package web is the page at /: static files that call the public REST API, and the handler that serves them.
//
// There is no build step: what lies in this directory is what browsers load, but for the comments in modules. The package knows nothing of jobs, and imports the standard
// library only.
package web

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strings"
)

//go:generate go run ./internal/samplegen samples

//go:embed index.html icon.svg app.js lib pages elements css samples
var files embed.FS

// ContentSecurityPolicy is what the page needs and no more: its own modules and styles, pictures from the API or from the file that somebody
// has just picked. Markup is made by one Trusted Types policy, in lib/html.js.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types millrace"

// Link is one of the places that the page's footer leads to.
type Link struct{ Title, Href string }

// Links are the places that every server has.
func Links() []Link {
	return []Link{{"API reference", "/docs"}, {"OpenAPI", "/openapi.json"}, {"asynq dashboard", "/dashboard"}}
}

// Patterns are the paths that Handler answers, a parameter written ":id" and the rest of a path "*": the screens, which the page tells apart
// by itself, and the files they load.
func Patterns() []string {
	return []string{"/", "/submit", "/jobs", "/jobs/:id", "/files", "/workers", assetsRoot + "*"}
}

// IsScreen says whether a path is one of the page's screens, so that the page itself is the answer.
func IsScreen(path string) bool {
	switch path {
	case "/", "/submit", "/jobs", "/files", "/workers":
		return true
	}
	id, ok := strings.CutPrefix(path, "/jobs/")
	return ok && id != "" && !strings.Contains(id, "/")
}

// Handler serves the page and its files. links go into the footer; without any, Links do. It panics when the embedded files are not what
// they must be, which any test that calls it finds.
func Handler(links ...Link) http.Handler {
	if links == nil {
		links = Links()
	}
	assets := load(files)
	index := newAsset("index.html", renderIndex(assets, links))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", ContentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if IsScreen(r.URL.Path) {
			h.Set("Cache-Control", "no-cache") // asked for again each time, answered 304 while nothing has changed
			index.serve(w, r)
			return
		}
		asset, ok := assets.byPath[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		asset.serve(w, r)
	})
}

// renderIndex fills in where the files are. Modules are named one by one so that the browser loads them at once, not import by import.
func renderIndex(a assets, links []Link) []byte {
	raw, err := files.ReadFile("index.html")
	if err != nil {
		panic(err)
	}
	var out bytes.Buffer
	err = template.Must(template.New("index").Parse(string(raw))).Execute(&out, struct {
		Assets          string
		Styles, Modules []string
		Links           []Link
	}{a.prefix, a.named("css/tokens.css", "css/base.css", "css/layout.css", "css/components.css"), a.modules(), links})
	if err != nil {
		panic(err)
	}
	return out.Bytes()
}
