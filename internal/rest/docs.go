package rest

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace/tasks"
)

//go:embed docs.css
var docsCSS string

//go:embed docs.html.tmpl
var docsTemplate string

// docsPage is what the readable form of the OpenAPI document shows.
type docsPage struct {
	Version string
	Style   template.CSS
	Routes  []docsRoute
	Types   []tasks.Type
}

type docsRoute struct {
	Method, Path, Scope, Summary, Description string
	Query                                     []string
}

// renderDocs makes the page at /docs once. It loads nothing: its style is inline and allowed by its hash.
func renderDocs(routes []route, c Config) (html []byte, csp string, err error) {
	known := operations(c.Types)
	page := docsPage{Version: version(c), Style: template.CSS(docsCSS), Types: c.Types.All()}
	for _, r := range routes {
		if !documented(r) || r.later {
			continue
		}
		op := known[r.method+" "+r.pattern]
		row := docsRoute{Method: r.method, Path: openapiPath(r.pattern), Scope: string(r.scope), Summary: op.summary,
			Description: op.description, Query: r.query}
		page.Routes = append(page.Routes, row)
	}
	t, err := template.New("docs").Parse(docsTemplate)
	if err != nil {
		return nil, "", fmt.Errorf("parse the template of /docs: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, page); err != nil {
		return nil, "", fmt.Errorf("render /docs: %w", err)
	}
	sum := sha256.Sum256([]byte(docsCSS))
	return b.Bytes(), apiCSP + "; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", nil
}

func (s *Server) getDocs(c echo.Context) error {
	c.Response().Header().Set("Content-Security-Policy", s.docsCSP)
	return s.respondBytes(c, http.StatusOK, "text/html; charset=utf-8", s.docs)
}
