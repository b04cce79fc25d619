package deploy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// proxy is a real nginx with our configuration in front of two apis of the test.
type proxy struct {
	apis   [2]*httptest.Server
	calls  [2]atomic.Int32
	socket string
	client *http.Client
}

func TestNginxConfigurationIsValid(t *testing.T) {
	t.Parallel()
	dir := socketDir(t)
	if out, err := exec.Command(nginx(t), "-t", "-p", dir, "-c", configuration(t, dir, "127.0.0.1:1", "127.0.0.1:2")).CombinedOutput(); err != nil {
		t.Errorf("nginx -t: %v\n%s", err, out)
	}
}

func TestNginxAsksBoth(t *testing.T) {
	t.Parallel()
	p := start(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Host, " ", r.Header.Get("X-Forwarded-Proto"))
	})
	for range 10 {
		if status, body := p.ask(t, "GET", "/", ""); status != 200 || body != "millrace.test:8080 http" {
			t.Fatalf("answer = %d %q, want 200 and the host with its port", status, body)
		}
	}
	if p.calls[0].Load() == 0 || p.calls[1].Load() == 0 {
		t.Errorf("calls = %d and %d, want some for both", p.calls[0].Load(), p.calls[1].Load())
	}
}

func TestNginxGoesOnWithoutOne(t *testing.T) {
	t.Parallel()
	p := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Method, " ", string(body))
	})
	p.apis[0].Close()
	for range 10 {
		for _, method := range []string{"GET", "POST"} {
			if status, body := p.ask(t, method, "/", "x"); status != 200 || body != method+" x" {
				t.Fatalf("%s = %d %q, want 200 from the api that is left", method, status, body)
			}
		}
	}
}

func TestNginxNeverRepeatsAPost(t *testing.T) {
	t.Parallel()
	p := start(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		panic(http.ErrAbortHandler) // the connection breaks off without an answer
	})
	if status, _ := p.ask(t, "POST", "/v1/jobs", "{}"); status != 503 {
		t.Errorf("POST = %d, want 503", status)
	}
	if n := p.calls[0].Load() + p.calls[1].Load(); n != 1 {
		t.Errorf("the apis were asked %d times, want once: the first may have done it", n)
	}
}

func TestNginxSaysThatNobodyIsThere(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	p.apis[0].Close()
	p.apis[1].Close()
	resp, err := p.client.Get("http://millrace.test/v1/jobs")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 503 || resp.Header.Get("Content-Type") != "application/problem+json" || resp.Header.Get("Retry-After") != "1" ||
		!bytes.Contains(body, []byte(`"status":503`)) {
		t.Errorf("answer = %d %v %s, want a problem document with Retry-After", resp.StatusCode, resp.Header, body)
	}
}

// An api's own refusal is better than ours.
func TestNginxPassesErrorsOn(t *testing.T) {
	t.Parallel()
	p := start(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "mine", http.StatusServiceUnavailable) })
	if status, body := p.ask(t, "GET", "/", ""); status != 503 || body != "mine\n" {
		t.Errorf("answer = %d %q, want the api's own", status, body)
	}
}

// The api only goes on when the client has seen the first event: a proxy that gathered them would hold both up.
func TestNginxStreamsEvents(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	p := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: 1\n")
		w.(http.Flusher).Flush()
		select {
		case <-seen:
			fmt.Fprint(w, "data: 2\n")
		case <-r.Context().Done():
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://millrace.test/v1/jobs/x/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for _, want := range []string{"data: 1", "data: 2"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("line = %q, %v, want %q", lines.Text(), lines.Err(), want)
		}
		if want == "data: 1" {
			close(seen)
		}
	}
}

// The client only sends the rest when the api has read the beginning.
func TestNginxStreamsUploads(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	p := start(t, func(w http.ResponseWriter, r *http.Request) {
		first := make([]byte, 5)
		if _, err := io.ReadFull(r.Body, first); err != nil {
			return
		}
		close(begun)
		rest, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s%s", first, rest)
	})
	out, in := io.Pipe()
	go func() {
		fmt.Fprint(in, "first")
		select {
		case <-begun:
			fmt.Fprint(in, " rest")
			in.Close()
		case <-time.After(patience):
			in.CloseWithError(errors.New("the api did not see the beginning"))
		}
	}()
	resp, err := p.client.Post("http://millrace.test/v1/files", "application/octet-stream", out)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "first rest" {
		t.Errorf("body = %q, %v, want first rest", body, err)
	}
}

func TestNginxLimitsBodies(t *testing.T) {
	t.Parallel()
	p := start(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "taken") })
	for _, tt := range []struct {
		size int64
		want string
	}{{10 << 30, "200"}, {20 << 30, "413"}} {
		c, err := net.Dial("unix", p.socket)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "POST /v1/files HTTP/1.1\r\nHost: millrace.test\r\nContent-Length: %d\r\n\r\n", tt.size)
		line, err := bufio.NewReader(c).ReadString('\n')
		c.Close()
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 "+tt.want) {
			t.Errorf("%d bytes: %q, %v, want %s", tt.size, line, err, tt.want)
		}
	}
}

const patience = 30 * time.Second

// start runs nginx until the end of the test. A nil handler is for apis that are never asked.
func start(t *testing.T, h http.HandlerFunc) *proxy {
	t.Helper()
	p := new(proxy)
	for i := range p.apis {
		p.apis[i] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.calls[i].Add(1)
			h(w, r)
		}))
		p.apis[i].Config.ErrorLog = nil
		t.Cleanup(p.apis[i].Close)
	}
	dir := socketDir(t)
	p.socket = filepath.Join(dir, "s")
	conf := configuration(t, dir, p.apis[0].Listener.Addr().String(), p.apis[1].Listener.Addr().String())
	var said bytes.Buffer
	cmd := exec.Command(nginx(t), "-p", dir, "-c", conf, "-g", "daemon off;")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		<-exited
		if t.Failed() {
			t.Log(said.String())
		}
	})
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", p.socket)
	}}
	p.client = &http.Client{Transport: transport, Timeout: patience}
	t.Cleanup(transport.CloseIdleConnections)
	p.listening(t, exited)
	return p
}

// listening waits until nginx takes connections.
func (p *proxy) listening(t *testing.T, exited chan error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("unix", p.socket); err == nil {
			c.Close()
			return
		}
		select {
		case <-tick.C:
		case err := <-exited:
			exited <- err
			t.Fatalf("nginx ended: %v", err)
		case <-time.After(patience):
			t.Fatal("nginx does not listen")
		}
	}
}

func (p *proxy) ask(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://millrace.test:8080"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// configuration is a copy of ours for this machine: the names of the compose file become addresses, and all it writes goes to dir.
func configuration(t *testing.T, dir, api1, api2 string) string {
	t.Helper()
	text := string(read(t, "nginx.conf"))
	for _, change := range [][2]string{
		{"server api1:8080 ", "server " + api1 + " "},
		{"server api2:8080 ", "server " + api2 + " "},
		{"listen 8080;", "listen unix:" + filepath.Join(dir, "s") + ";"},
		{"worker_processes auto;", "worker_processes 1;" + user()},
		{"pid /tmp/nginx.pid;", "pid " + filepath.Join(dir, "pid") + ";"},
		{"http {", "http {" + temporaryPaths(dir)},
	} {
		if strings.Count(text, change[0]) != 1 {
			t.Fatalf("nginx.conf holds %q %d times, want once", change[0], strings.Count(text, change[0]))
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// user keeps nginx's workers who we are; as root it would make them nobody, who may not enter dir.
func user() string {
	if os.Geteuid() == 0 {
		return " user root;"
	}
	return ""
}

// temporaryPaths are needed even though our settings leave them empty: nginx makes them at its start.
func temporaryPaths(dir string) string {
	var b strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, " %s_temp_path %s;", kind, filepath.Join(dir, kind))
	}
	return b.String()
}

func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mr-nginx-") // short: a unix socket's path has little room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func nginx(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("MILLRACE_TEST_REQUIRE") == "1" {
		t.Fatal("nginx is not here; install the package nginx-light")
	}
	t.Skip("nginx is not here; install the package nginx-light")
	return ""
}
