package rest_test

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

var bytesKind = header("Content-Type", "application/octet-stream")

func keyed(key string) option { return header("Idempotency-Key", key) }

// wantReplay checks that an answer is the first one again.
func wantReplay(t *testing.T, first, again answer) {
	t.Helper()
	if again.StatusCode != first.StatusCode || !bytes.Equal(again.body, first.body) || again.Header.Get("Location") != first.Header.Get("Location") ||
		again.Header.Get("Idempotency-Replayed") != "true" || first.Header.Get("Idempotency-Replayed") != "" {
		t.Errorf("again = %d %v %s\nfirst = %d %v %s", again.StatusCode, again.Header, again.body, first.StatusCode, first.Header, first.body)
	}
}

func wantReused(t *testing.T, a answer) {
	t.Helper()
	if p := wantProblem(t, a, http.StatusUnprocessableEntity); p.Code != "idempotency_key_reused" {
		t.Errorf("problem = %s", a.body)
	}
}

func (m *mill) jobs() int {
	m.t.Helper()
	jobs, err := m.Ledger.List(m.t.Context(), millrace.DefaultTenant, store.JobFilter{Limit: 20_000})
	m.must(err)
	return len(jobs)
}

func TestKeyOfAJob(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f, other := m.upload("a", "x"), m.upload("b", "y")
	body := func(id string) string {
		return `{"type":"compute.checksum","input":{"file":"` + id + `"},"cache":false,"tags":["<&>"],"unique":{"key":"u"}}`
	}
	first := m.postJSON("/v1/jobs", body(f.ID), keyed("k1"))
	j := read[job](t, first, http.StatusAccepted)
	wantReplay(t, first, m.postJSON("/v1/jobs", body(f.ID), keyed("k1")))
	// Order and space are not what a request asks for.
	wantReplay(t, first, m.postJSON("/v1/jobs", ` {"unique":{"key":"u"}, "tags":["\u003c&>"], "cache":false,"input":{"file":"`+f.ID+`"},"type":"compute.checksum"} `, keyed("k1")))
	wantReused(t, m.postJSON("/v1/jobs", body(other.ID), keyed("k1")))
	wantReused(t, m.postJSON("/v1/jobs/batch", "["+body(f.ID)+"]", keyed("k1")))
	wantReused(t, m.do(http.MethodPost, "/v1/files", strings.NewReader("x"), bytesKind, keyed("k1")))
	if n := m.jobs(); n != 1 {
		t.Errorf("%d jobs exist, want 1", n)
	}

	// The repetition works when the job is over and its input gone, and with ?wait= it tells the end.
	m.finish(m.claim(j.ID), store.OutcomeSucceeded, "")
	if a := m.do(http.MethodDelete, f.URL, nil); a.StatusCode != http.StatusNoContent {
		t.Fatal(a.StatusCode)
	}
	wantReplay(t, first, m.postJSON("/v1/jobs", body(f.ID), keyed("k1")))
	waited := m.postJSON("/v1/jobs?wait=10s", body(f.ID), keyed("k1"))
	if done := read[job](t, waited, http.StatusOK); done.ID != j.ID || done.State != millrace.Succeeded || waited.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the repetition that waits = %s", waited.body)
	}
	if a := m.do(http.MethodDelete, j.URL, nil); a.StatusCode != http.StatusNoContent {
		t.Fatal(a.StatusCode)
	}
	wantReplay(t, first, m.postJSON("/v1/jobs?wait=10s", body(f.ID), keyed("k1")))
}

func TestRefusedRequestsTakeNoKey(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	good := `{"type":"compute.checksum","input":{"file":"` + f.ID + `"},"cache":false,"unique":{"key":"u"}}`
	holder := read[job](t, m.postJSON("/v1/jobs", good), http.StatusAccepted)
	for _, tt := range []struct {
		body   string
		status int
	}{
		{`{"type":`, 400}, {`{"type":"no.such"}`, 422}, {`{"type":"compute.checksum","input":{"file":"` + newID() + `"}}`, 422}, {good, 409},
	} {
		wantProblem(t, m.postJSON("/v1/jobs", tt.body, keyed("k")), tt.status)
	}
	m.finish(m.claim(holder.ID), store.OutcomeSucceeded, "")
	first := m.postJSON("/v1/jobs", good, keyed("k"))
	read[job](t, first, http.StatusAccepted)
	wantReplay(t, first, m.postJSON("/v1/jobs", good, keyed("k")))
}

func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	body := `{"type":"compute.checksum","input":{"file":"` + f.ID + `"},"cache":false}`
	for _, key := range []string{"", strings.Repeat("k", 256), "k\xfc", "\xf0\x9f\x98\x80"} {
		if p := wantProblem(t, m.postJSON("/v1/jobs", body, keyed(key)), http.StatusBadRequest); len(p.Errors) != 1 || p.Errors[0].Pointer != "/headers/Idempotency-Key" {
			t.Errorf("key %q: %+v", key, p)
		}
	}
	twice := func(r *http.Request) { r.Header["Idempotency-Key"] = []string{"a", "b"} }
	for path, kind := range map[string]option{"/v1/jobs": header("Content-Type", "application/json"), "/v1/jobs/batch": header("Content-Type", "application/json"),
		"/v1/files": bytesKind, "/v1/jobs/" + newID() + "/retry": header("Content-Type", "application/json")} {
		wantProblem(t, m.do(http.MethodPost, path, strings.NewReader(body), kind, twice), http.StatusBadRequest)
	}
	if a := m.postJSON("/v1/jobs", body, keyed(strings.Repeat("~", 255))); a.StatusCode != http.StatusAccepted {
		t.Errorf("a key of 255 characters = %d %s", a.StatusCode, a.body)
	}
}

func TestKeyOfACachedJob(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	body := `{"type":"compute.checksum","input":{"file":"` + f.ID + `"}}`
	m.finish(m.claim(read[job](t, m.postJSON("/v1/jobs", body), http.StatusAccepted).ID), store.OutcomeSucceeded, "sum")
	first := m.postJSON("/v1/jobs", body, keyed("k"))
	if j := read[job](t, first, http.StatusOK); !j.Cached {
		t.Fatalf("not from the cache: %s", first.body)
	}
	wantReplay(t, first, m.postJSON("/v1/jobs", body, keyed("k")))
}

func TestKeyOfAFile(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	send := func(name, data, key string) answer {
		return m.do(http.MethodPost, "/v1/files?name="+name, strings.NewReader(data), bytesKind, keyed(key))
	}
	first := send("a", "some bytes", "k")
	read[file](t, first, http.StatusCreated)
	wantReplay(t, first, send("a", "some bytes", "k"))
	wantReused(t, send("b", "some bytes", "k"))
	wantReused(t, send("a", "other bytes", "k"))
	if n, err := m.Blobs.Sweep(t.Context(), time.Now().Add(time.Hour)); n != 0 || err != nil {
		t.Errorf("%d temporary blobs were left behind, %v", n, err)
	}
	if list := read[struct{ Items []file }](t, m.get("/v1/files"), http.StatusOK); len(list.Items) != 1 {
		t.Errorf("%d files, want 1", len(list.Items))
	}
}

func TestKeyOfAForm(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	send := func(data string, more ...[2]string) answer {
		body, kind := form(t, append([][2]string{{"type", "compute.checksum"}, {"cache", "false"}, {"@file", data}}, more...)...)
		return m.do(http.MethodPost, "/v1/jobs", body, kind, keyed("k"))
	}
	first := send("data", [2]string{"tags", "a"})
	read[job](t, first, http.StatusAccepted)
	wantReplay(t, first, send("data", [2]string{"tags", "a"})) // another boundary, the same form
	wantReused(t, send("data", [2]string{"tags", "b"}))
	wantReused(t, send("other", [2]string{"tags", "a"}))
	if n := m.jobs(); n != 1 {
		t.Errorf("%d jobs, want 1", n)
	}
	if list := read[struct{ Items []file }](t, m.get("/v1/files"), http.StatusOK); len(list.Items) != 1 {
		t.Errorf("%d files, want 1", len(list.Items))
	}
}

func TestKeyOfARetry(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	j := m.submit(f.ID)
	path := "/v1/jobs/" + j.ID + "/retry"
	wantProblem(t, m.do(http.MethodPost, path, nil, keyed("k")), http.StatusConflict)
	m.finish(m.claim(j.ID), store.OutcomeFailed, "")
	first := m.do(http.MethodPost, path, nil, keyed("k"))
	if again := read[job](t, first, http.StatusOK); again.Run != 2 || again.State != millrace.Queued {
		t.Fatalf("retry = %s", first.body)
	}
	m.finish(m.claim(j.ID), store.OutcomeFailed, "")
	wantReplay(t, first, m.do(http.MethodPost, path, nil, keyed("k")))
	if got := m.Job(j.ID); got.Run != 2 || got.State != millrace.Failed {
		t.Errorf("after the repetition the job is in run %d, %s", got.Run, got.State)
	}
	other := m.submit(f.ID)
	wantReused(t, m.do(http.MethodPost, "/v1/jobs/"+other.ID+"/retry", nil, keyed("k")))
}

// TestRacersUnderOneKey sends the same request many times at once, in each of its forms.
func TestRacersUnderOneKey(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	one := `{"type":"compute.checksum","input":{"file":"` + f.ID + `"},"cache":false}`
	for _, tt := range []struct {
		name   string
		send   func(key string) answer
		status int
		count  func() int
	}{
		{"job", func(key string) answer { return m.postJSON("/v1/jobs", one, keyed(key)) }, 202, m.jobs},
		{"batch", func(key string) answer { return m.postJSON("/v1/jobs/batch", "["+one+"]", keyed(key)) }, 202, m.jobs},
		{"file", func(key string) answer {
			return m.do(http.MethodPost, "/v1/files", strings.NewReader("bytes"), bytesKind, keyed(key))
		}, 201, func() int {
			files, err := m.Ledger.ListFiles(t.Context(), millrace.DefaultTenant, "", 1000)
			m.must(err)
			return len(files)
		}},
	} {
		before := tt.count()
		const racers = 16
		answers := make([]answer, racers)
		var all sync.WaitGroup
		for i := range racers {
			all.Go(func() { answers[i] = tt.send("race-" + tt.name) })
		}
		all.Wait()
		replays := 0
		for _, a := range answers {
			if a.StatusCode != tt.status || !bytes.Equal(a.body, answers[0].body) {
				t.Errorf("%s: %d %s, want %d %s", tt.name, a.StatusCode, a.body, tt.status, answers[0].body)
			}
			if a.Header.Get("Idempotency-Replayed") == "true" {
				replays++
			}
		}
		if made := tt.count() - before; made != 1 || replays != racers-1 {
			t.Errorf("%s: %d were made and %d replayed, want 1 and %d", tt.name, made, replays, racers-1)
		}
	}
}

func TestKeysBelongToTheirTenant(t *testing.T) {
	t.Parallel()
	m := newMill(t, secured(t))
	acme, other := token(t, "acme", ""), token(t, "other", "")
	first := m.do(http.MethodPost, "/v1/files", strings.NewReader("x"), bytesKind, keyed("k"), acme)
	read[file](t, first, http.StatusCreated)
	second := m.do(http.MethodPost, "/v1/files", strings.NewReader("y"), bytesKind, keyed("k"), other)
	read[file](t, second, http.StatusCreated)
	if second.Header.Get("Idempotency-Replayed") != "" {
		t.Error("one tenant hears another's answer")
	}
}
