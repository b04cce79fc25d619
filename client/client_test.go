package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/handlers"
	"github.com/millrace/millrace/internal/auth"
	"github.com/millrace/millrace/internal/cache"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/rest"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/internal/worker"
	"github.com/millrace/millrace/tasks"
)

const key = "0123456789abcdef0123456789abcdef"

// params of the test's own task types: none.
type params struct{}

// newServer is a real server with a worker, which asks for key. Besides the product's types it has test.hold, which goes on until release is
// closed, and test.fail.
func newServer(t *testing.T) (url string, release chan struct{}) {
	t.Helper()
	rig := testrig.New(t)
	release = make(chan struct{})
	bind := func(name string, do func(context.Context, *tasks.Call, params) (any, error)) tasks.Type {
		return tasks.Bind(tasks.Declaration[params]{Name: name, Title: "Test", Version: "1", Pool: millrace.IO}, do)
	}
	types, err := tasks.NewList(append(handlers.All(handlers.Deps{}),
		bind("test.hold", func(ctx context.Context, call *tasks.Call, _ params) (any, error) {
			call.Progress(1, 2, "parts", "half way")
			select {
			case <-release:
				return map[string]bool{"held": true}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}),
		bind("test.fail", func(context.Context, *tasks.Call, params) (any, error) {
			return nil, &millrace.Error{Kind: millrace.Invalid, Code: millrace.CodeInvalidInput, Detail: "nothing can be done with it"}
		}))...)
	if err != nil {
		t.Fatal(err)
	}
	news := notify.Config{Redis: rig.Redis, Log: rig.Log}
	publisher, hub := notify.NewPublisher(news), notify.NewHub(news)
	d := dispatch.New(dispatch.Config{Ledger: rig.Ledger, Queue: rig.Queue, Signals: publisher, Types: types, Log: rig.Log, Committers: 1,
		Results: cache.New(cache.Config{Redis: rig.Redis, Name: "results", Log: rig.Log})})
	w := worker.New(worker.Config{Ledger: rig.Ledger, Queue: rig.Queue, Blobs: rig.Blobs, Types: types, Events: publisher, Log: rig.Log,
		Self: millrace.Worker{Host: "test", BootID: "boot", PID: 1, Role: "worker", CPUSlots: 1, IOSlots: 4}})
	for _, service := range []func(context.Context) error{d.Run, d.Refill, hub.Run, w.Run} {
		rig.Go(service)
	}
	a, err := auth.New(auth.Config{AdminKey: key})
	if err != nil {
		t.Fatal(err)
	}
	page := rest.Page{Handler: http.NotFoundHandler(), Patterns: []string{"/"}}
	s, err := rest.New(rest.Config{Dispatcher: d, Ledger: rig.Ledger, Blobs: rig.Blobs, Types: types, Hub: hub, Auth: a, Log: rig.Log,
		Registry: prometheus.NewRegistry(), Web: page, Dashboard: rest.Page{Handler: http.NotFoundHandler(), Patterns: []string{"/dashboard"}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return server.URL, release
}

func TestFromUploadToDownload(t *testing.T) {
	t.Parallel()
	url, _ := newServer(t)
	c := &client.Client{URL: url + "/", Key: key}
	text := bytes.Repeat([]byte("words upon words\n"), 10_000)
	file, err := c.Upload(t.Context(), "words & more.txt", bytes.NewReader(text))
	if err != nil || file.Name != "words & more.txt" || file.Size != int64(len(text)) || !strings.HasPrefix(file.ContentType, "text/plain") {
		t.Fatalf("Upload = %+v, %v", file, err)
	}
	packed := run(t, c, client.Spec{Type: "file.compress", Inputs: []client.Input{{File: file.ID}}, Params: json.RawMessage(`{"codec":"zstd"}`),
		Priority: "high", Tags: []string{"a", "b"}})
	if packed.State != "succeeded" || len(packed.Outputs) != 1 || packed.Error != nil || packed.FinishedAt == nil || packed.Attempt != 1 {
		t.Fatalf("job = %s", packed.Raw)
	}
	var zst bytes.Buffer
	if err := c.Download(t.Context(), packed.Outputs[0], &zst); err != nil {
		t.Fatal(err)
	}
	again, err := c.Upload(t.Context(), "words.zst", &zst)
	if err != nil {
		t.Fatal(err)
	}
	plain := run(t, c, client.Spec{Type: "file.decompress", Inputs: []client.Input{{File: again.ID}}})
	var out bytes.Buffer
	if err := c.Download(t.Context(), plain.Outputs[0], &out); err != nil || !bytes.Equal(out.Bytes(), text) {
		t.Errorf("the round trip gave %d bytes, %v; want the %d that went in", out.Len(), err, len(text))
	}
	read, err := c.Job(t.Context(), packed.ID)
	if err != nil || read.State != "succeeded" || read.ID != packed.ID || !json.Valid(read.Raw) {
		t.Errorf("Job = %+v, %v", read, err)
	}
}

// on is a job on a small file.
func on(t *testing.T, c *client.Client, typ string) client.Spec {
	t.Helper()
	f, err := c.Upload(t.Context(), "input.txt", strings.NewReader("input"))
	if err != nil {
		t.Fatal(err)
	}
	return client.Spec{Type: typ, Inputs: []client.Input{{File: f.ID}}}
}

func run(t *testing.T, c *client.Client, spec client.Spec) *client.Job {
	t.Helper()
	j, err := c.Submit(t.Context(), spec)
	if err != nil {
		t.Fatalf("Submit(%s): %v", spec.Type, err)
	}
	if j, err = c.Wait(t.Context(), j.ID, nil); err != nil {
		t.Fatalf("Wait(%s): %v", spec.Type, err)
	}
	return j
}

func TestWaitTellsOfProgress(t *testing.T) {
	t.Parallel()
	url, release := newServer(t)
	c := &client.Client{URL: url, Key: key}
	j, err := c.Submit(t.Context(), on(t, c, "test.hold"))
	if err != nil || j.Final() {
		t.Fatalf("Submit = %+v, %v", j, err)
	}
	once := sync.OnceFunc(func() { close(release) })
	done, err := c.Wait(t.Context(), j.ID, func(j *client.Job) {
		if j.State == "running" && j.Progress.Done == 1 {
			if j.Progress.Percent != 50 || j.Progress.Total != 2 || j.Progress.Message != "half way" {
				t.Errorf("progress = %+v", j.Progress)
			}
			once()
		}
	})
	if err != nil || done.State != "succeeded" || string(done.Result) != `{"held":true}` {
		t.Errorf("Wait = %+v, %v", done, err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	url, release := newServer(t)
	defer close(release)
	c := &client.Client{URL: url, Key: key}
	j, err := c.Submit(t.Context(), on(t, c, "test.hold"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.Wait(ctx, j.ID, func(*client.Job) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v, want the end of its context", err)
	}
}

func TestFailedJob(t *testing.T) {
	t.Parallel()
	url, _ := newServer(t)
	c := &client.Client{URL: url, Key: key}
	j := run(t, c, on(t, c, "test.fail"))
	if j.State != "failed" || !j.Final() || j.Error == nil || j.Error.Code != "invalid_input" || j.Error.Retryable || j.Error.Message != "nothing can be done with it" {
		t.Errorf("job = %s", j.Raw)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	url, _ := newServer(t)
	c := &client.Client{URL: url, Key: key}
	tests := []struct {
		name   string
		call   func(ctx context.Context) error
		status int
		says   string
	}{
		{"no key", func(ctx context.Context) error {
			_, err := (&client.Client{URL: url}).Job(ctx, "x")
			return err
		}, http.StatusUnauthorized, ""},
		{"unknown job", func(ctx context.Context) error {
			_, err := c.Job(ctx, "00000000-0000-7000-8000-000000000000")
			return err
		}, http.StatusNotFound, ""},
		{"an id that leads elsewhere", func(ctx context.Context) error {
			_, err := c.Job(ctx, "../../livez")
			return err
		}, http.StatusNotFound, ""},
		{"unknown type", func(ctx context.Context) error {
			_, err := c.Submit(ctx, client.Spec{Type: "image.resise"})
			return err
		}, http.StatusUnprocessableEntity, "image.resise"},
		{"unknown file", func(ctx context.Context) error {
			_, err := c.Submit(ctx, client.Spec{Type: "compute.checksum", Inputs: []client.Input{{File: "00000000-0000-7000-8000-000000000000"}}})
			return err
		}, http.StatusUnprocessableEntity, "upload it"},
		{"two faults", func(ctx context.Context) error {
			_, err := c.Submit(ctx, client.Spec{Type: "compute.checksum", Priority: "urgent", Tags: []string{""}})
			return err
		}, http.StatusUnprocessableEntity, "/priority"},
		{"wait for an unknown job", func(ctx context.Context) error {
			_, err := c.Wait(ctx, "00000000-0000-7000-8000-000000000000", nil)
			return err
		}, http.StatusNotFound, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := test.call(t.Context())
			p, ok := errors.AsType[*client.Problem](err)
			if !ok || p.Status != test.status || p.Title == "" || p.RequestID == "" {
				t.Fatalf("error = %#v, want a problem with status %d", err, test.status)
			}
			if text := p.Error(); !strings.Contains(text, test.says) || strings.Contains(text, "\n") {
				t.Errorf("error reads %q, want %q in it", text, test.says)
			}
		})
	}
}

func TestServerThatIsNoURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "mill", "mill:8080", "ftp://mill", "http://", "http://mill:port", "://"} {
		if _, err := (&client.Client{URL: url}).Job(t.Context(), "x"); !errors.Is(err, client.ErrServer) {
			t.Errorf("with the URL %q: %v, want ErrServer", url, err)
		}
	}
}

// flaky is a server that fails in the ways that servers and what stands before them do.
func flaky(t *testing.T, answer func(n int64, w http.ResponseWriter, r *http.Request)) *client.Client {
	t.Helper()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(n.Add(1), w, r) }))
	t.Cleanup(s.Close)
	return &client.Client{URL: s.URL, HTTP: &http.Client{Timeout: 10 * time.Second}}
}

func TestWaitBearsAServerThatIsRestarted(t *testing.T) {
	t.Parallel()
	c := flaky(t, func(n int64, w http.ResponseWriter, _ *http.Request) {
		switch n {
		case 1:
			panic(http.ErrAbortHandler) // the connection breaks
		case 2:
			w.WriteHeader(http.StatusBadGateway)
		case 3:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 4:
			_, _ = io.WriteString(w, `{"id":"j","state":"running"}`)
		case 5:
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			_, _ = io.WriteString(w, `{"id":"j","state":"succeeded"}`)
		}
	})
	if j, err := c.Wait(t.Context(), "j", nil); err != nil || j.State != "succeeded" {
		t.Errorf("Wait = %+v, %v", j, err)
	}
}

// What creates something is sent once: only the caller knows whether twice would do harm.
func TestSubmitIsSentOnce(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	c := flaky(t, func(n int64, w http.ResponseWriter, r *http.Request) {
		seen.Store(n)
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	})
	_, err := c.Submit(t.Context(), client.Spec{Type: "t"})
	if err == nil || seen.Load() != 1 {
		t.Errorf("Submit = %v after %d requests, want an error after one", err, seen.Load())
	}
	if !strings.Contains(err.Error(), "no answer from 127.0.0.1:") {
		t.Errorf("the error does not say who did not answer: %v", err)
	}
}

func TestProblemFromSomethingElse(t *testing.T) {
	t.Parallel()
	c := flaky(t, func(_ int64, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "<html>nginx</html>")
	})
	_, err := c.Upload(t.Context(), "a", strings.NewReader("a"))
	p, ok := errors.AsType[*client.Problem](err)
	if !ok || p.Status != http.StatusRequestEntityTooLarge || !strings.Contains(p.Error(), "Too Large") {
		t.Errorf("error = %v, want one that has the status in words", err)
	}
}

func TestDamagedDownload(t *testing.T) {
	t.Parallel()
	const sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of "hello"
	tests := []struct {
		name, body string
		output     client.Output
		want       string // in the error; "" for none
	}{
		{"whole", "hello", client.Output{Size: 5, SHA256: sum}, ""},
		{"whole, of a server without digests", "hello", client.Output{Size: 5}, ""},
		{"short", "hell", client.Output{Size: 5, SHA256: sum}, "4 bytes, not 5"},
		{"long", "hello!", client.Output{Size: 5, SHA256: sum}, "6 bytes, not 5"},
		{"altered", "jello", client.Output{Size: 5, SHA256: sum}, "damaged"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := flaky(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, test.body) })
			test.output.URL = "/out"
			err := c.Download(t.Context(), test.output, io.Discard)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("Download = %v, want %q", err, test.want)
			}
		})
	}
}

// Whatever a server answers as an address, the key goes to the configured one.
func TestKeyStaysWithTheServer(t *testing.T) {
	t.Parallel()
	foreign := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a foreign server was asked") }))
	t.Cleanup(foreign.Close)
	c := flaky(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/mill/out" || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("asked for %s with %q", r.URL.Path, r.Header.Get("Authorization"))
		}
		_, _ = io.WriteString(w, "ok")
	})
	c.URL, c.Key = c.URL+"/mill", "secret"
	if err := c.Download(t.Context(), client.Output{URL: foreign.URL + "/out", Size: 2}, io.Discard); err != nil {
		t.Error(err)
	}
}
