package rest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/rest"
	"github.com/millrace/millrace/internal/testrig"
)

func TestUploadAndDownload(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	png := "\x89PNG\r\n\x1a\n" + strings.Repeat("x", 300<<10)
	a := m.do(http.MethodPost, "/v1/files?name=photo.png", strings.NewReader(png), header("Content-Type", "text/html"))
	f := read[file](t, a, http.StatusCreated)
	sum := sha256.Sum256([]byte(png))
	if f.Name != "photo.png" || f.Size != int64(len(png)) || f.SHA256 != hex.EncodeToString(sum[:]) || f.ContentType != "image/png" {
		t.Errorf("file = %+v", f)
	}
	if a.Header.Get("Location") != f.URL || f.URL != "/v1/files/"+f.ID {
		t.Errorf("Location = %q, url = %q", a.Header.Get("Location"), f.URL)
	}
	if got := read[file](t, m.get(f.URL), http.StatusOK); got != f {
		t.Errorf("GET file = %+v, want %+v", got, f)
	}
	c := m.get(f.URL + "/content")
	if c.StatusCode != http.StatusOK || string(c.body) != png {
		t.Fatalf("content = %d, %d bytes", c.StatusCode, len(c.body))
	}
	for name, want := range map[string]string{
		"ETag": `"` + f.SHA256 + `"`, "Accept-Ranges": "bytes", "Content-Type": "image/png", "X-Content-Type-Options": "nosniff",
		"Content-Disposition": `attachment; filename="photo.png"`, "Content-Length": fmt.Sprint(len(png)),
	} {
		if got := c.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if csp := c.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "sandbox") {
		t.Errorf("CSP of content = %q", csp)
	}
}

func TestUploadForms(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	body, kind := form(t, [2]string{"@file", "hello"})
	f := read[file](t, m.do(http.MethodPost, "/v1/files", body, kind), http.StatusCreated)
	if f.Name != "photo.txt" || f.Size != 5 || f.ContentType != "text/plain; charset=utf-8" {
		t.Errorf("file = %+v", f)
	}
	body, kind = form(t, [2]string{"@file", "hello"})
	if f := read[file](t, m.do(http.MethodPost, "/v1/files?name=other", body, kind), http.StatusCreated); f.Name != "other" {
		t.Errorf("?name= does not win over the form's: %q", f.Name)
	}
	a := m.do(http.MethodPost, "/v1/files", strings.NewReader("x"), header("Content-Disposition", `attachment; filename="n.txt"`))
	if f := read[file](t, a, http.StatusCreated); f.Name != "n.txt" {
		t.Errorf("name by Content-Disposition = %q", f.Name)
	}
}

func TestEqualBytesAreKeptOnce(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	a, b := m.upload("a", "same"), m.upload("b", "same")
	if a.ID == b.ID || a.SHA256 != b.SHA256 {
		t.Errorf("files = %+v and %+v", a, b)
	}
	blobs := 0
	m.must(m.Blobs.Keys(t.Context(), time.Now().Add(time.Hour), func(string) error { blobs++; return nil }))
	if blobs != 1 {
		t.Errorf("%d blobs, want 1", blobs)
	}
	if got := m.get(b.URL + "/content"); string(got.body) != "same" {
		t.Errorf("content of the second = %q", got.body)
	}
}

func TestNamesAreMadeSafe(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	for _, tt := range []struct{ in, want, disposition string }{
		{"../../x", "x", `attachment; filename="x"`},
		{`C:\temp\x.txt`, "x.txt", `attachment; filename="x.txt"`},
		{"a\r\nSet-Cookie: x=y.txt", "aSet-Cookie: x=y.txt", `attachment; filename="aSet-Cookie: x=y.txt"`},
		{`q"uote.txt`, `q"uote.txt`, `attachment; filename="q_uote.txt"; filename*=UTF-8''q%22uote.txt`},
		{"über maß.txt", "über maß.txt", `attachment; filename="_ber ma_.txt"; filename*=UTF-8''%C3%BCber%20ma%C3%9F.txt`},
		{"", "file", `attachment; filename="file"`},
	} {
		f := m.upload(url.QueryEscape(tt.in), "x")
		if f.Name != tt.want {
			t.Errorf("name of %q = %q, want %q", tt.in, f.Name, tt.want)
		}
		if got := m.get(f.URL + "/content").Header.Get("Content-Disposition"); got != tt.disposition {
			t.Errorf("Content-Disposition of %q = %s, want %s", tt.in, got, tt.disposition)
		}
	}
	if f := m.upload(strings.Repeat("n", 300), "x"); len(f.Name) != 255 {
		t.Errorf("a name of 300 bytes became one of %d", len(f.Name))
	}
}

func TestContentConditionsAndRanges(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a.txt", "0123456789")
	etag := `"` + f.SHA256 + `"`
	for _, tt := range []struct {
		name   string
		method string
		set    [][2]string
		status int
		body   string
		rng    string
	}{
		{"whole", "GET", nil, 200, "0123456789", ""},
		{"head", "HEAD", nil, 200, "", ""},
		{"first bytes", "GET", [][2]string{{"Range", "bytes=0-3"}}, 206, "0123", "bytes 0-3/10"},
		{"from the middle", "GET", [][2]string{{"Range", "bytes=7-"}}, 206, "789", "bytes 7-9/10"},
		{"last bytes", "GET", [][2]string{{"Range", "bytes=-2"}}, 206, "89", "bytes 8-9/10"},
		{"beyond the end", "GET", [][2]string{{"Range", "bytes=8-99"}}, 206, "89", "bytes 8-9/10"},
		{"head of a range", "HEAD", [][2]string{{"Range", "bytes=0-3"}}, 206, "", "bytes 0-3/10"},
		{"outside", "GET", [][2]string{{"Range", "bytes=10-"}}, 416, "", "bytes */10"},
		{"no range", "GET", [][2]string{{"Range", "bytes=x"}}, 416, "", ""},
		{"if-none-match", "GET", [][2]string{{"If-None-Match", etag}}, 304, "", ""},
		{"if-none-match, weak", "GET", [][2]string{{"If-None-Match", "W/" + etag}}, 304, "", ""},
		{"if-none-match, other", "GET", [][2]string{{"If-None-Match", `"x"`}}, 200, "0123456789", ""},
		{"if-match, other", "GET", [][2]string{{"If-Match", `"x"`}}, 412, "", ""},
		{"if-range", "GET", [][2]string{{"Range", "bytes=0-3"}, {"If-Range", etag}}, 206, "0123", "bytes 0-3/10"},
		{"if-range, other", "GET", [][2]string{{"Range", "bytes=0-3"}, {"If-Range", `"x"`}}, 200, "0123456789", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var options []option
			for _, h := range tt.set {
				options = append(options, header(h[0], h[1]))
			}
			a := m.do(tt.method, f.URL+"/content", nil, options...)
			if a.StatusCode != tt.status {
				t.Fatalf("status = %d, want %d", a.StatusCode, tt.status)
			}
			if tt.status == http.StatusRequestedRangeNotSatisfiable {
				wantProblem(t, a, tt.status)
			} else if string(a.body) != tt.body {
				t.Errorf("body = %q, want %q", a.body, tt.body)
			}
			if got := a.Header.Get("Content-Range"); got != tt.rng {
				t.Errorf("Content-Range = %q, want %q", got, tt.rng)
			}
			if a.StatusCode < 400 && a.Header.Get("ETag") != etag {
				t.Errorf("ETag = %q, want %q", a.Header.Get("ETag"), etag)
			}
		})
	}
}

func TestListFiles(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	var want []string
	for i := range 5 {
		want = append([]string{m.upload("f", fmt.Sprint(i)).ID}, want...)
	}
	var got []string
	path := "/v1/files?limit=2"
	for pages := 1; ; pages++ {
		p := read[struct {
			Items []file  `json:"items"`
			Next  *string `json:"next_cursor"`
		}](t, m.get(path), http.StatusOK)
		for _, f := range p.Items {
			got = append(got, f.ID)
		}
		if p.Next == nil {
			if pages != 3 {
				t.Errorf("%d pages, want 3", pages)
			}
			break
		}
		m.upload("late", fmt.Sprint("late", pages)) // newer: no page may shift
		path = "/v1/files?limit=2&cursor=" + *p.Next
	}
	if strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("ids = %v, want %v", got, want)
	}
}

func TestDeleteFile(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	j := m.submit(f.ID)
	if p := wantProblem(t, m.do(http.MethodDelete, f.URL, nil), http.StatusConflict); p.Code != "in_use" {
		t.Errorf("code = %q", p.Code)
	}
	read[job](t, m.do(http.MethodPost, j.URL+"/cancel", nil), http.StatusOK)
	if a := m.do(http.MethodDelete, f.URL, nil); a.StatusCode != http.StatusNoContent {
		t.Fatalf("DELETE = %d %s", a.StatusCode, a.body)
	}
	wantProblem(t, m.get(f.URL), http.StatusNotFound)
	wantProblem(t, m.get(f.URL+"/content"), http.StatusNotFound)
	wantProblem(t, m.do(http.MethodDelete, f.URL, nil), http.StatusNotFound)
}

func TestUploadsThatAreRefusedLeaveNothing(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) { c.Limits.Upload = 1000 })
	octets := header("Content-Type", "application/octet-stream")
	endless := func() io.Reader {
		return io.MultiReader(strings.NewReader(strings.Repeat("x", 600)), strings.NewReader(strings.Repeat("y", 600)))
	}
	twoFiles, twoFilesKind := form(t, [2]string{"@file", "a"}, [2]string{"@file", "b"})
	noFile, noFileKind := form(t, [2]string{"name", "a"})
	tooLong, tooLongKind := form(t, [2]string{"@file", strings.Repeat("x", 1001)})
	whole, cutKind := form(t, [2]string{"@file", strings.Repeat("x", 500)})
	cut := io.LimitReader(whole, 400)
	for _, tt := range []struct {
		name   string
		body   io.Reader
		set    []option
		status int
	}{
		{"announced too large", strings.NewReader(strings.Repeat("x", 1001)), []option{octets}, 413},
		{"endless", endless(), []option{octets}, 413},
		{"what a form sends", strings.NewReader("x"), []option{header("Content-Type", "text/plain")}, 415},
		{"what curl sends by default", strings.NewReader("x"), []option{header("Content-Type", "application/x-www-form-urlencoded")}, 415},
		{"no media type", strings.NewReader("x"), []option{header("Content-Type", "@@")}, 415},
		{"idempotency key that is none", strings.NewReader("x"), []option{octets, header("Idempotency-Key", "k\u00fc")}, 400},
		{"a word as the content type", strings.NewReader("x"), []option{header("Content-Type", "nonsense")}, 415},
		{"nonsense as the content type", strings.NewReader("x"), []option{header("Content-Type", "a/b/c; ;=")}, 415},
		{"form without boundary", strings.NewReader("x"), []option{header("Content-Type", "multipart/form-data")}, 400},
		{"form that is none", strings.NewReader("x"), []option{header("Content-Type", "multipart/form-data; boundary=b")}, 400},
		{"form with two files", twoFiles, []option{twoFilesKind}, 400},
		{"form without a file", noFile, []option{noFileKind}, 400},
		{"form too large", tooLong, []option{tooLongKind}, 413},
		{"form that is cut off", cut, []option{cutKind}, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantProblem(t, m.do(http.MethodPost, "/v1/files", tt.body, tt.set...), tt.status)
			m.wantNothing()
		})
	}
}

// raw sends text over a connection of its own and returns it open.
func (m *mill) raw(request string) net.Conn {
	m.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(m.url, "http://"))
	m.must(err)
	m.t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, request)
	m.must(err)
	return conn
}

const uploadHead = "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"

func TestTruncatedUploadsLeaveNothing(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"shorter than announced": uploadHead + "Content-Length: 1000\r\n\r\n" + strings.Repeat("x", 500),
		"chunked":                uploadHead + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10\r\nhal",
		"bad chunk":              uploadHead + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMill(t)
			conn := m.raw(request)
			m.must(conn.(*net.TCPConn).CloseWrite())
			reply, err := io.ReadAll(conn)
			if err != nil && !errors.Is(err, net.ErrClosed) || !bytes.HasPrefix(reply, []byte("HTTP/1.1 400 ")) {
				t.Errorf("reply = %.60q, %v; want 400", reply, err)
			}
			m.wantNothing()
		})
	}
}

func TestStalledUploadIsCutOff(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) { c.Limits.BodyIdle = 50 * time.Millisecond })
	conn := m.raw(uploadHead + "Content-Length: 1000\r\n\r\nxxx")
	reply, _ := io.ReadAll(conn) // the server closes; nothing else ends this
	if !bytes.HasPrefix(reply, []byte("HTTP/1.1 400 ")) || !bytes.Contains(reply, []byte("stalled")) {
		t.Errorf("reply = %q, want 400 that says stalled", reply)
	}
	m.wantNothing()
}

func TestSlowButSteadyUploadIsKept(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) { c.Limits.BodyIdle = 500 * time.Millisecond })
	conn := m.raw(uploadHead + "Connection: close\r\nContent-Length: 8\r\n\r\n")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 8 { // longer than the idle time in all
		<-tick.C
		_, err := conn.Write([]byte("x"))
		m.must(err)
	}
	reply, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(reply, []byte("HTTP/1.1 201 ")) {
		t.Errorf("reply = %q, %v; want 201", reply, err)
	}
}

func TestUploadWithoutTheLedgerIsNotPromised(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) { c.Ledger = brokenLedger{c.Ledger, errors.New("dial tcp 10.1.2.3: secret")} })
	a := m.do(http.MethodPost, "/v1/files", strings.NewReader("x"))
	p := wantProblem(t, a, http.StatusServiceUnavailable)
	if strings.Contains(string(a.body), "10.1.2.3") || a.Header.Get("Retry-After") == "" || p.Code != "unavailable" {
		t.Errorf("problem = %s, Retry-After %q", a.body, a.Header.Get("Retry-After"))
	}
}

func TestManyUploadsAtOnce(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	const n = 16
	ids := make(chan string, n)
	for i := range n {
		go func() {
			resp, err := http.Post(m.url+"/v1/files", "application/octet-stream", strings.NewReader(strings.Repeat(fmt.Sprint(i%4), 100_000)))
			if err != nil {
				ids <- err.Error()
				return
			}
			_ = resp.Body.Close()
			ids <- resp.Header.Get("Location")
		}()
	}
	seen := map[string]bool{}
	for range n {
		seen[<-ids] = true
	}
	if len(seen) != n || seen[""] {
		t.Errorf("%d different files, want %d", len(seen), n)
	}
	testrig.Eventually(t, "every temporary blob to be gone", func() bool {
		left, err := m.Blobs.Sweep(t.Context(), time.Now().Add(time.Hour))
		return err == nil && left == 0
	})
}
