package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/internal/auth"
	"github.com/millrace/millrace/internal/rest"
)

func (m *mill) putPreset(name, body string, options ...option) answer {
	m.t.Helper()
	return m.do(http.MethodPut, "/v1/presets/"+name, strings.NewReader(body), append([]option{header("Content-Type", "application/json")}, options...)...)
}

func TestPreset(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	a := m.putPreset("thumb", `{"type": "image.resize", "params": {"width": 200, "fit": "cover"}}`)
	got := read[map[string]any](t, a, http.StatusCreated)
	if a.Header.Get("Location") != "/v1/presets/thumb" || a.Header.Get("ETag") == "" {
		t.Errorf("Location = %q, ETag = %q", a.Header.Get("Location"), a.Header.Get("ETag"))
	}
	checkTimes(t, got, "created_at", "updated_at")
	want := map[string]any{
		"name": "thumb", "type": "image.resize", "params": map[string]any{"width": 200.0, "fit": "cover"}, "version": 1.0, "url": "/v1/presets/thumb",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("preset (-want +got):\n%s", diff)
	}
	if same := m.putPreset("thumb", `{"params":{"width":200,"fit":"cover"},"type":"image.resize"}`); same.StatusCode != http.StatusOK || same.Header.Get("ETag") != a.Header.Get("ETag") {
		t.Errorf("the same again = %d %s, want 200 and the same ETag", same.StatusCode, same.body)
	}
	second := m.putPreset("thumb", `{"type":"image.resize","params":{"width":300}}`)
	if got := read[map[string]any](t, second, http.StatusOK); got["version"] != 2.0 || second.Header.Get("ETag") == a.Header.Get("ETag") {
		t.Errorf("replaced = %v, ETag %s", got, second.Header.Get("ETag"))
	}
	one := m.get("/v1/presets/thumb")
	if string(one.body) != string(second.body) || one.Header.Get("ETag") != second.Header.Get("ETag") {
		t.Errorf("read = %s, want %s", one.body, second.body)
	}
	if a := m.do(http.MethodDelete, "/v1/presets/thumb", nil); a.StatusCode != http.StatusNoContent {
		t.Errorf("delete = %d", a.StatusCode)
	}
	for _, method := range []string{"GET", "DELETE"} {
		wantProblem(t, m.do(method, "/v1/presets/thumb", nil), http.StatusNotFound)
		wantProblem(t, m.do(method, "/v1/presets/no%20name", nil), http.StatusNotFound)
	}
}

func TestPresetMatch(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	body := func(width int) string { return fmt.Sprintf(`{"type":"image.resize","params":{"width":%d}}`, width) }
	wantProblem(t, m.putPreset("p", body(1), header("If-Match", "*")), http.StatusPreconditionFailed)
	first := m.putPreset("p", body(1), header("If-None-Match", "*"))
	read[any](t, first, http.StatusCreated)
	wantProblem(t, m.putPreset("p", body(1), header("If-None-Match", "*")), http.StatusPreconditionFailed)
	second := m.putPreset("p", body(2), header("If-Match", first.Header.Get("ETag")))
	read[any](t, second, http.StatusOK)
	for _, tag := range []string{first.Header.Get("ETag"), "W/" + second.Header.Get("ETag"), `"2"`, `"x-y"`, `""`, `"`} {
		p := wantProblem(t, m.putPreset("p", body(3), header("If-Match", tag)), http.StatusPreconditionFailed)
		if p.Code != "changed" {
			t.Errorf("If-Match %s: code %s", tag, p.Code)
		}
		wantProblem(t, m.do(http.MethodDelete, "/v1/presets/p", nil, header("If-Match", tag)), http.StatusPreconditionFailed)
	}
	for _, headers := range [][]option{
		{header("If-Match", second.Header.Get("ETag")), header("If-None-Match", "*")}, {header("If-None-Match", second.Header.Get("ETag"))},
		{header("If-Match", first.Header.Get("ETag")+", "+second.Header.Get("ETag"))}, {header("If-Match", "2")},
	} {
		wantProblem(t, m.putPreset("p", body(3), headers...), http.StatusBadRequest)
	}
	if got := m.get("/v1/presets/p"); string(got.body) != string(second.body) {
		t.Errorf("after refusals = %s, want %s", got.body, second.body)
	}
	if a := m.do(http.MethodDelete, "/v1/presets/p", nil, header("If-Match", second.Header.Get("ETag"))); a.StatusCode != http.StatusNoContent {
		t.Errorf("delete of the right version = %d", a.StatusCode)
	}
}

func TestPresetRefusals(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	for _, tt := range []struct {
		name, body string
		status     int
		pointer    string
	}{
		{"a", `{"params":{}}`, 422, "/type"},
		{"a", `{"type":"image.resize"}`, 422, "/params"},
		{"a", `{"type":"image.resize","params":null}`, 422, "/params"},
		{"a", `{"type":"image.resize","params":[]}`, 422, "/params"},
		{"a", `{"type":"image.resize","params":"x"}`, 422, "/params"},
		{"a", `{"type":7,"params":{}}`, 422, "/type"},
		{"a", `{"type":"no.such","params":{}}`, 422, "/type"},
		{"a", `{"type":"image.resize","params":{"width":0}}`, 422, "/params/width"},
		{"a", `{"type":"image.resize","params":{"widht":1}}`, 422, "/params/widht"},
		{"a", `{"type":"image.resize","params":{"background":"red"}}`, 422, "/params/background"},
		{"a", `{"type":"image.resize","params":{"preset":"b"}}`, 422, "/params/preset"},
		{"a", `{"type":"image.resize","params":{},"version":1}`, 400, "/version"},
		{"a", `[]`, 400, ""},
		{"a", ``, 400, ""},
		{"a%20b", `{"type":"image.resize","params":{}}`, 422, "/name"},
		{"%C3%BC", `{"type":"image.resize","params":{}}`, 422, "/name"},
		{"a%2Fb", `{"type":"image.resize","params":{}}`, 422, "/name"},
		{strings.Repeat("n", 65), `{"type":"image.resize","params":{}}`, 422, "/name"},
	} {
		p := wantProblem(t, m.putPreset(tt.name, tt.body), tt.status)
		if tt.pointer != "" && (len(p.Errors) == 0 || p.Errors[0].Pointer != tt.pointer) {
			t.Errorf("%s %s: errors = %+v, want %s", tt.name, tt.body, p.Errors, tt.pointer)
		}
	}
	if list := read[struct{ Items []any }](t, m.get("/v1/presets"), http.StatusOK); len(list.Items) != 0 {
		t.Errorf("%d presets were made", len(list.Items))
	}
	wantProblem(t, m.do(http.MethodPut, "/v1/presets/a", strings.NewReader(`{}`), header("Content-Type", "text/plain")), http.StatusUnsupportedMediaType)
	read[any](t, m.putPreset(strings.Repeat("n", 62)+"._", `{"type":"image.resize","params":{}}`), http.StatusCreated)
}

func TestListPresets(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	for _, name := range []string{"e", "a", "c", "b", "d"} {
		read[any](t, m.putPreset(name, `{"type":"compute.checksum","params":{}}`), http.StatusCreated)
	}
	type list struct {
		Items []struct{ Name string }
		Next  *string `json:"next_cursor"`
	}
	var names []string
	for path := "/v1/presets?limit=2"; ; {
		page := read[list](t, m.get(path), http.StatusOK)
		for _, item := range page.Items {
			names = append(names, item.Name)
		}
		if page.Next == nil {
			break
		}
		path = "/v1/presets?limit=2&cursor=" + *page.Next
	}
	if got := strings.Join(names, " "); got != "a b c d e" {
		t.Errorf("names = %s", got)
	}
	for _, query := range []string{"cursor=x", "cursor=AQ", "limit=0", "limit=501", "type=x"} {
		wantProblem(t, m.get("/v1/presets?"+query), http.StatusBadRequest)
	}
}

// However a job comes, its params are complete, and a refusal points into what was sent.
func TestJobsWithAPreset(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	read[any](t, m.putPreset("sums", `{"type":"compute.checksum","params":{"algorithms":["md5"]}}`), http.StatusCreated)
	params := func(raw json.RawMessage) string {
		t.Helper()
		var p struct{ Algorithms []string }
		m.must(json.Unmarshal(raw, &p))
		if strings.Contains(string(raw), "preset") {
			t.Errorf("the job's params name the preset: %s", raw)
		}
		return strings.Join(p.Algorithms, " ")
	}
	type made struct {
		ID     string
		Params json.RawMessage
	}
	job := `{"type":"compute.checksum","input":{"file":"` + f.ID + `"},"params":{"preset":"%s"%s}}`
	for over, want := range map[string]string{"": "md5", `,"algorithms":["sha1","crc32"]`: "sha1 crc32"} {
		if got := params(read[made](t, m.postJSON("/v1/jobs", fmt.Sprintf(job, "sums", over)), http.StatusAccepted).Params); got != want {
			t.Errorf("params = %s, want %s", got, want)
		}
	}
	body, kind := form(t, [2]string{"type", "compute.checksum"}, [2]string{"params", `{"preset":"sums"}`}, [2]string{"@file", "bytes"})
	if got := params(read[made](t, m.do(http.MethodPost, "/v1/jobs", body, kind), http.StatusAccepted).Params); got != "md5" {
		t.Errorf("params of a form = %s", got)
	}
	batch := read[struct {
		Items []struct {
			ID    string
			Error *problem
		}
	}](t, m.postJSON("/v1/jobs/batch", "["+fmt.Sprintf(job, "sums", "")+","+fmt.Sprintf(job, "none", "")+"]"), http.StatusAccepted)
	if got := params(m.Job(batch.Items[0].ID).Params); got != "md5" {
		t.Errorf("params in a batch = %s", got)
	}
	if e := batch.Items[1].Error; e == nil || len(e.Errors) != 1 || e.Errors[0].Pointer != "/params/preset" {
		t.Errorf("an unknown preset in a batch = %+v", e)
	}
	schedule := `{"cron":"@daily","job":` + job + `}`
	read[any](t, m.putSchedule("s", fmt.Sprintf(schedule, "sums", "")), http.StatusCreated)
	p := wantProblem(t, m.putSchedule("s", fmt.Sprintf(schedule, "none", "")), http.StatusUnprocessableEntity)
	if len(p.Errors) != 1 || p.Errors[0].Pointer != "/job/params/preset" {
		t.Errorf("an unknown preset in a schedule = %+v", p)
	}
	wrong, kind := form(t, [2]string{"type", "file.compress"}, [2]string{"params", `{"preset":"sums"}`}, [2]string{"@file", "bytes"})
	p = wantProblem(t, m.do(http.MethodPost, "/v1/jobs", wrong, kind), http.StatusUnprocessableEntity)
	if len(p.Errors) != 1 || p.Errors[0].Pointer != "/params/preset" || !strings.Contains(p.Detail, "compute.checksum") {
		t.Errorf("a preset of another type = %+v", p)
	}
}

func TestPresetsAreTheTenantsOwn(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) { c.Auth = newAuth(t, auth.Config{JWTSecret: jwtSecret}) })
	mine, theirs := token(t, "mine", ""), token(t, "theirs", "")
	read[any](t, m.putPreset("p", `{"type":"compute.checksum","params":{}}`, mine), http.StatusCreated)
	wantProblem(t, m.get("/v1/presets/p", theirs), http.StatusNotFound)
	wantProblem(t, m.do(http.MethodDelete, "/v1/presets/p", nil, theirs), http.StatusNotFound)
	if list := read[struct{ Items []any }](t, m.get("/v1/presets", theirs), http.StatusOK); len(list.Items) != 0 {
		t.Errorf("another tenant lists %v", list.Items)
	}
	read[any](t, m.putPreset("p", `{"type":"image.resize","params":{}}`, theirs), http.StatusCreated)
	if got := read[struct{ Type string }](t, m.get("/v1/presets/p", mine), http.StatusOK); got.Type != "compute.checksum" {
		t.Errorf("another tenant's PUT made it %s", got.Type)
	}
}
