package rest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// masks are what differs from run to run in a job.
var timeFields = []string{"created_at", "run_at", "started_at", "finished_at", "expires_at"}

func TestJobAsTheContractHasIt(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a.txt", "hello")
	a := m.postJSON("/v1/jobs", `{"type":"compute.checksum","input":{"file":"`+f.ID+`"},"params":{"algorithms":["md5"]},
		"priority":"high","tags":["invoice"],"metadata":{"order":"42"},"max_attempts":8,"timeout":"5m","cache":false,
		"backoff":{"initial":"1s","max":"10m","factor":2,"jitter":0.2},"retention":"24h"}`)
	got := read[map[string]any](t, a, http.StatusAccepted)
	id, _ := got["id"].(string)
	if a.Header.Get("Location") != "/v1/jobs/"+id {
		t.Errorf("Location = %q", a.Header.Get("Location"))
	}
	want := map[string]any{
		"id": id, "type": "compute.checksum", "state": "queued", "priority": "high", "params": map[string]any{"algorithms": []any{"md5"}},
		"input": map[string]any{"file": f.ID}, "inputs": []any{map[string]any{"file": f.ID}}, "tags": []any{"invoice"},
		"metadata": map[string]any{"order": "42"}, "run": 1.0, "attempt": 0.0, "max_attempts": 8.0, "attempts": []any{}, "error": nil,
		"progress": map[string]any{"done": 0.0, "total": 0.0, "unit": "", "percent": 0.0, "message": ""},
		"result":   nil, "outputs": []any{}, "cached": false, "unique": nil, "schedule": nil, "deadline": nil, "started_at": nil, "finished_at": nil, "expires_at": nil, "url": "/v1/jobs/" + id,
	}
	checkTimes(t, got, "created_at", "run_at")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("job (-want +got):\n%s", diff)
	}
	row := m.Job(id)
	if row.Timeout != 5*time.Minute || row.Retention != 24*time.Hour || row.Backoff.Factor != 2 {
		t.Errorf("the ledger has %+v", row)
	}

	c := m.claim(id)
	m.finish(c, store.OutcomeSucceeded, "the sums")
	done := read[map[string]any](t, m.get("/v1/jobs/"+id), http.StatusOK)
	checkTimes(t, done, timeFields...)
	attempt := done["attempts"].([]any)[0].(map[string]any)
	checkTimes(t, attempt, "started_at", "ended_at")
	if diff := cmp.Diff(map[string]any{"n": 1.0, "run": 1.0, "worker": m.worker, "outcome": "succeeded", "spent": attempt["spent"], "error": nil}, attempt); diff != "" {
		t.Errorf("attempt (-want +got):\n%s", diff)
	}
	out := done["outputs"].([]any)[0].(map[string]any)
	if out["url"] != "/v1/jobs/"+id+"/outputs/sums%20%281%29.txt" || out["size"] != 8.0 {
		t.Errorf("output = %v", out)
	}
	if p := done["progress"].(map[string]any); p["percent"] != 100.0 {
		t.Errorf("progress of a succeeded job = %v", p)
	}
}

// checkTimes checks that fields are RFC 3339 in UTC with milliseconds and takes them out.
func checkTimes(t *testing.T, doc map[string]any, fields ...string) {
	t.Helper()
	for _, field := range fields {
		text, _ := doc[field].(string)
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", text); err != nil {
			t.Errorf("%s = %v: %v", field, doc[field], err)
		}
		delete(doc, field)
	}
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	j := m.submit(m.upload("a", "x").ID)
	wantProblem(t, m.get(j.URL+"/output"), http.StatusNotFound)
	m.finish(m.claim(j.ID), store.OutcomeSucceeded, "the sums")
	j = read[job](t, m.get(j.URL), http.StatusOK)
	for _, path := range []string{j.URL + "/output", j.Outputs[0].URL, j.URL + "/outputs/" + url.QueryEscape("x")} {
		a := m.get(path)
		if strings.HasSuffix(path, "/x") {
			wantProblem(t, a, http.StatusNotFound)
			continue
		}
		if a.StatusCode != http.StatusOK || string(a.body) != "the sums" || a.Header.Get("Content-Disposition") != `attachment; filename="sums (1).txt"` {
			t.Errorf("GET %s = %d %q %v", path, a.StatusCode, a.body, a.Header)
		}
	}
	if a := m.do(http.MethodHead, j.Outputs[0].URL, nil, header("Range", "bytes=0-1")); a.StatusCode != http.StatusPartialContent {
		t.Errorf("HEAD with a range = %d", a.StatusCode)
	}
	if a := m.do(http.MethodDelete, j.URL, nil); a.StatusCode != http.StatusNoContent {
		t.Fatalf("DELETE = %d %s", a.StatusCode, a.body)
	}
	wantProblem(t, m.get(j.URL), http.StatusNotFound)
	wantProblem(t, m.get(j.Outputs[0].URL), http.StatusNotFound)
}

func TestCourseOfAJob(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	queued, failed, running := m.submit(f.ID), m.submit(f.ID), m.submit(f.ID)
	m.finish(m.claim(failed.ID), store.OutcomeFailed, "")
	held := m.claim(running.ID)
	post := func(j job, verb string) answer { return m.do(http.MethodPost, j.URL+"/"+verb, nil) }

	wantProblem(t, m.do(http.MethodDelete, queued.URL, nil), http.StatusConflict)
	wantProblem(t, m.do(http.MethodDelete, running.URL, nil), http.StatusConflict)
	wantProblem(t, post(queued, "retry"), http.StatusConflict)
	if j := read[job](t, post(queued, "cancel"), http.StatusOK); j.State != millrace.Canceled {
		t.Errorf("canceled while queued = %s", j.State)
	}
	wantProblem(t, post(queued, "cancel"), http.StatusConflict)
	if j := read[job](t, post(running, "cancel"), http.StatusOK); j.State != millrace.Running {
		t.Errorf("canceled while running = %s, want running until its worker answers", j.State)
	}
	reply, err := m.Ledger.Beat(t.Context(), store.Beat{Worker: m.worker, Running: []store.Holding{{Job: running.ID, Fence: held.Job.Fence}}})
	if err != nil || len(reply.Cancel) != 1 {
		t.Errorf("the worker was told %+v, %v; want one cancel", reply, err)
	}
	if j := read[job](t, post(failed, "retry"), http.StatusOK); j.State != millrace.Queued || j.Run != 2 {
		t.Errorf("retried = %s in run %d", j.State, j.Run)
	}
	if j := read[job](t, post(queued, "retry"), http.StatusOK); j.Run != 2 {
		t.Errorf("retried after cancel = run %d", j.Run)
	}
	for _, verb := range []string{"cancel", "retry"} {
		wantProblem(t, m.do(http.MethodPost, "/v1/jobs/"+newID()+"/"+verb, nil), http.StatusNotFound)
		wantProblem(t, m.postJSON(queued.URL+"/"+verb, `{"force":true}`), http.StatusBadRequest)
	}
	if a := m.postJSON(queued.URL+"/cancel", `{}`); a.StatusCode != http.StatusOK {
		t.Errorf("cancel with an empty object = %d %s", a.StatusCode, a.body)
	}
}

func TestCachedJob(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	body := func(name string) string {
		return `{"type":"compute.checksum","input":{"file":"` + m.upload(name, "same bytes").ID + `"}}`
	}
	first := read[job](t, m.postJSON("/v1/jobs", body("a")), http.StatusAccepted)
	m.finish(m.claim(first.ID), store.OutcomeSucceeded, "")
	second := read[job](t, m.postJSON("/v1/jobs", body("b")), http.StatusOK)
	if !second.Cached || second.State != millrace.Succeeded || second.ID == first.ID || string(second.Result) != `{"a":1}` {
		t.Errorf("second = %+v", second)
	}
}

func TestScheduledJob(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	for _, when := range []string{`"delay":"1h"`, `"run_at":"` + time.Now().Add(time.Hour).Format(time.RFC3339) + `"`} {
		j := read[job](t, m.postJSON("/v1/jobs", `{"type":"compute.checksum","input":{"file":"`+f.ID+`"},`+when+`}`), http.StatusAccepted)
		if j.State != millrace.Scheduled {
			t.Errorf("with %s the job is %s", when, j.State)
		}
	}
}

func TestListJobs(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	make := func(extra string) job {
		return read[job](t, m.postJSON("/v1/jobs", `{"input":{"file":"`+f.ID+`"},"cache":false,`+extra+`}`), http.StatusAccepted)
	}
	a := make(`"type":"compute.checksum","tags":["red","blue"]`)
	b := make(`"type":"file.compress","tags":["red"]`)
	c := make(`"type":"compute.checksum"`)
	m.finish(m.claim(a.ID), store.OutcomeFailed, "")
	ahead, behind := url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339)), url.QueryEscape(time.Now().Add(-time.Hour).Format(time.RFC3339))
	for _, tt := range []struct {
		query string
		want  []job
	}{
		{"", []job{c, b, a}}, {"?state=queued", []job{c, b}}, {"?state=failed", []job{a}}, {"?state=waiting", nil},
		{"?type=compute.checksum", []job{c, a}}, {"?tag=red", []job{b, a}}, {"?tag=red&type=file.compress&state=queued", []job{b}},
		{"?created_after=" + behind, []job{c, b, a}}, {"?created_after=" + ahead, nil}, {"?created_before=" + behind, nil}, {"?limit=1", []job{c}},
	} {
		p := read[struct {
			Items []job   `json:"items"`
			Next  *string `json:"next_cursor"`
		}](t, m.get("/v1/jobs"+tt.query), http.StatusOK)
		if got, want := ids(p.Items), ids(tt.want); got != want {
			t.Errorf("GET /v1/jobs%s = %s, want %s", tt.query, got, want)
		}
		if (p.Next != nil) != (tt.query == "?limit=1") {
			t.Errorf("GET /v1/jobs%s has next_cursor %v", tt.query, p.Next)
		}
		if p.Items == nil {
			t.Errorf("GET /v1/jobs%s has items null", tt.query)
		}
	}
	for _, query := range []string{
		"limit=0", "limit=501", "limit=x", "cursor=x", "cursor=" + newID(), "state=done", "created_after=yesterday", "stat=failed", "tag=a&tag=b", "tag=%zz",
	} {
		wantProblem(t, m.get("/v1/jobs?"+query), http.StatusBadRequest)
	}
}

func ids(jobs []job) string {
	var list []string
	for _, j := range jobs {
		list = append(list, j.ID)
	}
	return strings.Join(list, " ")
}

func TestSubmitForm(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	body, kind := form(t, [2]string{"type", "compute.checksum"}, [2]string{"params", `{"algorithms":["sha1"]}`}, [2]string{"@file", "hello"},
		[2]string{"priority", "low"}, [2]string{"delay", "1h"}, [2]string{"max_attempts", "3"}, [2]string{"cache", "false"},
		[2]string{"tags", "a"}, [2]string{"tags", "b"}, [2]string{"metadata", `{"k":"v"}`}, [2]string{"timeout", "1m"}, [2]string{"backoff", `{"initial":"3s"}`})
	j := read[job](t, m.do(http.MethodPost, "/v1/jobs", body, kind), http.StatusAccepted)
	row := m.Job(j.ID)
	if row.Priority != millrace.Low || row.State != millrace.Scheduled || row.MaxAttempts != 3 || row.Timeout != time.Minute ||
		row.Backoff.Initial != 3*time.Second || strings.Join(row.Tags, ",") != "a,b" || string(row.Params) != `{"algorithms":["sha1"]}` {
		t.Errorf("the ledger has %+v", row)
	}
	f := read[file](t, m.get("/v1/files/"+j.Input.File), http.StatusOK)
	if f.Name != "photo.txt" || f.Size != 5 {
		t.Errorf("input = %+v", f)
	}
	body, kind = form(t, [2]string{"type", "file.compress"}, [2]string{"tags", `["a","b"]`}, [2]string{"input", `{"file":"` + f.ID + `"}`})
	j = read[job](t, m.do(http.MethodPost, "/v1/jobs", body, kind), http.StatusAccepted)
	if len(j.Tags) != 2 || j.Input.File != f.ID {
		t.Errorf("job on a file by id = %+v", j)
	}
}

func TestFormsThatAreRefusedLeaveNothing(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	data := [2]string{"@file", "hello"}
	sum := [2]string{"type", "compute.checksum"}
	for _, tt := range []struct {
		name    string
		fields  [][2]string
		status  int
		pointer string
	}{
		{"no type", [][2]string{data}, 422, "/type"},
		{"unknown type", [][2]string{{"type", "image.explode"}, data}, 422, "/type"},
		{"type of a later release", [][2]string{{"type", "file.archive"}, data}, 422, "/type"},
		{"wrong params", [][2]string{sum, {"params", `{"algorithms":["rot13"]}`}, data}, 422, "/params/algorithms/0"},
		{"params are no JSON", [][2]string{data, sum, {"params", `{`}}, 422, "/params"},
		{"too many files", [][2]string{sum, data, data}, 422, "/input"},
		{"no file", [][2]string{sum}, 422, "/input"},
		{"unknown field", [][2]string{sum, data, {"colour", "red"}}, 400, "/colour"},
		{"field that is there twice", [][2]string{sum, sum, data}, 400, "/type"},
		{"number", [][2]string{sum, data, {"max_attempts", "many"}}, 422, "/max_attempts"},
		{"boolean", [][2]string{sum, data, {"cache", "maybe"}}, 422, "/cache"},
		{"duration", [][2]string{sum, data, {"timeout", "soon"}}, 422, "/timeout"},
		{"nested unknown field", [][2]string{sum, data, {"backoff", `{"x":1}`}}, 400, "/backoff/x"},
		{"file and input", [][2]string{sum, data, {"input", `{"file":"` + newID() + `"}`}}, 422, "/file"},
		{"webhook", [][2]string{sum, data, {"webhook", `{}`}}, 422, "/webhook"},
		{"NUL", [][2]string{sum, data, {"tags", "a\x00b"}}, 400, "/tags"},
		{"not UTF-8", [][2]string{sum, data, {"tags", "a\xff"}}, 400, "/tags"},
		{"an object too deep", [][2]string{sum, data, {"metadata", strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70)}}, 400, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body, kind := form(t, tt.fields...)
			p := wantProblem(t, m.do(http.MethodPost, "/v1/jobs", body, kind), tt.status)
			if tt.pointer != "" && (len(p.Errors) == 0 || p.Errors[0].Pointer != tt.pointer) {
				t.Errorf("errors = %+v, want %s", p.Errors, tt.pointer)
			}
			files, err := m.Ledger.ListFiles(t.Context(), millrace.DefaultTenant, "", 10)
			if err != nil || len(files) != 0 {
				t.Errorf("%d files were left behind, %v", len(files), err)
			}
			if n, err := m.Blobs.Sweep(t.Context(), time.Now().Add(time.Hour)); err != nil || n != 0 {
				t.Errorf("%d temporary blobs were left behind, %v", n, err)
			}
			if err := m.Blobs.Keys(t.Context(), time.Now().Add(time.Hour), func(key string) error { return errors.New(key) }); err != nil {
				t.Errorf("a blob was left behind: %v", err)
			}
		})
	}
}

func TestSubmitRefusals(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	ok := `"type":"compute.checksum","input":{"file":"` + f.ID + `"}`
	inAnHour := time.Now().Add(time.Hour).Format(time.RFC3339)
	for _, tt := range []struct {
		name, body string
		status     int
		code       string
		pointer    string
	}{
		{"empty", ``, 400, "malformed", ""},
		{"no JSON", `type=x`, 400, "malformed", ""},
		{"cut off", `{"type":"x"`, 400, "malformed", ""},
		{"null", `null`, 400, "malformed", ""},
		{"an array", `[]`, 400, "malformed", ""},
		{"two objects", `{` + ok + `} {}`, 400, "malformed", ""},
		{"not UTF-8", "{\"type\":\"\xff\"}", 400, "malformed", ""},
		{"NUL", `{` + ok + `,"tags":["a\u0000b"]}`, 400, "malformed", ""},
		{"unknown field", `{` + ok + `,"colour":"red"}`, 400, "malformed", "/colour"},
		{"unknown field inside", `{` + ok + `,"backoff":{"initial":"1s","steps":3}}`, 400, "malformed", "/backoff/steps"},
		{"unknown field in a list", `{"type":"compute.checksum","inputs":[{"file":"` + f.ID + `"},{"fil":"x"}]}`, 400, "malformed", "/inputs/1/fil"},
		{"no type", `{"input":{"file":"` + f.ID + `"}}`, 422, "invalid", "/type"},
		{"type is no string", `{"type":7}`, 422, "invalid", "/type"},
		{"unknown type", `{"type":"image.explode","input":{"file":"` + f.ID + `"}}`, 422, "invalid", "/type"},
		{"type of a later release", `{"type":"compute.wasm","input":{"file":"` + f.ID + `"}}`, 422, "not_available", "/type"},
		{"preset that does not exist", `{` + ok + `,"params":{"preset":"thumb"}}`, 422, "invalid", "/params/preset"},
		{"preset that is no name", `{` + ok + `,"params":{"preset":"a b"}}`, 422, "invalid", "/params/preset"},
		{"preset that is no text", `{` + ok + `,"params":{"preset":{"width":1}}}`, 422, "invalid", "/params/preset"},
		{"unknown param", `{` + ok + `,"params":{"with":1}}`, 422, "invalid", "/params/with"},
		{"params is a list", `{` + ok + `,"params":[]}`, 422, "invalid", "/params"},
		{"missing input", `{"type":"compute.checksum"}`, 422, "invalid", "/input"},
		{"input without file", `{"type":"compute.checksum","input":{}}`, 422, "invalid", "/input/file"},
		{"input that does not exist", `{"type":"compute.checksum","input":{"file":"` + newID() + `"}}`, 422, "invalid_input", "/input/file"},
		{"watermark that does not exist", `{"type":"image.resize","input":{"file":"` + f.ID + `"},"params":{"watermark":{"file":"` + newID() + `"}}}`, 422, "invalid_input", "/params/watermark/file"},
		{"input that is no id", `{"type":"compute.checksum","input":{"file":"../x"}}`, 422, "invalid", "/input/file"},
		{"input and inputs", `{` + ok + `,"inputs":[]}`, 422, "invalid", "/inputs"},
		{"input by URL", `{"type":"compute.checksum","input":{"url":"http://x/"}}`, 422, "not_available", "/input/url"},
		{"input by job", `{"type":"compute.checksum","inputs":[{"job":"x"}]}`, 422, "not_available", "/inputs/0/job"},
		{"priority", `{` + ok + `,"priority":"urgent"}`, 422, "invalid", "/priority"},
		{"delay and run_at", `{` + ok + `,"delay":"1s","run_at":"2030-01-01T00:00:00Z"}`, 422, "invalid", "/delay"},
		{"delay is a number", `{` + ok + `,"delay":10}`, 422, "invalid", "/delay"},
		{"delay without unit", `{` + ok + `,"delay":"10"}`, 422, "invalid", "/delay"},
		{"negative delay", `{` + ok + `,"delay":"-1s"}`, 422, "invalid", "/delay"},
		{"run_at", `{` + ok + `,"run_at":"tomorrow"}`, 422, "invalid", "/run_at"},
		{"timeout of zero", `{` + ok + `,"timeout":"0s"}`, 422, "invalid", "/timeout"},
		{"timeout beyond 12 h", `{` + ok + `,"timeout":"13h"}`, 422, "invalid", "/timeout"},
		{"no attempts", `{` + ok + `,"max_attempts":0}`, 422, "invalid", "/max_attempts"},
		{"half an attempt", `{` + ok + `,"max_attempts":1.5}`, 422, "invalid", "/max_attempts"},
		{"jitter", `{` + ok + `,"backoff":{"jitter":2}}`, 422, "invalid", "/backoff/jitter"},
		{"backoff is a string", `{` + ok + `,"backoff":"1s"}`, 422, "invalid", "/backoff"},
		{"too many tags", `{` + ok + `,"tags":["` + strings.Repeat(`x","`, 20) + `y"]}`, 422, "invalid", "/tags"},
		{"metadata is a list", `{` + ok + `,"metadata":[]}`, 422, "invalid", "/metadata"},
		{"metadata too large", `{` + ok + `,"metadata":{"a":"` + strings.Repeat("x", 17<<10) + `"}}`, 422, "invalid", "/metadata"},
		{"params too large", `{` + ok + `,"params":{"a":"` + strings.Repeat("x", 65<<10) + `"}}`, 422, "invalid", "/params"},
		{"unique without key", `{` + ok + `,"unique":{"ttl":"1h"}}`, 422, "invalid", "/unique/key"},
		{"unique key too long", `{` + ok + `,"unique":{"key":"` + strings.Repeat("k", 256) + `"}}`, 422, "invalid", "/unique/key"},
		{"unique for no time", `{` + ok + `,"unique":{"key":"k","ttl":"0s"}}`, 422, "invalid", "/unique/ttl"},
		{"unique for ages", `{` + ok + `,"unique":{"key":"k","ttl":"9000h"}}`, 422, "invalid", "/unique/ttl"},
		{"unique is a string", `{` + ok + `,"unique":"k"}`, 422, "invalid", "/unique"},
		{"unknown field of unique", `{` + ok + `,"unique":{"key":"k","scope":"x"}}`, 400, "malformed", "/unique/scope"},
		{"webhook", `{` + ok + `,"webhook":{"url":"http://x"}}`, 422, "not_available", "/webhook"},
		{"deadline that has passed", `{` + ok + `,"deadline":"2020-01-01T00:00:00Z"}`, 422, "invalid", "/deadline"},
		{"deadline before run_at", `{` + ok + `,"delay":"2h","deadline":"` + inAnHour + `"}`, 422, "invalid", "/deadline"},
		{"deadline that is no time", `{` + ok + `,"deadline":"soon"}`, 422, "invalid", "/deadline"},
		{"deadline that is a number", `{` + ok + `,"deadline":1}`, 422, "invalid", "/deadline"},
		{"on_unavailable", `{` + ok + `,"on_unavailable":"fail"}`, 422, "not_available", "/on_unavailable"},
		{"65 levels", `{` + ok + `,"metadata":` + strings.Repeat(`{"a":`, 64) + `1` + strings.Repeat(`}`, 64) + `}`, 400, "malformed", ""},
		{"10^6 levels", strings.Repeat("[", 1_000_000), 400, "malformed", ""},
		{"larger than 1 MiB", `{` + ok + `,"metadata":{"a":"` + strings.Repeat("x", 1<<20) + `"}}`, 413, "too_large", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := wantProblem(t, m.postJSON("/v1/jobs", tt.body), tt.status)
			if p.Code != tt.code {
				t.Errorf("code = %q (%s), want %q", p.Code, p.Detail, tt.code)
			}
			if tt.pointer != "" && (len(p.Errors) == 0 || p.Errors[0].Pointer != tt.pointer) {
				t.Errorf("errors = %+v, want %s", p.Errors, tt.pointer)
			}
		})
	}
}

func TestSubmitMediaTypesAndHeaders(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	body := `{"type":"compute.checksum","input":{"file":"` + m.upload("a", "x").ID + `"}}`
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/vnd.x+json", "json"} {
		wantProblem(t, m.postJSON("/v1/jobs", body, header("Content-Type", kind)), http.StatusUnsupportedMediaType)
	}
	if a := m.postJSON("/v1/jobs", body, header("Content-Type", "application/json; charset=UTF-8"), header("Accept", "text/csv")); a.StatusCode != http.StatusAccepted {
		t.Errorf("charset=UTF-8 = %d %s", a.StatusCode, a.body)
	}
	wantProblem(t, m.postJSON("/v1/jobs?weit=1s", body), http.StatusBadRequest)
	wantProblem(t, m.postJSON("/v1/jobs?wait=2h", body), http.StatusBadRequest)
}

func TestDuplicateKeysAndNulls(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	id := m.upload("a", "x").ID
	a := m.postJSON("/v1/jobs", `{"type":"x.y","type":"compute.checksum","input":{"file":"`+id+`"},"unique":null,"tags":null,"metadata":null,"run_at":null}`)
	if j := read[job](t, a, http.StatusAccepted); j.Tags == nil {
		t.Error("tags are null in the answer")
	}
}

func TestDeepestAllowed(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	depth := 63 // the body is the 64th
	doc := strings.Repeat(`{"a":`, depth) + `"}}}{{{[[["` + strings.Repeat(`}`, depth)
	a := m.postJSON("/v1/jobs", `{"type":"compute.checksum","input":{"file":"`+m.upload("a", "x").ID+`"},"metadata":`+doc+`}`)
	if a.StatusCode != http.StatusAccepted {
		t.Errorf("64 levels = %d %s", a.StatusCode, a.body)
	}
}

func TestTaskTypes(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	list := read[struct{ Items []map[string]any }](t, m.get("/v1/task-types"), http.StatusOK)
	if len(list.Items) < 5 {
		t.Fatalf("%d task types", len(list.Items))
	}
	for _, item := range list.Items {
		one := read[map[string]any](t, m.get(fmt.Sprint(item["url"])), http.StatusOK)
		if diff := cmp.Diff(item, one); diff != "" {
			t.Errorf("list and single differ:\n%s", diff)
		}
		if one["title"] == "" || one["schema"] == nil || len(one["examples"].([]any)) == 0 {
			t.Errorf("%v lacks a title, a schema or examples", one["type"])
		}
	}
	wantProblem(t, m.get("/v1/task-types/no.such"), http.StatusNotFound)
}

func TestQueuesAndWorkers(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	m.submit(m.upload("a", "x").ID)
	queues := read[struct {
		Items []struct {
			Name    string `json:"name"`
			Depth   int    `json:"depth"`
			Latency string `json:"latency"`
		} `json:"items"`
		AsOf string `json:"as_of"`
	}](t, m.get("/v1/queues"), http.StatusOK)
	depths := map[string]int{}
	for _, q := range queues.Items {
		depths[q.Name] = q.Depth
		if _, err := time.ParseDuration(q.Latency); err != nil {
			t.Errorf("latency of %s: %v", q.Name, err)
		}
	}
	if len(depths) != 7 || depths["io.normal"] != 1 || queues.AsOf == "" {
		t.Errorf("queues = %+v", queues)
	}
	workers := read[struct{ Items []json.RawMessage }](t, m.get("/v1/workers"), http.StatusOK)
	if len(workers.Items) != 1 || !strings.Contains(string(workers.Items[0]), m.worker) {
		t.Errorf("workers = %s", workers.Items)
	}
}
