package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestContract asks, in both modes, for every promise that API.md makes and this release keeps. Every answer on the way is held against the
// OpenAPI document that the server itself serves.
func TestContract(t *testing.T) {
	eachMode(t, func(t *testing.T, server *server) {
		s := newTarget(server)
		held := holdToDocument(t, s.client)
		for _, tt := range []struct {
			name string
			test func(*testing.T, *target)
		}{
			{"files", fileContract}, {"conditions and ranges", contentContract}, {"submit", submitContract}, {"form", formContract}, {"info", infoContract}, {"change", changeContract},
			{"lists", listContract}, {"pages", pageContract}, {"not available", laterContract}, {"events", eventContract}, {"wait", waitContract},
			{"idempotency", keyContract}, {"batch", batchContract}, {"unique", uniqueContract}, {"deadline", deadlineContract},
			{"schedules", scheduleContract}, {"presets", presetContract}, {"pause", pauseContract}, {"catalogue", catalogueContract}, {"probes", probeContract},
		} {
			t.Run(tt.name, func(t *testing.T) { tt.test(t, s) })
		}
		held.check(t)
	})
}

// document holds answers to the OpenAPI document of a server.
type document struct {
	paths    map[string]map[string]operation
	compiler *jsonschema.Compiler
	next     http.RoundTripper

	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema
	problems []string
	seen     map[string]int // answers by operation and status
}

type operation struct {
	Responses map[string]struct {
		Content map[string]struct{ Schema json.RawMessage }
	}
}

// holdToDocument reads the document and puts itself between a client and the server.
func holdToDocument(t *testing.T, c *client) *document {
	t.Helper()
	raw := c.bytes("/openapi.json")
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]operation
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatalf("/openapi.json: %v", err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || len(doc.Paths) < 15 {
		t.Errorf("/openapi.json is version %q with %d paths", doc.OpenAPI, len(doc.Paths))
	}
	resource, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	d := &document{paths: doc.Paths, compiler: jsonschema.NewCompiler(), next: c.http.Transport, compiled: make(map[string]*jsonschema.Schema), seen: make(map[string]int)}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("openapi.json", resource); err != nil {
		t.Fatal(err)
	}
	c.http.Transport = d
	return d
}

// RoundTrip implements http.RoundTripper.
func (d *document) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := d.next.RoundTrip(r)
	if err != nil || !strings.Contains(res.Header.Get("Content-Type"), "json") && res.StatusCode != http.StatusNoContent {
		return res, err
	}
	raw, err := io.ReadAll(res.Body)
	res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(raw))
	if err == nil {
		d.hold(r, res, raw)
	}
	return res, err
}

func (d *document) hold(r *http.Request, res *http.Response, raw []byte) {
	path, op, ok := d.find(r)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	name := fmt.Sprintf("%s %s = %d", r.Method, path, res.StatusCode)
	d.seen[name]++
	answer, ok := op.Responses[fmt.Sprint(res.StatusCode)]
	switch res.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		if !ok { // any call may be malformed, and take a body that it should not: the document need not say so each time
			if err := d.validate([]byte(`{"$ref":"#/components/schemas/Problem"}`), raw); err != nil {
				d.problems = append(d.problems, fmt.Sprintf("%s: %v", name, err))
			}
			return
		}
	}
	if !ok {
		d.problems = append(d.problems, name+" is not in /openapi.json")
		return
	}
	media := strings.Split(res.Header.Get("Content-Type"), ";")[0]
	content, ok := answer.Content[media]
	if !ok || r.Method == http.MethodHead {
		if _, any := answer.Content["*/*"]; !ok && !any && len(answer.Content)+len(raw) > 0 {
			d.problems = append(d.problems, fmt.Sprintf("%s: a body of %q is not in /openapi.json", name, media))
		}
		return
	}
	if err := d.validate(content.Schema, raw); err != nil {
		d.problems = append(d.problems, fmt.Sprintf("%s: %v\n%.600s", name, err, raw))
	}
}

// validate checks a body against a schema that is a reference into the document, or free.
func (d *document) validate(schema, raw []byte) error {
	var ref struct {
		Ref string `json:"$ref"`
	}
	if err := json.Unmarshal(schema, &ref); err != nil || ref.Ref == "" {
		return err
	}
	compiled, ok := d.compiled[ref.Ref]
	if !ok {
		var err error
		if compiled, err = d.compiler.Compile("openapi.json" + ref.Ref); err != nil {
			return fmt.Errorf("the schema itself: %w", err)
		}
		d.compiled[ref.Ref] = compiled
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}

// find is the operation that a request is for.
func (d *document) find(r *http.Request) (string, operation, bool) {
	method := strings.ToLower(r.Method)
	if method == "head" {
		method = "get"
	}
	segments := strings.Split(r.URL.EscapedPath(), "/")
	best, fixed := "", -1
	for path := range d.paths {
		parts := strings.Split(path, "/")
		if len(parts) != len(segments) {
			continue
		}
		same := 0
		for i, part := range parts {
			if part == segments[i] {
				same++
			} else if !strings.HasPrefix(part, "{") {
				same = -1
				break
			}
		}
		if same > fixed {
			best, fixed = path, same
		}
	}
	op, ok := d.paths[best][method]
	return best, op, ok
}

// check reports what did not hold, and that something was held at all.
func (d *document) check(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	told := make(map[string]bool)
	for _, problem := range d.problems {
		if !told[problem] {
			told[problem] = true
			t.Error(problem)
		}
	}
	if len(d.seen) < 60 {
		t.Errorf("only %d kinds of answers were held against /openapi.json: %v", len(d.seen), d.seen)
	}
}

// ask sends a request with headers and returns the answer with its body.
func (s *target) ask(t *testing.T, method, path string, header map[string]string, body string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := s.http.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return res, raw
}

func fileContract(t *testing.T, s *target) {
	c := s.on(t)
	var f file
	header := c.call("POST", "/v1/files?name=notes.txt", "application/octet-stream", []byte("some notes"), http.StatusCreated, &f)
	if header.Get("Location") != "/v1/files/"+f.ID || f.Name != "notes.txt" || f.Size != 10 || f.ContentType != "text/plain; charset=utf-8" ||
		f.SHA256 != "237bac67a518e2dfc901ecbf060f59cde465d4644cf9d0783a877a321f9bbcb3" {
		t.Errorf("file = %+v at %q", f, header.Get("Location"))
	}
	contentType, body := form(t, part{"file", "of a form.txt", "some notes"})
	var second file
	c.call("POST", "/v1/files", contentType, []byte(body), http.StatusCreated, &second)
	if second.ID == f.ID || second.SHA256 != f.SHA256 || second.Name != "of a form.txt" {
		t.Errorf("the same bytes in a form = %+v, want another file of the same digest as %+v", second, f)
	}
	// The client's word on the type is not taken.
	var picture file
	c.call("POST", "/v1/files?name=x.html", "text/html", photo(t, 8, 8), http.StatusCreated, &picture)
	if picture.ContentType != "image/jpeg" {
		t.Errorf("content_type = %q, want image/jpeg", picture.ContentType)
	}
	var again file
	c.call("GET", "/v1/files/"+f.ID, "", nil, http.StatusOK, &again)
	if again != f {
		t.Errorf("read again = %+v, want %+v", again, f)
	}
	for _, path := range []string{"/v1/files/" + f.ID, "/v1/files/" + f.ID + "/content", "/v1/files"} {
		if res, raw := s.ask(t, "HEAD", path, nil, ""); res.StatusCode != http.StatusOK || len(raw) != 0 || res.ContentLength <= 0 {
			t.Errorf("HEAD %s = %d with %d bytes, Content-Length %d", path, res.StatusCode, len(raw), res.ContentLength)
		}
	}
	j := c.submit(`{"type":"compute.checksum","input":{"file":%q},"delay":"1h"}`, f.ID)
	s.refused(t, "DELETE", "/v1/files/"+f.ID, "", "", http.StatusConflict, "in_use")
	c.call("POST", "/v1/jobs/"+j.ID+"/cancel", "", nil, http.StatusOK, nil)
	for _, id := range []string{f.ID, second.ID, picture.ID} {
		c.call("DELETE", "/v1/files/"+id, "", nil, http.StatusNoContent, nil)
		s.refused(t, "DELETE", "/v1/files/"+id, "", "", http.StatusNotFound, "not_found")
		s.refused(t, "GET", "/v1/files/"+id, "", "", http.StatusNotFound, "not_found")
		s.refused(t, "GET", "/v1/files/"+id+"/content", "", "", http.StatusNotFound, "not_found")
	}
	s.refused(t, "POST", "/v1/jobs", "application/json", fmt.Sprintf(quickJob, f.ID), http.StatusUnprocessableEntity, "")
}

// contentContract is RFC 9110: conditions first, then ranges.
func contentContract(t *testing.T, s *target) {
	const text = "0123456789abcdef"
	f := s.on(t).upload("digits.txt", []byte(text))
	j := s.on(t).submit(`{"type":"file.compress","input":{"file":%q},"params":{"codec":"gzip"}}`, f.ID)
	s.on(t).finish(j.ID)
	packed := string(s.on(t).bytes("/v1/jobs/" + j.ID + "/output"))
	for path, whole := range map[string]string{"/v1/files/" + f.ID + "/content": text, "/v1/jobs/" + j.ID + "/output": packed, "/v1/jobs/" + j.ID + "/outputs/digits.txt.gz": packed} {
		res, _ := s.ask(t, "GET", path, nil, "")
		etag := res.Header.Get("ETag")
		if len(etag) != 66 || etag[0] != '"' || res.Header.Get("Accept-Ranges") != "bytes" || !strings.HasPrefix(res.Header.Get("Content-Disposition"), "attachment; filename=") ||
			res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s: header = %v", path, res.Header)
		}
		n := len(whole)
		for _, tt := range []struct {
			name, value string
			status      int
			body        string
		}{
			{"If-None-Match", etag, 304, ""}, {"If-None-Match", `"other", ` + etag, 304, ""}, {"If-None-Match", "*", 304, ""}, {"If-None-Match", `W/` + etag, 304, ""},
			{"If-None-Match", `"other"`, 200, whole}, {"If-Match", etag, 200, whole}, {"If-Match", `"other"`, 412, ""}, {"If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT", 304, ""},
			{"If-Unmodified-Since", "Sat, 01 Jan 2000 00:00:00 GMT", 412, ""},
			{"Range", "bytes=0-0", 206, whole[:1]}, {"Range", "bytes=2-5", 206, whole[2:6]}, {"Range", "bytes=-3", 206, whole[n-3:]}, {"Range", "bytes=10-", 206, whole[10:]},
			{"Range", "bytes=0-99999", 206, whole}, {"Range", "bytes=-99999", 206, whole},
			{"Range", "bytes=99999-", 416, "problem"}, {"Range", "bytes=5-2", 416, "problem"}, {"Range", "bytes=abc", 416, "problem"}, {"Range", "items=0-1", 416, "problem"},
		} {
			res, raw := s.ask(t, "GET", path, map[string]string{tt.name: tt.value}, "")
			what := fmt.Sprintf("GET %s with %s: %s", path, tt.name, tt.value)
			switch {
			case tt.body == "problem":
				checkProblem(t, what, res.StatusCode, res.Header, raw, tt.status, "range_not_satisfiable")
				if got, want := res.Header.Get("Content-Range"), fmt.Sprintf("bytes */%d", n); tt.value == "bytes=99999-" && got != want {
					t.Errorf("%s: Content-Range = %q, want %q", what, got, want)
				}
			case res.StatusCode != tt.status || string(raw) != tt.body:
				t.Errorf("%s = %d %q, want %d %q", what, res.StatusCode, raw, tt.status, tt.body)
			}
			head, none := s.ask(t, "HEAD", path, map[string]string{tt.name: tt.value}, "")
			if head.StatusCode != res.StatusCode || len(none) != 0 {
				t.Errorf("HEAD instead of GET %s = %d with %d bytes, want %d without", what, head.StatusCode, len(none), res.StatusCode)
			}
		}
		res, raw := s.ask(t, "GET", path, map[string]string{"Range": "bytes=0-1", "If-Range": etag}, "")
		if res.StatusCode != http.StatusPartialContent || string(raw) != whole[:2] || res.Header.Get("Content-Range") != fmt.Sprintf("bytes 0-1/%d", n) {
			t.Errorf("GET %s with a matching If-Range = %d %q %s", path, res.StatusCode, raw, res.Header.Get("Content-Range"))
		}
		if res, raw := s.ask(t, "GET", path, map[string]string{"Range": "bytes=0-1", "If-Range": `"other"`}, ""); res.StatusCode != http.StatusOK || string(raw) != whole {
			t.Errorf("GET %s with another If-Range = %d %q, want all of it", path, res.StatusCode, raw)
		}
		if res, raw := s.ask(t, "GET", path, map[string]string{"Range": "bytes=0-1,3-4"}, ""); res.StatusCode != http.StatusPartialContent ||
			!strings.HasPrefix(res.Header.Get("Content-Type"), "multipart/byteranges") || !strings.Contains(string(raw), whole[3:5]) {
			t.Errorf("GET %s of two ranges = %d %s", path, res.StatusCode, res.Header.Get("Content-Type"))
		}
		if res, raw := s.ask(t, "GET", path, map[string]string{"Range": "bytes=" + strings.TrimSuffix(strings.Repeat("0-,", 1000), ",")}, ""); res.StatusCode != http.StatusOK || len(raw) != n {
			t.Errorf("GET %s of a thousand overlapping ranges = %d with %d bytes, want all of it once", path, res.StatusCode, len(raw))
		}
	}
}
