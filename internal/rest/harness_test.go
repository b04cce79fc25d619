package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/handlers"
	"github.com/millrace/millrace/internal/auth"
	"github.com/millrace/millrace/internal/cache"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/rest"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/tasks"
)

// mill is a whole API on real embedded stores, without workers: tests play their part.
type mill struct {
	*testrig.Rig
	t         *testing.T
	url       string
	server    *rest.Server
	publisher *notify.Publisher
	worker    string
}

func newMill(t *testing.T, change ...func(*rest.Config)) *mill {
	t.Helper()
	rig := testrig.New(t)
	types, err := tasks.NewList(handlers.All(handlers.Deps{})...)
	if err != nil {
		t.Fatal(err)
	}
	news := notify.Config{Redis: rig.Redis}
	m := &mill{Rig: rig, t: t, publisher: notify.NewPublisher(news), worker: newID()}
	results := cache.New(cache.Config{Redis: rig.Redis, Name: "results", Log: rig.Log})
	d := dispatch.New(dispatch.Config{Ledger: rig.Ledger, Queue: rig.Queue, Signals: m.publisher, Results: results, Types: types, Log: rig.Log, Committers: 1})
	hub := notify.NewHub(news)
	rig.Go(d.Run)
	rig.Go(hub.Run)
	config := rest.Config{
		Dispatcher: d, Ledger: rig.Ledger, Blobs: rig.Blobs, Types: types, Hub: hub, Auth: authOff(t), Log: rig.Log,
		Registry: prometheus.NewRegistry(), OpenMetrics: true,
		Web:       rest.Page{Handler: text("page"), Patterns: []string{"/", "/assets/*"}, CSP: "default-src 'self'"},
		Dashboard: rest.Page{Handler: text("dashboard"), Patterns: []string{"/dashboard", "/dashboard/*"}, CSP: "default-src 'self'"},
	}
	for _, c := range change {
		c(&config)
	}
	if m.server, err = rest.New(config); err != nil {
		t.Fatalf("rest.New: %v", err)
	}
	s := httptest.NewServer(m.server.Handler())
	t.Cleanup(s.Close)
	m.url = s.URL
	m.must(rig.Ledger.Register(t.Context(), millrace.Worker{ID: m.worker, Host: "mill", PID: 1, Role: "worker", CPUSlots: 1, IOSlots: 16}))
	return m
}

func text(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
}

func authOff(t *testing.T) *auth.Authenticator {
	t.Helper()
	return newAuth(t, auth.Config{})
}

func newAuth(t *testing.T, c auth.Config) *auth.Authenticator {
	t.Helper()
	a, err := auth.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

func (m *mill) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// answer is a response read to its end.
type answer struct {
	*http.Response
	body []byte
}

// option alters a request.
type option func(*http.Request)

func header(name, value string) option {
	return func(r *http.Request) {
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Set(name, value)
		}
	}
}

func (m *mill) do(method, path string, body io.Reader, options ...option) answer {
	m.t.Helper()
	r, err := http.NewRequestWithContext(m.t.Context(), method, m.url+path, body)
	m.must(err)
	for _, o := range options {
		o(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		m.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		m.t.Fatalf("%s %s: read the answer: %v", method, path, err)
	}
	return answer{resp, data}
}

func (m *mill) get(path string, options ...option) answer {
	m.t.Helper()
	return m.do(http.MethodGet, path, nil, options...)
}

func (m *mill) postJSON(path, body string, options ...option) answer {
	m.t.Helper()
	return m.do(http.MethodPost, path, bytes.NewBufferString(body), append([]option{header("Content-Type", "application/json")}, options...)...)
}

// file and job are what clients read of a File and a Job.
type (
	file struct {
		ID          string `json:"id"`
		Name        string `json:"name"`
		Size        int64  `json:"size"`
		SHA256      string `json:"sha256"`
		ContentType string `json:"content_type"`
		URL         string `json:"url"`
	}
	job struct {
		ID      string          `json:"id"`
		State   millrace.State  `json:"state"`
		Run     int             `json:"run"`
		Cached  bool            `json:"cached"`
		Input   *millrace.Input `json:"input"`
		Inputs  []millrace.Input
		Result  json.RawMessage `json:"result"`
		Tags    []string        `json:"tags"`
		Outputs []struct {
			Name string `json:"name"`
			URL  string `json:"url"`
		} `json:"outputs"`
		Progress millrace.Progress `json:"progress"`
		URL      string            `json:"url"`
	}
	problem struct {
		Type     string                `json:"type"`
		Title    string                `json:"title"`
		Status   int                   `json:"status"`
		Detail   string                `json:"detail"`
		Instance string                `json:"instance"`
		Code     string                `json:"code"`
		Errors   []millrace.FieldError `json:"errors"`
		Job      string                `json:"job"`
	}
)

// async asks in the background. A request that fails ends its goroutine, and then the channel is closed.
func async(ask func() answer) <-chan answer {
	answered := make(chan answer, 1)
	go func() {
		defer close(answered)
		answered <- ask()
	}()
	return answered
}

func read[T any](t *testing.T, a answer, status int) T {
	t.Helper()
	var v T
	if a.Response == nil {
		t.Fatal("there is no answer")
	}
	if a.StatusCode != status {
		t.Fatalf("%s %s = %d %s, want %d", a.Request.Method, a.Request.URL, a.StatusCode, a.body, status)
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%s %s answered %q: %v", a.Request.Method, a.Request.URL, a.body, err)
	}
	return v
}

// wantProblem checks that an answer is a whole problem document and returns it.
func wantProblem(t *testing.T, a answer, status int) problem {
	t.Helper()
	p := read[problem](t, a, status)
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type of the problem = %q", got)
	}
	if p.Status != status || p.Title == "" || p.Type == "" || p.Detail == "" || p.Code == "" || p.Instance == "" || p.Instance != a.Header.Get("X-Request-Id") {
		t.Errorf("problem = %s, request id %q", a.body, a.Header.Get("X-Request-Id"))
	}
	return p
}

func (m *mill) upload(name, data string) file {
	m.t.Helper()
	a := m.do(http.MethodPost, "/v1/files?name="+name, bytes.NewBufferString(data), header("Content-Type", "application/octet-stream"))
	return read[file](m.t, a, http.StatusCreated)
}

// submit makes a job that is not cached, so that each is worked.
func (m *mill) submit(fileID string) job {
	m.t.Helper()
	a := m.postJSON("/v1/jobs", `{"type":"compute.checksum","input":{"file":"`+fileID+`"},"cache":false}`)
	return read[job](m.t, a, http.StatusAccepted)
}

// claim lets the mill's worker take a job.
func (m *mill) claim(id string) store.Claimed {
	m.t.Helper()
	claimed, err := m.Ledger.Claim(m.t.Context(), m.worker, []store.Delivery{{Job: id, Fence: m.Job(id).Fence}})
	m.must(err)
	if claimed[0].Job == nil {
		m.t.Fatalf("the claim of %s was refused", id)
	}
	return claimed[0]
}

// finish ends a claimed job with one output of data, in the way kind says, and tells the hub.
func (m *mill) finish(c store.Claimed, kind store.OutcomeKind, data string) {
	m.t.Helper()
	o := store.Outcome{Job: c.Job.ID, Tenant: c.Job.Tenant, Fence: c.Job.Fence, Kind: kind, Attempt: millrace.AttemptSucceeded, Result: json.RawMessage(`{"a":1}`)}
	state := millrace.Succeeded
	if kind == store.OutcomeFailed {
		o.Attempt, o.Result, state = millrace.AttemptError, nil, millrace.Failed
		o.Error = &millrace.JobError{Code: millrace.CodeCorrupt, Message: "broken"}
	}
	if kind == store.OutcomeSucceeded && data != "" {
		o.Outputs = []store.NewOutput{m.output("sums (1).txt", data)}
	}
	won, err := m.Ledger.Finish(m.t.Context(), []store.Outcome{o})
	m.must(err)
	if !won[0] {
		m.t.Fatal("the outcome lost")
	}
	m.publisher.Publish(m.t.Context(), []notify.Event{{Tenant: c.Job.Tenant, Job: c.Job.ID, State: state}})
}

func (m *mill) output(name, data string) store.NewOutput {
	m.t.Helper()
	w, err := m.Blobs.Create(m.t.Context())
	m.must(err)
	_, err = io.WriteString(w, data)
	m.must(err)
	sum, size := w.Sum()
	key, err := w.Commit(m.t.Context())
	m.must(err)
	return store.NewOutput{Output: millrace.Output{Name: name, File: newID(), Size: size, ContentType: "text/plain; charset=utf-8", SHA256: sum}, Blob: key}
}

// wantNothing checks that neither files nor bytes are there.
func (m *mill) wantNothing() {
	m.t.Helper()
	files, err := m.Ledger.ListFiles(m.t.Context(), millrace.DefaultTenant, "", 10)
	m.must(err)
	if len(files) != 0 {
		m.t.Errorf("%d files were left behind", len(files))
	}
	soon := time.Now().Add(time.Hour)
	temporary, err := m.Blobs.Sweep(m.t.Context(), soon)
	m.must(err)
	m.must(m.Blobs.Keys(m.t.Context(), soon, func(key string) error {
		m.t.Errorf("the blob %s was left behind", key)
		return nil
	}))
	if temporary != 0 {
		m.t.Errorf("%d temporary blobs were left behind", temporary)
	}
}

// form builds a multipart body. A name that begins with @ is a file's field.
func form(t *testing.T, fields ...[2]string) (io.Reader, option) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		if f[0] != "@file" {
			_ = w.WriteField(f[0], f[1])
			continue
		}
		part, err := w.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {`form-data; name="file"; filename="../up/photo.txt"`}, "Content-Type": {"image/png"}})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(part, f[1])
	}
	_ = w.Close()
	return &b, header("Content-Type", w.FormDataContentType())
}

// logBook keeps what was logged.
type logBook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// brokenLedger fails as a database out of reach does.
type brokenLedger struct {
	rest.Ledger
	err error
}

func (b brokenLedger) Job(context.Context, string, string) (*millrace.Job, error) { return nil, b.err }

func (b brokenLedger) List(context.Context, string, store.JobFilter) ([]*millrace.Job, error) {
	panic("the list is " + b.err.Error())
}

func (b brokenLedger) CreateFile(context.Context, millrace.File, *store.Idempotency) error {
	return b.err
}
