package rest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
)

func (m *mill) putSchedule(name, body string) answer {
	m.t.Helper()
	return m.do(http.MethodPut, "/v1/schedules/"+name, strings.NewReader(body), header("Content-Type", "application/json"))
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	job := `{"type": "compute.checksum", "input": {"file": "` + f.ID + `"}, "unique": {"key": "nightly"}}`
	a := m.putSchedule("nightly", `{"cron":"0 3 * * *","timezone":"Europe/Paris","job":`+job+`}`)
	got := read[map[string]any](t, a, http.StatusCreated)
	if a.Header.Get("Location") != "/v1/schedules/nightly" {
		t.Errorf("Location = %q", a.Header.Get("Location"))
	}
	next, err := time.Parse(time.RFC3339, fmt.Sprint(got["next_run_at"]))
	paris, _ := time.LoadLocation("Europe/Paris")
	if local := next.In(paris); err != nil || local.Hour() != 3 || local.Minute() != 0 || !next.After(time.Now()) || next.After(time.Now().Add(25*time.Hour)) {
		t.Errorf("next_run_at = %v, %v", got["next_run_at"], err)
	}
	checkTimes(t, got, "next_run_at", "created_at", "updated_at")
	want := map[string]any{
		"name": "nightly", "cron": "0 3 * * *", "timezone": "Europe/Paris", "paused": false, "catch_up": "last", "last_run_at": nil, "last_job": nil,
		"last_error": nil, "url": "/v1/schedules/nightly",
		"job": map[string]any{"type": "compute.checksum", "input": map[string]any{"file": f.ID}, "unique": map[string]any{"key": "nightly"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("schedule (-want +got):\n%s", diff)
	}

	a = m.putSchedule("nightly", `{"cron":"@hourly","job":`+job+`,"paused":true,"catch_up":"all"}`)
	got = read[map[string]any](t, a, http.StatusOK)
	if got["paused"] != true || got["next_run_at"] != nil || got["timezone"] != "UTC" || got["catch_up"] != "all" {
		t.Errorf("replaced = %v", got)
	}
	if again := read[map[string]any](t, m.get("/v1/schedules/nightly"), http.StatusOK); cmp.Diff(got, again) != "" {
		t.Errorf("read again = %v, want %v", again, got)
	}
	stored, err := m.Ledger.Schedule(t.Context(), millrace.DefaultTenant, "nightly")
	if err != nil || strings.Contains(string(stored.Job), " ") || stored.Version == 0 {
		t.Errorf("in the ledger = %+v, %v", stored, err)
	}
	if a := m.do(http.MethodDelete, "/v1/schedules/nightly", nil); a.StatusCode != http.StatusNoContent {
		t.Errorf("delete = %d", a.StatusCode)
	}
	for _, method := range []string{"GET", "DELETE"} {
		wantProblem(t, m.do(method, "/v1/schedules/nightly", nil), http.StatusNotFound)
		wantProblem(t, m.do(method, "/v1/schedules/no%20name", nil), http.StatusNotFound)
	}
}

func TestScheduleRefusals(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	in := `"input":{"file":"` + f.ID + `"}`
	job := `"job":{"type":"compute.checksum",` + in + `}`
	for _, tt := range []struct {
		name, body string
		status     int
		pointer    string
	}{
		{"a", `{` + job + `}`, 422, "/cron"},
		{"a", `{"cron":"every day",` + job + `}`, 422, "/cron"},
		{"a", `{"cron":"61 * * * *",` + job + `}`, 422, "/cron"},
		{"a", `{"cron":"0 0 30 2 *",` + job + `}`, 422, "/cron"},
		{"a", `{"cron":"` + strings.Repeat("*", 5000) + `",` + job + `}`, 422, "/cron"},
		{"a", `{"cron":7,` + job + `}`, 422, "/cron"},
		{"a", `{"cron":"@daily","timezone":"Mars/Olympus",` + job + `}`, 422, "/timezone"},
		{"a", `{"cron":"@daily","timezone":"../../etc/passwd",` + job + `}`, 422, "/timezone"},
		{"a", `{"cron":"@daily","catch_up":"some",` + job + `}`, 422, "/catch_up"},
		{"a", `{"cron":"@daily","paused":"yes",` + job + `}`, 422, "/paused"},
		{"a", `{"cron":"@daily"}`, 422, "/job"},
		{"a", `{"cron":"@daily","job":null}`, 422, "/job"},
		{"a", `{"cron":"@daily","job":[]}`, 400, ""},
		{"a", `{"cron":"@daily","job":{}}`, 422, "/job/type"},
		{"a", `{"cron":"@daily","job":{"type":"no.such"}}`, 422, "/job/type"},
		{"a", `{"cron":"@daily","job":{"type":"compute.checksum"}}`, 422, "/job/input"},
		{"a", `{"cron":"@daily","job":{"type":"compute.checksum","input":{"file":"` + newID() + `"}}}`, 422, "/job/input/file"},
		{"a", `{"cron":"@daily","job":{"type":"image.resize",` + in + `,"params":{"watermark":{"file":"` + newID() + `"}}}}`, 422, "/job/params/watermark/file"},
		{"a", `{"cron":"@daily","job":{"type":"compute.checksum",` + in + `,"params":{"algorithms":["rot13"]}}}`, 422, "/job/params/algorithms/0"},
		{"a", `{"cron":"@daily","job":{"type":"compute.checksum",` + in + `,"run_at":"2100-01-01T00:00:00Z"}}`, 422, "/job/run_at"},
		{"a", `{"cron":"@daily","job":{"type":"compute.checksum",` + in + `,"delay":"1h"}}`, 422, "/job/delay"},
		{"a", `{"cron":"@daily","job":{"type":"compute.checksum",` + in + `,"deadline":"2100-01-01T00:00:00Z"}}`, 422, "/job/deadline"},
		{"a", `{"cron":"@daily","job":{"type":"compute.checksum",` + in + `,"idempotency":"x"}}`, 400, "/job/idempotency"},
		{"a", `{"cron":"@daily","job":{"type":"compute.checksum",` + in + `,"webhook":{"url":"https://x"}}}`, 422, "/job/webhook"},
		{"a", `{"cron":"@daily","next_run_at":null,` + job + `}`, 400, "/next_run_at"},
		{"a", `[]`, 400, ""},
		{"a%20b", `{"cron":"@daily",` + job + `}`, 422, "/name"},
		{"%C3%BC", `{"cron":"@daily",` + job + `}`, 422, "/name"},
		{strings.Repeat("n", 129), `{"cron":"@daily",` + job + `}`, 422, "/name"},
	} {
		p := wantProblem(t, m.putSchedule(tt.name, tt.body), tt.status)
		if tt.pointer != "" && (len(p.Errors) == 0 || p.Errors[0].Pointer != tt.pointer) {
			t.Errorf("%s: errors = %+v, want %s", tt.body, p.Errors, tt.pointer)
		}
	}
	if list := read[struct{ Items []any }](t, m.get("/v1/schedules"), http.StatusOK); len(list.Items) != 0 {
		t.Errorf("%d schedules were made", len(list.Items))
	}
	wantProblem(t, m.do(http.MethodPut, "/v1/schedules/a", strings.NewReader(`{}`), header("Content-Type", "text/plain")), http.StatusUnsupportedMediaType)
	if a := m.putSchedule(strings.Repeat("n", 126)+"._", `{"cron":"@daily",`+job+`}`); a.StatusCode != http.StatusCreated {
		t.Errorf("a name of 128 = %d", a.StatusCode)
	}
}

func TestListSchedules(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	for i := range 5 {
		read[any](t, m.putSchedule(fmt.Sprintf("s%d", i), `{"cron":"@daily","job":{"type":"compute.checksum","input":{"file":"`+f.ID+`"}}}`), http.StatusCreated)
	}
	type list struct {
		Items []struct{ Name string }
		Next  *string `json:"next_cursor"`
	}
	var names []string
	for path := "/v1/schedules?limit=2"; ; {
		page := read[list](t, m.get(path), http.StatusOK)
		for _, item := range page.Items {
			names = append(names, item.Name)
		}
		if page.Next == nil {
			break
		}
		path = "/v1/schedules?limit=2&cursor=" + *page.Next
	}
	if got := strings.Join(names, " "); got != "s0 s1 s2 s3 s4" {
		t.Errorf("names = %s", got)
	}
	for _, query := range []string{"cursor=x", "cursor=AQ", "cursor=AiAg", "limit=0", "limit=501", "state=x"} {
		wantProblem(t, m.get("/v1/schedules?"+query), http.StatusBadRequest)
	}
}
