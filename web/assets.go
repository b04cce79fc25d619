package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

const assetsRoot = "/assets/"

// assets are the files under one prefix that names them all: /assets/<hash of all files>/. Relative imports between modules then work as
// they stand, and whatever a browser has cached belongs together.
type assets struct {
	prefix string
	byPath map[string]asset // by URL path
}

// asset is one file, ready to be sent.
type asset struct {
	body, gzipped     []byte // gzipped is nil where it would be no smaller
	contentType, etag string
}

func load(files fs.FS) assets {
	bodies := map[string][]byte{}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || name == "index.html" {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if path.Ext(name) == ".js" {
			body = withoutComments(body)
		}
		bodies[name] = body
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("web: read the embedded files: %v", err))
	}
	a := assets{prefix: assetsRoot + hashOf(bodies) + "/", byPath: map[string]asset{}}
	for name, body := range bodies {
		a.byPath[a.prefix+name] = newAsset(name, body)
	}
	return a
}

// withoutComments empties the lines of a module that hold nothing but a comment: those are for who reads this directory, and a tenth of what
// a browser would load. The other lines stay where they are, so that a browser's error points at the right one.
func withoutComments(module []byte) []byte {
	lines := bytes.Split(module, []byte("\n"))
	for i, line := range lines {
		text := bytes.TrimSpace(line)
		for _, mark := range []string{"// ", "/**", "* ", "*/"} {
			if bytes.HasPrefix(text, []byte(mark)) {
				lines[i] = nil
			}
		}
	}
	return bytes.Join(lines, []byte("\n"))
}

func hashOf(bodies map[string][]byte) string {
	names := make([]string, 0, len(bodies))
	for name := range bodies {
		names = append(names, name)
	}
	slices.Sort(names)
	sum := sha256.New()
	for _, name := range names {
		fmt.Fprintf(sum, "%s %d\n", name, len(bodies[name]))
		sum.Write(bodies[name])
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// contentType is said by us: the system's table of types may hold anything, and a module with another type does not run.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".jpg":
		return "image/jpeg"
	case ".csv":
		return "text/csv; charset=utf-8"
	}
	return "text/plain; charset=utf-8"
}

func newAsset(name string, body []byte) asset {
	sum := sha256.Sum256(body)
	a := asset{body: body, contentType: contentType(name), etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
	if strings.HasPrefix(name, "samples/") {
		return a // loaded by a click, if at all: not worth a tenth of a second at each start
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(body); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	if packed.Len() < len(body)*9/10 {
		a.gzipped = packed.Bytes()
	}
	return a
}

func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Vary", "Accept-Encoding")
	body, etag := a.body, a.etag
	if a.gzipped != nil && acceptsGzip(r) {
		body, etag = a.gzipped, strings.TrimSuffix(a.etag, `"`)+`-gzip"` // another representation: RFC 9110, section 8.8.3.3
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", etag)
	if slices.Contains(splitList(r.Header.Get("If-None-Match")), etag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	// A client that has gone away is no error of ours.
	_, _ = w.Write(body)
}

// acceptsGzip reads Accept-Encoding as far as it matters here: gzip is named and not refused by q=0.
func acceptsGzip(r *http.Request) bool {
	for _, item := range splitList(r.Header.Get("Accept-Encoding")) {
		name, quality, _ := strings.Cut(item, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(quality), "q="), 64)
			return err != nil || q > 0
		}
	}
	return false
}

func splitList(header string) []string {
	items := strings.Split(header, ",")
	for i := range items {
		items[i] = strings.TrimPrefix(strings.TrimSpace(items[i]), "W/")
	}
	return items
}

// named are the paths of some files, in the order given.
func (a assets) named(names ...string) []string {
	for i, name := range names {
		names[i] = a.prefix + name
		if _, ok := a.byPath[names[i]]; !ok {
			panic("web: no file " + name)
		}
	}
	return names
}

// modules are the paths of all JavaScript modules but the one that the page names itself.
func (a assets) modules() []string {
	var paths []string
	for p := range a.byPath {
		if path.Ext(p) == ".js" && p != a.prefix+"app.js" {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return paths
}
