package e2e_test

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/millrace/millrace/internal/testenv"
)

// adminKey is a key of the length that the server demands.
const adminKey = "0123456789abcdef0123456789abcdef-e2e"

// startLocked starts a server that asks for adminKey. The server's client sends it.
func startLocked(t *testing.T, mode string, env ...string) *server {
	t.Helper()
	s := &server{t: t, mode: mode, dir: t.TempDir(), processes: make(map[string]*process)}
	s.env = append(append(cleanEnv(), env...), "MILLRACE_DATA_DIR="+filepath.Join(s.dir, "data"), "MILLRACE_LOG_LEVEL=debug", "MILLRACE_ADMIN_KEY="+adminKey)
	t.Cleanup(s.stop)
	front := "serve"
	if mode == "embedded" {
		s.launch("serve", "millrace", "serve", "--addr", "127.0.0.1:0", "--workers", "2")
	} else {
		front = "api"
		s.env = append(s.env, "REDIS_URL="+testenv.Redis(t), "DATABASE_URL="+testenv.Postgres(t))
		s.launch("api", "api", "--addr", "127.0.0.1:0")
		s.launch("scheduler", "scheduler", "--addr", "127.0.0.1:0")
		s.launch("worker", "worker", "--processes", "2")
	}
	s.client = newClient(t, s.processes[front].ready(t))
	s.client.http.Transport = bearer{adminKey, s.client.http.Transport}
	s.waitWorkers(2)
	return s
}

// bearer sends a credential with each request that has none.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.next.RoundTrip(r)
}

// TestPage is the first minute of somebody who has just started a server, with nothing faked.
func TestPage(t *testing.T) {
	browser := startBrowser(t)
	s := start(t, "embedded")
	for _, dark := range []bool{false, true} {
		name := map[bool]string{false: "light", true: "dark"}[dark]
		t.Run(name, func(t *testing.T) { resizeOnPage(openTab(t, browser, s.url, dark), s, name) })
	}
	t.Run("killed worker", func(t *testing.T) { killOnPage(openTab(t, browser, s.url, false), s) })
	t.Run("refused file", func(t *testing.T) { failOnPage(openTab(t, browser, s.url, false)) })
}

// remember marks the page, so that a reload shows.
func (b *tab) remember() { eval[bool](b, `(window.sameVisit = true)`) }

func (b *tab) checkSameVisit() {
	b.Helper()
	if !eval[bool](b, `window.sameVisit === true`) {
		b.Error("the page was loaded again")
	}
}

// pickSample takes one of the files that ship with the page and a task.
func (b *tab) pickSample(name, task string) {
	b.Helper()
	b.wait(`document.querySelector("#tasks .task")`)
	b.click(fmt.Sprintf("[data-sample='%s']", name))
	b.waitText("#source", name)
	b.click(fmt.Sprintf("[name=type][value='%s']", task))
}

// jobOnPage is the id of the job that the page shows.
func (b *tab) jobOnPage() string {
	b.Helper()
	b.wait(`new URLSearchParams(location.search).get("job")`)
	return eval[string](b, `new URLSearchParams(location.search).get("job")`)
}

func resizeOnPage(b *tab, s *server, theme string) {
	b.open("/")
	b.remember()
	b.pickSample("mountains.jpg", "image.resize")
	width := map[string]int{"light": 480, "dark": 320}[theme]
	b.fill("/params/width", fmt.Sprint(width))
	b.click("#start")
	id := b.jobOnPage()
	b.waitText("#panel", "succeeded")
	b.waitText("#panel", fmt.Sprintf("%d × ", width))
	b.wait(`[...document.images].every((image) => image.complete && image.naturalWidth > 0)`)
	b.checkSameVisit()
	if got := b.requested("/v1/jobs/" + id + "/events"); got > 1 { // none when the job was done before the page could ask
		b.Errorf("the page opened %d event streams, want 1", got)
	}
	b.checkTheme(theme)
	eval[bool](b, `(scrollTo(0, 0), true)`)
	b.shot("resize-" + theme)

	saved := b.download("#panel a[download].button", "mountains.jpg")
	picture, err := jpeg.Decode(bytes.NewReader(saved))
	if err != nil {
		b.Fatalf("the downloaded picture: %v", err)
	}
	source, _, err := image.DecodeConfig(bytes.NewReader(s.bytes(s.inputURL(id))))
	if err != nil {
		b.Fatal(err)
	}
	if got, want := picture.Bounds().Size(), image.Pt(width, (source.Height*width+source.Width/2)/source.Width); got != want {
		b.Errorf("the downloaded picture is %v, want %v", got, want)
	}
	if !bytes.Equal(saved, s.bytes("/v1/jobs/"+id+"/output")) {
		b.Error("the browser saved other bytes than the API answers")
	}

	b.click("#nav a[href='/jobs']")
	b.waitText("#list", "succeeded")
	b.wait(fmt.Sprintf(`document.querySelector("#list a[href='/jobs/%s']")`, id))
	b.click(fmt.Sprintf("#list a[href='/jobs/%s']", id))
	b.waitText("#main", "attempt 1: succeeded")
	b.checkSameVisit()
}

// checkTheme looks whether the page is as light or dark as the system asks for.
func (b *tab) checkTheme(theme string) {
	b.Helper()
	light := eval[float64](b, `(() => {
		const canvas = document.createElement('canvas').getContext('2d');
		canvas.fillStyle = getComputedStyle(document.body).backgroundColor;
		canvas.fillRect(0, 0, 1, 1);
		const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
		return (r + g + b) / 3;
	})()`)
	if theme == "light" && light < 200 || theme == "dark" && light > 60 {
		b.Errorf("the background has a lightness of %v in the %s theme", light, theme)
	}
}

func (s *server) inputURL(id string) string {
	s.t.Helper()
	var j struct{ Input struct{ File string } }
	s.call("GET", "/v1/jobs/"+id, "", nil, http.StatusOK, &j)
	return "/v1/files/" + j.Input.File + "/content"
}

// killOnPage brings a file of one's own, kills the process that works on it, and sees the job finish on the same page.
func killOnPage(b *tab, s *server) {
	path := filepath.Join(b.TempDir(), "noise.bin")
	if err := os.WriteFile(path, noise(80<<20), 0o600); err != nil {
		b.Fatal(err)
	}
	b.open("/submit?type=file.compress")
	b.remember()
	b.wait(`document.querySelector("#tasks .task")`)
	b.run(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{path}))
	b.waitText("#source", "noise.bin")
	b.fill("/params/codec", `"gzip"`)
	b.fill("/params/level", `"best"`)
	// What the panel says is written down as it changes: a test that looks now and then misses what is quick.
	eval[bool](b, `(() => {
		window.seen = new Set();
		const look = () => {
			const state = document.querySelector('#panel mill-state')?.getAttribute('value');
			const percent = document.querySelector('#panel .progress p')?.innerText.match(/^(\d+) %/)?.[1];
			if (state) window.seen.add(percent ? state + ' ' + percent : state);
		};
		new MutationObserver(look).observe(document.querySelector('#panel'), { subtree: true, childList: true, characterData: true, attributes: true });
		return true;
	})()`)
	b.click("#start")
	id := b.jobOnPage()
	b.wait(`[...window.seen].some((line) => /^running [1-9]/.test(line))`)
	owner := s.ownerOf(id)
	if err := syscall.Kill(owner.PID, syscall.SIGKILL); err != nil {
		b.Fatalf("kill worker process %d: %v", owner.PID, err)
	}
	b.waitText("#panel", "succeeded")
	b.checkSameVisit()
	if got := b.requested("/v1/jobs/" + id + "/events"); got != 1 {
		b.Errorf("the page opened %d event streams, want 1", got)
	}
	j := s.job(id)
	checkEnded(b.T, j)
	if len(j.Attempts) != 2 || j.Attempts[0].Outcome != "crashed" {
		b.Errorf("attempts = %+v, want one that crashed and one that succeeded", j.Attempts)
	}
	if steps := eval[int](b, `[...window.seen].filter((line) => line.startsWith('running ')).length`); steps < 3 {
		b.Errorf("the page showed %d steps of progress, want several: %v", steps, eval[[]string](b, `[...window.seen]`))
	}
	s.waitWorkers(2)
	b.click("#panel a[data-key=page]")
	b.waitText("#main", "attempt 1: crashed")
	b.waitText("#main", "attempt 2: succeeded")
}

// ownerOf finds the process that a running job's attempt is in.
func (s *server) ownerOf(id string) workerInfo {
	s.t.Helper()
	j := s.job(id)
	if j.State != "running" || len(j.Attempts) == 0 {
		s.t.Fatalf("job %s is %s with %d attempts, want it running", id, j.State, len(j.Attempts))
	}
	for _, w := range s.workers("worker") {
		if w.ID == j.Attempts[len(j.Attempts)-1].Worker {
			return w
		}
	}
	s.t.Fatalf("no live worker has the job %s: %+v", id, j.Attempts)
	return workerInfo{}
}

// failOnPage brings a file that only says it is a picture.
func failOnPage(b *tab) {
	path := filepath.Join(b.TempDir(), "holiday.jpg")
	if err := os.WriteFile(path, []byte("this is no picture"), 0o600); err != nil {
		b.Fatal(err)
	}
	b.open("/submit?type=image.resize")
	b.wait(`document.querySelector("#tasks .task")`)
	b.run(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{path}))
	b.waitText("#source", "holiday.jpg")
	b.click("#start")
	b.waitText("#panel", "failed")
	b.waitText("#panel .notice", "unsupported_format")
}

// TestPageWithKey signs in by the form: page, event stream, download and dashboard go by the cookie, and signing out ends it.
func TestPageWithKey(t *testing.T) {
	browser := startBrowser(t)
	s := startLocked(t, "embedded")
	b := openTab(t, browser, s.url, false)
	b.allow("status of 401")
	b.open("/")
	b.wait(`document.querySelector("#key")`)
	for _, key := range []string{"a wrong key that is long enough to be one", adminKey} {
		b.fill("key", key)
		b.click("#main form button")
		if key != adminKey {
			b.waitText("#key-error", "not known")
		}
	}
	b.pickSample("mountains.jpg", "image.resize")
	if eval[bool](b, `document.cookie !== ""`) {
		b.Error("scripts can read the session's cookie")
	}
	b.click("#start")
	id := b.jobOnPage()
	b.waitText("#panel", "succeeded")
	done := eval[string](b, fmt.Sprintf(`new Promise((resolve) => {
		const source = new EventSource("/v1/jobs/%s/events");
		source.addEventListener("done", (event) => { source.close(); resolve(JSON.parse(event.data).state); });
		source.addEventListener("error", () => resolve("an error"));
	})`, id))
	if done != "succeeded" {
		b.Errorf("the event stream by cookie ends with %q, want succeeded", done)
	}
	if _, err := jpeg.DecodeConfig(bytes.NewReader(b.download("#panel a[download].button", "mountains.jpg"))); err != nil {
		b.Errorf("the downloaded picture: %v", err)
	}
	b.checkDashboard()

	b.open("/jobs")
	b.waitText("#list", "succeeded")
	b.click("#sign-out")
	b.wait(`document.querySelector("#key")`)
	if got := eval[int](b, `fetch("/v1/jobs").then((r) => r.status)`); got != http.StatusUnauthorized {
		b.Errorf("GET /v1/jobs after signing out = %d, want 401", got)
	}
	if got := eval[int](b, `fetch("/dashboard/api/queues").then((r) => r.status)`); got != http.StatusUnauthorized {
		b.Errorf("GET /dashboard/api/queues after signing out = %d, want 401", got)
	}
}

// TestForeignPage opens a page of somebody else's in the browser, which tries what any web page can send to a server on this machine.
func TestForeignPage(t *testing.T) {
	browser := startBrowser(t)
	s := start(t, "embedded")
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>foreign</title><link rel="icon" href="data:,">
			<form method="post" enctype="multipart/form-data" action="%s/v1/jobs"><input name="type" value="compute.checksum"></form>`, s.url)
	}))
	t.Cleanup(foreign.Close)
	b := openTab(t, browser, foreign.URL, false)
	for _, part := range []string{s.url, "has been blocked", "status of 403", "ERR_"} {
		b.allow(part)
	}
	b.open("/")
	for _, tt := range []struct{ name, request string }{
		{"simple upload", `fetch("%s/v1/files", { method: "POST", mode: "no-cors", body: new Blob(["x"]) })`},
		{"form", `fetch("%s/v1/jobs", { method: "POST", mode: "no-cors", body: (() => { const f = new FormData(); f.set("type", "compute.checksum"); f.set("file", new File(["x"], "x")); return f; })() })`},
		{"JSON as text", `fetch("%s/v1/jobs", { method: "POST", mode: "no-cors", headers: { "Content-Type": "text/plain" }, body: "{}" })`},
		{"JSON", `fetch("%s/v1/jobs", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" })`},
		{"read", `fetch("%s/v1/files")`},
	} {
		answer := eval[string](b, fmt.Sprintf(tt.request, s.url)+`.then((r) => r.type === "opaque" ? "opaque" : r.text(), () => "refused")`)
		if answer != "opaque" && answer != "refused" {
			b.Errorf("%s: the foreign page reads %q", tt.name, answer)
		}
	}
	eval[bool](b, `(document.forms[0].submit(), true)`)
	refused := func(method, route string) bool {
		return bytes.Contains(s.bytes("/metrics"), fmt.Appendf(nil, `millrace_http_requests_total{method=%q,route=%q,status="403"}`, method, route))
	}
	// The browser did send them: it is the server that refused.
	eventually(t, seeing, "refusals in the server's metrics", func() bool { return refused("POST", "/v1/files") && refused("POST", "/v1/jobs") })
	var files struct{ Items []file }
	s.call("GET", "/v1/files", "", nil, http.StatusOK, &files)
	var jobs struct{ Items []job }
	s.call("GET", "/v1/jobs", "", nil, http.StatusOK, &jobs)
	if len(files.Items)+len(jobs.Items) != 0 {
		b.Errorf("a foreign page made files %+v and jobs %+v", files.Items, jobs.Items)
	}
}
