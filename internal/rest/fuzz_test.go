package rest_test

import (
	"bytes"
	"mime"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rest"
)

func FuzzCursor(f *testing.F) {
	f.Add(rest.EncodeCursor(newID()))
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, cursor string) {
		id, ok := rest.DecodeCursor(cursor)
		if ok && (len(id) != 36 || rest.EncodeCursor(id) != cursor) {
			t.Errorf("cursor %q holds %q, which makes %q", cursor, id, rest.EncodeCursor(id))
		}
	})
}

func FuzzDisposition(f *testing.F) {
	f.Add(`q"uo\te.txt`)
	f.Add("über maß 文件.txt")
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || !utf8.ValidString(name) {
			return
		}
		header := rest.Disposition(name)
		if strings.ContainsAny(header, "\r\n\x00") {
			t.Fatalf("disposition of %q = %q", name, header)
		}
		kind, params, err := mime.ParseMediaType(header)
		if err != nil || kind != "attachment" {
			t.Fatalf("disposition of %q = %q: %v", name, header, err)
		}
		if got := params["filename"]; strings.Contains(header, "filename*") && got != name {
			t.Errorf("disposition of %q says %q", name, got)
		}
	})
}

func FuzzJobDecode(f *testing.F) {
	f.Add([]byte(`{"type":"image.resize","input":{"file":"x"},"params":{"width":800},"tags":["a"],"backoff":{"initial":"1s"}}`))
	f.Add([]byte(`{"inputs":[{"fil":1}],"a":[[[[]]]]}`))
	f.Add([]byte("{\"a\":\"\\u0000\"}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		switch err := rest.DecodeJob(body); millrace.KindOf(err) {
		case millrace.Malformed, millrace.Invalid:
		default:
			if err != nil {
				t.Errorf("DecodeJob(%q) = %v, which is no refusal", body, err)
			}
		}
	})
}

// FuzzForm sends any bytes as a form to both calls that take one: no 5xx, and nothing left behind.
func FuzzForm(f *testing.F) {
	body := func(fields ...string) []byte {
		var b bytes.Buffer
		for _, field := range fields {
			b.WriteString("--b\r\nContent-Disposition: form-data; name=\"" + field + "\"; filename=\"x\"\r\n\r\nvalue\r\n")
		}
		b.WriteString("--b--\r\n")
		return b.Bytes()
	}
	f.Add(body("file"), true)
	f.Add(body("file", "type", "params"), false)
	f.Add(body("file")[:40], true)
	bare := newBare(f)
	f.Fuzz(func(t *testing.T, form []byte, files bool) {
		path := "/v1/jobs"
		if files {
			path = "/v1/files"
		}
		before, _ := bare.files(t)
		r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(form))
		r.Host = "localhost"
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		w := httptest.NewRecorder()
		bare.server.Handler().ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		after, temporary := bare.files(t)
		if w.Code >= 300 && after != before || temporary != 0 {
			t.Errorf("status %d, and %d files and %d temporary blobs more", w.Code, after-before, temporary)
		}
	})
}
