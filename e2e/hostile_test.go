package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// uploadLimit is what the servers of TestHostileRequests take in.
const uploadLimit = 1 << 20

// TestHostileRequests sends what no client should. Each attempt gets a problem document or a closed connection, leaves nothing behind, and the
// server goes on.
func TestHostileRequests(t *testing.T) {
	for _, mode := range []string{"embedded", "production"} {
		t.Run(mode, func(t *testing.T) {
			s := newTarget(start(t, mode, "MILLRACE_MAX_UPLOAD=1MiB"))
			var slow drips
			if mode == "embedded" { // it takes ten seconds, and the modes do not differ in it
				slow.open(t, s)
			}
			if f := s.upload("exact.bin", make([]byte, uploadLimit)); f.Size != uploadLimit {
				t.Errorf("a file at the limit has %d bytes, want %d", f.Size, uploadLimit)
			}
			for _, tt := range []struct {
				name string
				test func(*testing.T, *target)
			}{
				{"truncated uploads", truncatedUploads}, {"uploads over the limit", largeUploads}, {"content types", wrongTypes},
				{"unknown fields", unknownFields}, {"JSON", badJSON}, {"values", badValues}, {"forms", badForms}, {"refused jobs of forms", refusedForms},
				{"names", badNames}, {"hosts and origins", foreignHosts}, {"garbage", garbage}, {"headers", badHeaders}, {"paths", badPaths},
				{"methods", badMethods}, {"batches", badBatches}, {"keys", badKeys}, {"schedules", badSchedules},
			} {
				s.leavesNothing(t, tt.name, func(t *testing.T) { tt.test(t, s) })
			}
			s.leavesNothing(t, "slow headers", func(t *testing.T) { slow.checkCut(t) })
			s.checkPeak(t, 128<<20)
		})
	}
}

// head is the beginning of a request by hand.
func (s *target) head(line string, header ...string) string {
	return line + " HTTP/1.1\r\nHost: " + s.address() + "\r\n" + strings.Join(append(header, ""), "\r\n") + "\r\n"
}

func truncatedUploads(t *testing.T, s *target) {
	const form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nhalf of a file"
	const jobForm = "--b\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\ncompute.checksum\r\n" + form
	plain, formType := "Content-Type: application/octet-stream", "Content-Type: multipart/form-data; boundary=b"
	for _, tt := range []struct{ name, request string }{
		{"short body", s.head("POST /v1/files", plain, "Content-Length: 1000") + "hello"},
		{"no body", s.head("POST /v1/files", plain, "Content-Length: 1000")},
		{"chunk cut", s.head("POST /v1/files", plain, "Transfer-Encoding: chunked") + "10\r\nhello"},
		{"no last chunk", s.head("POST /v1/files", plain, "Transfer-Encoding: chunked") + "5\r\nhello\r\n"},
		{"broken chunk", s.head("POST /v1/files", plain, "Transfer-Encoding: chunked") + "5\r\nhello\r\nZZ\r\nx\r\n0\r\n\r\n"},
		{"form cut", s.head("POST /v1/files", formType, "Content-Length: 1000") + form},
		{"form without an end", s.head("POST /v1/files", formType, fmt.Sprintf("Content-Length: %d", len(form))) + form},
		{"job's form cut", s.head("POST /v1/jobs", formType, "Content-Length: 1000") + jobForm},
		{"job's form without an end", s.head("POST /v1/jobs", formType, fmt.Sprintf("Content-Length: %d", len(jobForm))) + jobForm},
		{"job cut", s.head("POST /v1/jobs", "Content-Type: application/json", "Content-Length: 1000") + `{"type":`},
	} {
		conn := s.dial(t)
		if _, err := io.WriteString(conn, tt.request); err != nil {
			t.Fatal(err)
		}
		_ = conn.CloseWrite()
		res, raw := answer(t, conn)
		if res == nil {
			t.Errorf("%s: no answer to a client that still listens", tt.name)
			continue
		}
		checkProblem(t, tt.name, res.StatusCode, res.Header, raw, http.StatusBadRequest, "malformed")
		// The same from a client that goes away for good.
		gone := s.dial(t)
		_, _ = io.WriteString(gone, tt.request)
		_ = gone.SetLinger(0)
		gone.Close()
	}
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func largeUploads(t *testing.T, s *target) {
	for _, tt := range []struct{ name, request, tail string }{
		{"announced", s.head("POST /v1/files", "Content-Type: application/octet-stream", "Content-Length: 99999999999"), ""},
		{"announced, waiting for a go", s.head("POST /v1/files", "Content-Type: application/octet-stream", "Content-Length: 99999999999", "Expect: 100-continue"), ""},
		{"endless", s.head("POST /v1/files", "Content-Type: application/octet-stream", "Transfer-Encoding: chunked"), "endless"},
		{"endless form", s.head("POST /v1/files", "Content-Type: multipart/form-data; boundary=b", "Transfer-Encoding: chunked") +
			chunk("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n"), "endless"},
		{"endless job's form", s.head("POST /v1/jobs", "Content-Type: multipart/form-data; boundary=b", "Transfer-Encoding: chunked") +
			chunk("--b\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\nfile.compress\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n"), "endless"},
		{"endless JSON", s.head("POST /v1/jobs", "Content-Type: application/json", "Transfer-Encoding: chunked") + chunk(`{"type":"`), "endless"},
	} {
		conn := s.dial(t)
		if _, err := io.WriteString(conn, tt.request); err != nil {
			t.Fatal(err)
		}
		sent := make(chan int64, 1)
		go func() { // as long as the server takes it, at most 64 MiB
			n := int64(0)
			for ; tt.tail != "" && n < 64<<20; n += 1 << 16 {
				if _, err := io.WriteString(conn, chunk(strings.Repeat("0", 1<<16))); err != nil {
					break
				}
			}
			sent <- n
		}()
		res, raw := answer(t, conn)
		conn.Close()
		n := <-sent
		if res == nil {
			t.Errorf("%s: no answer after %d bytes", tt.name, n)
			continue
		}
		p := checkProblem(t, tt.name, res.StatusCode, res.Header, raw, http.StatusRequestEntityTooLarge, "too_large")
		if !strings.Contains(p.Detail, "1048576") {
			t.Errorf("%s: the refusal does not name its limit: %s", tt.name, p.Detail)
		}
		if n >= 64<<20 {
			t.Errorf("%s: the server took all of %d MiB", tt.name, n>>20)
		}
	}
	s.refused(t, "POST", "/v1/files", "application/octet-stream", strings.Repeat("0", uploadLimit+1), http.StatusRequestEntityTooLarge, "too_large")
}

func chunk(data string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(data), data) }

func wrongTypes(t *testing.T, s *target) {
	for _, tt := range []struct{ path, contentType string }{
		{"/v1/files", "text/plain"}, {"/v1/files", "text/plain; charset=utf-8"}, {"/v1/files", "application/x-www-form-urlencoded"},
		{"/v1/files", ";;;"}, {"/v1/jobs", ""}, {"/v1/jobs", "text/plain"}, {"/v1/jobs", "application/x-www-form-urlencoded"},
		{"/v1/jobs", "application/octet-stream"}, {"/v1/jobs", "application/json; charset=latin1"}, {"/v1/jobs", "text/json"}, {"/v1/jobs", "application/json5"},
		{"/v1/session", "text/plain"},
	} {
		s.refused(t, "POST", tt.path, tt.contentType, `{"type":"compute.checksum"}`, http.StatusUnsupportedMediaType, "unsupported_media_type")
	}
	s.refused(t, "POST", "/v1/files", "multipart/form-data", "x", http.StatusBadRequest, "malformed")
}

func unknownFields(t *testing.T, s *target) {
	for body, pointer := range map[string]string{
		`{"type":"compute.checksum","input":{"file":%q},"colour":1}`:               "/colour",
		`{"type":"compute.checksum","input":{"file":%q,"path":"/etc/passwd"}}`:     "/input/path",
		`{"type":"compute.checksum","inputs":[{"file":%q,"a/b~c":1}]}`:             "/inputs/0/a~1b~0c",
		`{"type":"compute.checksum","input":{"file":%q},"backoff":{"first":"1s"}}`: "/backoff/first",
	} {
		p := s.refused(t, "POST", "/v1/jobs", "application/json", fmt.Sprintf(body, s.probe), http.StatusBadRequest, "")
		if len(p.Errors) != 1 || p.Errors[0].Pointer != pointer || p.Errors[0].Detail == "" {
			t.Errorf("%s: errors = %+v, want one at %s", body, p.Errors, pointer)
		}
	}
	s.refused(t, "POST", "/v1/session", "application/json", `{"key":"x","remember":true}`, http.StatusBadRequest, "")
	s.refused(t, "GET", "/v1/jobs?stat=failed", "", "", http.StatusBadRequest, "")
	s.refused(t, "GET", "/v1/files?limit=1&limit=2", "", "", http.StatusBadRequest, "")
	s.refused(t, "GET", "/v1/jobs?%zz", "", "", http.StatusBadRequest, "")
}

func badJSON(t *testing.T, s *target) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, body := range map[string]string{
		"nothing": "", "space": " \n\t", "null": "null", "number": "1e400", "string": `"job"`, "list": "[]", "two": "{}{}", "open": `{"type":"compute`,
		"not UTF-8": "{\"type\":\"\xff\xfe\"}", "comment": `{"type":"compute.checksum"/* x */}`, "single quotes": `{'type':'compute.checksum'}`, "NaN": `{"max_attempts":NaN}`,
		"million deep": strings.Repeat("[", 1_000_000), "deep": deep(500_000), "deep inside": `{"type":"compute.checksum","metadata":{"a":` + deep(1000) + `}}`,
		"deep objects": strings.Repeat(`{"a":`, 150_000), "deep params": `{"type":"compute.checksum","params":{"algorithms":` + deep(100_000) + `}}`,
	} {
		what := name
		status, header, raw, err := s.do("POST", "/v1/jobs", "application/json", strings.NewReader(body))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		checkProblem(t, what, status, header, raw, http.StatusBadRequest, "malformed")
	}
	p := s.refused(t, "POST", "/v1/jobs", "application/json", `{"metadata":{"a":"`+strings.Repeat("x", 2<<20)+`"}}`, http.StatusRequestEntityTooLarge, "too_large")
	if !strings.Contains(p.Detail, "1048576") {
		t.Errorf("the refusal of 2 MiB does not name its limit: %s", p.Detail)
	}
	s.refused(t, "POST", "/v1/jobs", "application/json", deep(1_000_000), http.StatusRequestEntityTooLarge, "too_large")
}

// badValues are well-formed and senseless: 422 with a pointer at the field.
func badValues(t *testing.T, s *target) {
	for body, pointer := range map[string]string{
		`{"type":"compute.checksum","input":{"file":%q},"max_attempts":1e99}`:                                                      "/max_attempts",
		`{"type":"compute.checksum","input":{"file":%q},"max_attempts":-1}`:                                                        "/max_attempts",
		`{"type":"compute.checksum","input":{"file":%q},"timeout":"99999h"}`:                                                       "/timeout",
		`{"type":"compute.checksum","input":{"file":%q},"timeout":"-1s"}`:                                                          "/timeout",
		`{"type":"compute.checksum","input":{"file":%q},"run_at":"tomorrow"}`:                                                      "/run_at",
		`{"type":"compute.checksum","input":{"file":%q},"delay":"1y"}`:                                                             "/delay",
		`{"type":"compute.checksum","input":{"file":%q},"priority":"urgent"}`:                                                      "/priority",
		`{"type":"compute.checksum","input":{"file":%q},"tags":["` + strings.Repeat("t", 65) + `"]}`:                               "/tags/0",
		`{"type":"compute.checksum","input":{"file":%q},"tags":[` + strings.TrimSuffix(strings.Repeat(`"t",`, 21), ",") + `]}`:     "/tags",
		`{"type":"compute.checksum","input":{"file":%q},"metadata":{"a":"` + strings.Repeat("m", 17<<10) + `"}}`:                   "/metadata",
		`{"type":"compute.checksum","input":{"file":%q},"metadata":[]}`:                                                            "/metadata",
		`{"type":"compute.checksum","input":{"file":%q},"params":{"algorithms":["sha256","` + strings.Repeat("p", 65<<10) + `"]}}`: "/params",
		`{"type":"compute.checksum","input":{"file":%q},"backoff":{"factor":0.1}}`:                                                 "/backoff/factor",
		`{"type":"compute.checksum","input":{"file":%q},"backoff":{"jitter":2}}`:                                                   "/backoff/jitter",
		`{"type":"compute.checksum","input":{"file":%q},"retention":"0s"}`:                                                         "/retention",
		`{"type":"no.such","input":{"file":%q}}`:                                                                                   "/type",
		`{"type":"../../etc","input":{"file":%q}}`:                                                                                 "/type",
		`{"type":"compute.checksum","input":{"file":%q},"run_at":"2030-01-01T00:00:00Z","delay":"1s"}`:                             "",
		`{"type":"compute.checksum","input":{"file":"../%s"}}`:                                                                     "/input/file",
		`{"type":"compute.checksum","input":{"file":"0198c0de-0000-7000-8000-000000000000"},"tags":[%q]}`:                          "/input/file",
		`{"type":"compute.checksum","tags":[%q]}`:                                                                                  "/input",
		`{"type":"compute.checksum","input":{"file":%q},"params":{"algorithm":"sha256"}}`:                                          "/params/algorithm",
		`{"type":"image.resize","input":{"file":%q},"params":{"width":0.5}}`:                                                       "/params/width",
		`{"type":"image.resize","input":{"file":%q},"params":{"width":-1}}`:                                                        "/params/width",
		`{"type":"image.resize","input":{"file":%q},"params":{"width":1e18}}`:                                                      "/params/width",
		`{"type":"image.resize","input":{"file":%q},"params":{"background":"url(http://x)"}}`:                                      "/params/background",
		`{"type":"image.resize","input":{"file":%q},"params":{"crop":{"x":1}}}`:                                                    "/params/crop/height",
	} {
		p := s.refused(t, "POST", "/v1/jobs", "application/json", fmt.Sprintf(body, s.probe), http.StatusUnprocessableEntity, "")
		if pointer != "" && (len(p.Errors) == 0 || p.Errors[0].Pointer != pointer) {
			t.Errorf("%.200s: errors = %+v, want one at %s", body, p.Errors, pointer)
		}
	}
}

// part is a part of a form.
type part struct{ name, filename, value string }

func form(t *testing.T, parts ...part) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name=%q`, p.name)}}
		if p.filename != "" {
			h.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q; filename=%q`, p.name, p.filename))
		}
		pw, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(pw, p.value)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.String()
}

func badForms(t *testing.T, s *target) {
	file, kind := part{"file", "x.txt", "x"}, part{"type", "", "compute.checksum"}
	var many []part
	for i := range 300 {
		many = append(many, part{fmt.Sprintf("field%d", i), "", "x"})
	}
	for _, tt := range []struct {
		name, path string
		parts      []part
		want       int
	}{
		{"two files", "/v1/files", []part{file, file}, 400},
		{"no file", "/v1/files", nil, 400},
		{"stray field", "/v1/files", []part{{"name", "", "x"}, file}, 400},
		{"stray field behind", "/v1/files", []part{file, {"x", "", "x"}}, 400},
		{"type twice", "/v1/jobs", []part{kind, kind, file}, 400},
		{"params twice", "/v1/jobs", []part{kind, {"params", "", "{}"}, {"params", "", "{}"}, file}, 400},
		{"no type", "/v1/jobs", []part{file}, 422},
		{"no file", "/v1/jobs", []part{kind}, 422},
		{"unknown field", "/v1/jobs", []part{kind, file, {"colour", "", "red"}}, 400},
		{"nameless field", "/v1/jobs", []part{kind, file, {"", "", "red"}}, 400},
		{"many fields", "/v1/jobs", append([]part{kind, file}, many...), 400},
		{"params no JSON", "/v1/jobs", []part{kind, file, {"params", "", "width=3"}}, 422},
		{"params break out", "/v1/jobs", []part{kind, file, {"params", "", `{},"priority":"high"`}}, 422},
		{"params too large", "/v1/jobs", []part{kind, file, {"params", "", strings.Repeat("x", 1<<20+1)}}, 413},
		{"no number", "/v1/jobs", []part{kind, file, {"max_attempts", "", "many"}}, 422},
		{"no UTF-8", "/v1/jobs", []part{kind, file, {"tags", "", "\xff"}}, 400},
		{"null character", "/v1/jobs", []part{kind, file, {"tags", "", "a\x00b"}}, 400},
		{"file and input", "/v1/jobs", []part{kind, file, {"input", "", `{"file":"` + s.probe + `"}`}}, 422},
	} {
		contentType, body := form(t, tt.parts...)
		status, header, raw, err := s.do("POST", tt.path, contentType, strings.NewReader(body))
		if err != nil {
			t.Errorf("%s %s: %v", tt.path, tt.name, err)
			continue
		}
		checkProblem(t, tt.path+" "+tt.name, status, header, raw, tt.want, "")
	}
	for name, body := range map[string]string{
		"no disposition":     "--b\r\n\r\nx\r\n--b--\r\n",
		"only an end":        "--b--\r\n",
		"not a form":         "hello",
		"endless header":     "--b\r\nContent-Disposition: form-data; name=\"" + strings.Repeat("x", 1<<19) + "\"\r\n\r\nx\r\n--b--\r\n",
		"many headers":       "--b\r\n" + strings.Repeat("X-A: b\r\n", 20_000) + "\r\nx\r\n--b--\r\n",
		"broken header":      "--b\r\nno header at all\r\n\r\nx\r\n--b--\r\n",
		"form inside":        "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
		"another's boundary": "--c\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nx\r\n--c--\r\n",
	} {
		for _, path := range []string{"/v1/files", "/v1/jobs"} {
			status, header, raw, err := s.do("POST", path, "multipart/form-data; boundary=b", strings.NewReader(body))
			if err != nil {
				t.Errorf("%s %s: %v", path, name, err)
				continue
			}
			want := http.StatusBadRequest
			if empty := name == "only an end" || name == "not a form" || name == "another's boundary"; path == "/v1/jobs" && empty {
				want = http.StatusUnprocessableEntity // no part at all is a form in which the type is missing
			}
			checkProblem(t, path+" "+name, status, header, raw, want, "")
		}
	}
}

// refusedForms sends jobs whose file is fine and whose request is not: the file must go, too. Its bytes are those of the probe, since bytes
// that were published before the refusal are collected later.
func refusedForms(t *testing.T, s *target) {
	file := part{"file", "refused.txt", probeText}
	for name, parts := range map[string][]part{
		"params":        {{"type", "", "image.resize"}, {"params", "", `{"width":-3}`}, file},
		"type":          {{"type", "", "no.such"}, file},
		"later type":    {{"type", "", "compute.wasm"}, file},
		"later field":   {{"type", "", "compute.checksum"}, {"webhook", "", `{"url":"https://example.com"}`}, file},
		"late mistake":  {{"type", "", "compute.checksum"}, file, {"timeout", "", "soon"}},
		"too many":      {{"type", "", "compute.checksum"}, file, file},
		"bad tag":       {{"type", "", "compute.checksum"}, file, {"tags", "", strings.Repeat("t", 65)}},
		"bad metadata":  {{"type", "", "compute.checksum"}, file, {"metadata", "", `[]`}},
		"bad time":      {{"type", "", "compute.checksum"}, file, {"run_at", "", "now"}},
		"bad retention": {{"type", "", "compute.checksum"}, file, {"retention", "", "-5s"}},
	} {
		contentType, body := form(t, parts...)
		status, header, raw, err := s.do("POST", "/v1/jobs", contentType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		checkProblem(t, name, status, header, raw, http.StatusUnprocessableEntity, "")
	}
}

// badNames stores files under names that are paths, headers or worse. They are kept as plain names, and nothing lands elsewhere.
func badNames(t *testing.T, s *target) {
	c := s.on(t)
	for i, name := range []string{
		"../../x", "..%2f..%2fx", `..\..\x`, "/etc/passwd", "C:\\boot.ini", ".", "..", "a\x00b", "new\nline", "cr\r\nSet-Cookie: a=b", `quote".txt`, "semi;colon",
		strings.Repeat("x", 3000) + ".txt", "rtl\u202egnp.exe", "<b>.html", "$(id)", "日本語.txt", "\xff\xfe",
	} {
		var f file
		if i%2 == 0 {
			c.call("POST", "/v1/files?name="+escape(name), "application/octet-stream", []byte(probeText), http.StatusCreated, &f)
		} else {
			contentType, body := form(t, part{"file", name, probeText})
			c.call("POST", "/v1/files", contentType, []byte(body), http.StatusCreated, &f)
		}
		if f.Name == "" || len(f.Name) > 255 || strings.ContainsAny(f.Name, "/\\\x00\r\n\u202e") || f.Name == "." || f.Name == ".." {
			t.Errorf("the name %q is kept as %q", name, f.Name)
		}
		header := c.call("GET", "/v1/files/"+f.ID+"/content", "", nil, http.StatusOK, nil)
		if d := header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment; filename=") || header.Get("Set-Cookie") != "" {
			t.Errorf("the name %q is answered as %q", name, d)
		}
		c.call("DELETE", "/v1/files/"+f.ID, "", nil, http.StatusNoContent, nil)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "data" {
			t.Errorf("%s appeared beside the data directory", filepath.Join(s.dir, e.Name()))
		}
	}
}

func escape(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// drips are connections whose header never ends.
type drips struct {
	conns []io.ReadCloser
	since time.Time
}

func (d *drips) open(t *testing.T, s *target) {
	t.Helper()
	d.since = time.Now()
	for range 100 {
		conn := s.dial(t)
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(conn, "POST /v1/jobs HTTP/1.1\r\nHost: "+s.address()+"\r\nX-A: "); err != nil {
			t.Fatal(err)
		}
		d.conns = append(d.conns, conn)
	}
}

// checkCut checks that the server ends them by itself.
func (d *drips) checkCut(t *testing.T) {
	for _, conn := range d.conns {
		if _, err := io.Copy(io.Discard, conn); os.IsTimeout(err) {
			t.Fatalf("a connection without a whole header is still open after %v", time.Since(d.since).Round(time.Second))
		}
		conn.Close()
	}
}
