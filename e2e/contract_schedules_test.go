package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

type schedule struct {
	Name, Cron, Timezone string
	Paused               bool
	CatchUp              string     `json:"catch_up"`
	NextRunAt            *time.Time `json:"next_run_at"`
	LastRunAt            *time.Time `json:"last_run_at"`
	LastJob              string     `json:"last_job"`
	LastError            string     `json:"last_error"`
}

func scheduleContract(t *testing.T, s *target) {
	c := s.on(t)
	put := func(name, cron, more string) []byte {
		return fmt.Appendf(nil, `{"cron":%q,"job":{"type":"compute.checksum","input":{"file":%q},"cache":false,"tags":[%q]}%s}`, cron, s.probe, name, more)
	}
	var made, read schedule
	header := c.call("PUT", "/v1/schedules/contract", "application/json", put("contract", "0 3 * * *", `,"timezone":"Europe/Paris"`), http.StatusCreated, &made)
	if header.Get("Location") != "/v1/schedules/contract" || made.NextRunAt == nil || made.CatchUp != "last" {
		t.Errorf("schedule = %+v at %q", made, header.Get("Location"))
	}
	if paris, err := time.LoadLocation("Europe/Paris"); err == nil && made.NextRunAt != nil && made.NextRunAt.In(paris).Hour() != 3 {
		t.Errorf("next_run_at = %v, want three o'clock in Paris", made.NextRunAt)
	}
	c.call("PUT", "/v1/schedules/contract", "application/json", put("contract", "@hourly", `,"paused":true,"catch_up":"none"`), http.StatusOK, &made)
	c.call("GET", "/v1/schedules/contract", "", nil, http.StatusOK, &read)
	if !read.Paused || read.NextRunAt != nil || read.CatchUp != "none" || read.Timezone != "UTC" {
		t.Errorf("replaced = %+v", read)
	}
	var list struct{ Items []schedule }
	c.call("GET", "/v1/schedules?limit=500", "", nil, http.StatusOK, &list)
	if !slices.ContainsFunc(list.Items, func(s schedule) bool { return s.Name == "contract" }) {
		t.Errorf("the list lacks it: %+v", list)
	}
	c.call("DELETE", "/v1/schedules/contract", "", nil, http.StatusNoContent, nil)
	s.refused(t, "GET", "/v1/schedules/contract", "", "", http.StatusNotFound, "not_found")
	s.refused(t, "DELETE", "/v1/schedules/contract", "", "", http.StatusNotFound, "not_found")

	for body, pointer := range map[string]string{
		`{"cron":"0 0 30 2 *","job":{}}`: "/cron", `{"cron":"* * * *","job":{}}`: "/cron", `{"cron":"@daily","timezone":"Nowhere/Else","job":{}}`: "/timezone", `{"cron":"@daily"}`: "/job",
		`{"cron":"@daily","job":{"type":"no.such"}}`: "/job/type", `{"cron":"@daily","catch_up":"most","job":{}}`: "/catch_up",
		fmt.Sprintf(`{"cron":"@daily","job":{"type":"compute.checksum","input":{"file":%q},"delay":"1s"}}`, s.probe): "/job/delay",
	} {
		p := s.refused(t, "PUT", "/v1/schedules/bad", "application/json", body, http.StatusUnprocessableEntity, "invalid")
		if len(p.Errors) == 0 || p.Errors[0].Pointer != pointer {
			t.Errorf("%s: errors = %+v, want %s", body, p.Errors, pointer)
		}
	}
	scheduleRuns(t, s, put)
}

// scheduleRuns waits for a run, which comes within a minute.
func scheduleRuns(t *testing.T, s *target, put func(name, cron, more string) []byte) {
	if testing.Short() {
		return
	}
	c := s.on(t)
	c.call("PUT", "/v1/schedules/minutely", "application/json", put("minutely", "* * * * *", ""), http.StatusCreated, nil)
	defer c.call("DELETE", "/v1/schedules/minutely", "", nil, http.StatusNoContent, nil)
	var ran schedule
	eventually(t, 75*time.Second, "a run of the schedule", func() bool {
		c.call("GET", "/v1/schedules/minutely", "", nil, http.StatusOK, &ran)
		return ran.LastJob != ""
	})
	if ran.LastRunAt == nil || ran.LastRunAt.Second() != 0 || ran.LastError != "" || ran.NextRunAt == nil || ran.NextRunAt.Sub(*ran.LastRunAt) < time.Minute {
		t.Errorf("after its run: %+v", ran)
	}
	var j struct{ State, Schedule string }
	c.finish(ran.LastJob)
	c.call("GET", "/v1/jobs/"+ran.LastJob, "", nil, http.StatusOK, &j)
	if j.State != "succeeded" || j.Schedule != "minutely" {
		t.Errorf("its job = %+v", j)
	}
}

// deadlineContract: a job that nobody runs in time fails.
func deadlineContract(t *testing.T, s *target) {
	c := s.on(t)
	c.call("POST", "/v1/queues/io.low/pause", "", nil, http.StatusOK, nil)
	defer c.call("POST", "/v1/queues/io.low/resume", "", nil, http.StatusOK, nil)
	soon := time.Now().Add(1500 * time.Millisecond).UTC().Truncate(time.Millisecond)
	j := c.submit(`{"type":"compute.checksum","input":{"file":%q},"cache":false,"priority":"low","deadline":%q}`, s.probe, soon.Format(time.RFC3339Nano))
	ended := c.finish(j.ID)
	if ended.State != "failed" || ended.Error == nil || ended.Error.Code != "timeout" || ended.Attempt != 0 {
		t.Errorf("after its deadline: %+v, %+v", ended, ended.Error)
	}
	for _, value := range []string{`"2020-01-01T00:00:00Z"`, `"tomorrow"`, `7`} {
		s.refused(t, "POST", "/v1/jobs", "application/json", strings.Replace(fmt.Sprintf(quickJob, s.probe), "{", `{"deadline":`+value+",", 1), http.StatusUnprocessableEntity, "invalid")
	}
}

// pauseContract: a paused queue takes in and hands nothing out, whoever asks.
func pauseContract(t *testing.T, s *target) {
	c := s.on(t)
	type queue struct {
		Name   string
		Depth  int
		Paused bool
	}
	var q queue
	c.call("POST", "/v1/queues/io.high/pause", "", nil, http.StatusOK, &q)
	if q.Name != "io.high" || !q.Paused {
		t.Errorf("paused = %+v", q)
	}
	j := c.submit(`{"type":"compute.checksum","input":{"file":%q},"cache":false,"priority":"high"}`, s.probe)
	var held job
	c.call("GET", "/v1/jobs/"+j.ID+"?wait=1s", "", nil, http.StatusOK, &held)
	if held.State != "queued" {
		t.Errorf("a job of a paused queue is %s", held.State)
	}
	c.call("POST", "/v1/queues/io.high/resume", "", nil, http.StatusOK, &q)
	if q.Paused {
		t.Errorf("resumed = %+v", q)
	}
	if ended := c.finish(j.ID); ended.State != "succeeded" || ended.Attempt != 1 {
		t.Errorf("after the pause: %+v", ended)
	}
	for _, name := range []string{"no.such", "io", "IO.HIGH"} {
		s.refused(t, "POST", "/v1/queues/"+name+"/pause", "", "", http.StatusNotFound, "not_found")
	}
	s.refused(t, "POST", "/v1/queues/io.high/pause", "application/json", `{"until":"x"}`, http.StatusBadRequest, "malformed")
}
