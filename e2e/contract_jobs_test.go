package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func submitContract(t *testing.T, s *target) {
	c := s.on(t)
	var j struct {
		job
		Priority, URL string
		Tags          []string
		Metadata      map[string]any
		Params        map[string]any
		CreatedAt     time.Time `json:"created_at"`
		RunAt         time.Time `json:"run_at"`
	}
	body := fmt.Sprintf(`{"type":"compute.checksum","input":{"file":%q},"priority":"high","delay":"1h","timeout":"90s","max_attempts":3,"cache":false,
		"backoff":{"initial":"2s","max":"1m","factor":3,"jitter":0},"tags":["a","b"],"metadata":{"order":"42"},"retention":"24h"}`, s.probe)
	header := c.call("POST", "/v1/jobs", "application/json", []byte(body), http.StatusAccepted, &j)
	if header.Get("Location") != "/v1/jobs/"+j.ID || j.URL != "/v1/jobs/"+j.ID || j.State != "scheduled" || j.Priority != "high" || j.Run != 1 || j.Attempt != 0 || j.MaxAttempts != 3 {
		t.Errorf("job = %+v at %q", j, header.Get("Location"))
	}
	if !slices.Equal(j.Tags, []string{"a", "b"}) || j.Metadata["order"] != "42" || fmt.Sprint(j.Params["algorithms"]) != "[sha256]" {
		t.Errorf("tags, metadata and params = %v, %v, %v", j.Tags, j.Metadata, j.Params)
	}
	if ahead := j.RunAt.Sub(j.CreatedAt); ahead < 59*time.Minute || ahead > 61*time.Minute {
		t.Errorf("run_at is %v after created_at, want 1h", ahead)
	}
	c.call("POST", "/v1/jobs/"+j.ID+"/cancel", "application/json", []byte("{}"), http.StatusOK, nil)

	// A cache hit is a job of its own, done at once.
	spec := fmt.Sprintf(`{"type":"compute.checksum","input":{"file":%q},"params":{"algorithms":["md5","crc32"]}}`, s.probe)
	var first, second job
	c.call("POST", "/v1/jobs?wait=30s", "application/json", []byte(spec), http.StatusOK, &first)
	header = c.call("POST", "/v1/jobs", "application/json; charset=utf-8", []byte(spec), http.StatusOK, &second)
	if first.Cached || !second.Cached || second.ID == first.ID || string(first.Result) != string(second.Result) || header.Get("Location") != "/v1/jobs/"+second.ID {
		t.Errorf("first %+v, then %+v, want the second from the cache", first, second)
	}
	// In the past means now.
	past := c.submit(`{"type":"compute.checksum","input":{"file":%q},"cache":false,"run_at":"2020-01-01T00:00:00+02:00"}`, s.probe)
	checkEnded(t, c.finish(past.ID))
}

func formContract(t *testing.T, s *target) {
	contentType, body := form(t, part{"type", "", "image.resize"}, part{"params", "", `{"width":16}`}, part{"file", "../a/photo.jpg", string(photo(t, 64, 64))},
		part{"tags", "", "x"}, part{"tags", "", "y"}, part{"metadata", "", `{"a":1}`}, part{"priority", "", "low"}, part{"max_attempts", "", "2"}, part{"cache", "", "false"},
		part{"timeout", "", "1m"}, part{"backoff", "", `{"initial":"1s"}`}, part{"delay", "", "10ms"}, part{"retention", "", "1h"})
	var j struct {
		job
		Priority string
		Tags     []string
	}
	s.on(t).call("POST", "/v1/jobs?wait=30s", contentType, []byte(body), http.StatusOK, &j)
	if j.State != "succeeded" || j.Priority != "low" || !slices.Equal(j.Tags, []string{"x", "y"}) || j.MaxAttempts != 2 || len(j.Outputs) != 1 || j.Outputs[0].Name != "photo.jpg" {
		t.Errorf("job = %+v", j)
	}
	if len(s.on(t).bytes(j.Outputs[0].URL)) != int(j.Outputs[0].Size) {
		t.Error("the output is not as long as the job says")
	}
	contentType, body = form(t, part{"type", "", "compute.checksum"}, part{"input", "", `{"file":"` + s.probe + `"}`}, part{"tags", "", `["x","y"]`})
	s.on(t).call("POST", "/v1/jobs?wait=30s", contentType, []byte(body), http.StatusOK, &j)
	if !slices.Equal(j.Tags, []string{"x", "y"}) {
		t.Errorf("tags as JSON in a form = %v", j.Tags)
	}
}

// changeContract walks through cancel, retry and delete, and their conflicts.
func changeContract(t *testing.T, s *target) {
	c := s.on(t)
	j := c.submit(`{"type":"compute.checksum","input":{"file":%q},"cache":false,"delay":"1h"}`, s.probe)
	path := "/v1/jobs/" + j.ID
	s.refused(t, "POST", path+"/retry", "", "", http.StatusConflict, "")
	s.refused(t, "DELETE", path, "", "", http.StatusConflict, "")
	s.refused(t, "POST", path+"/cancel", "application/json", `{"reason":"x"}`, http.StatusBadRequest, "")
	c.call("POST", path+"/cancel", "", nil, http.StatusOK, &j)
	if j.State != "canceled" || j.FinishedAt == nil || j.Attempt != 0 {
		t.Errorf("canceled before it ran = %+v", j)
	}
	s.refused(t, "POST", path+"/cancel", "", "", http.StatusConflict, "")
	c.call("POST", path+"/retry", "", nil, http.StatusOK, &j)
	if j.Run != 2 || j.FinishedAt != nil || final(j.State) {
		t.Errorf("retried = %+v, want run 2, not final", j)
	}
	j = c.finish(j.ID)
	if j.State != "succeeded" || j.Run != 2 || j.Attempt != 1 {
		t.Errorf("after the retry = %+v", j)
	}
	s.refused(t, "POST", path+"/retry", "", "", http.StatusConflict, "")
	s.refused(t, "POST", path+"/cancel", "", "", http.StatusConflict, "")
	s.refused(t, "GET", path+"/output", "", "", http.StatusNotFound, "not_found") // a checksum has none
	c.call("DELETE", path, "", nil, http.StatusNoContent, nil)
	for method, at := range map[string]string{"GET": path, "POST": path + "/cancel", "DELETE": path} {
		s.refused(t, method, at, "", "", http.StatusNotFound, "not_found")
	}
	s.refused(t, "GET", path+"/events", "", "", http.StatusNotFound, "not_found")

	// A failed job: its error, its one attempt, its history kept by the retry.
	f := c.upload("x.jpg", []byte("no picture"))
	bad := c.finish(c.submit(`{"type":"image.resize","input":{"file":%q},"params":{"width":3}}`, f.ID).ID)
	checkFailed(t, "no picture", bad, "unsupported_format", "")
	c.call("POST", "/v1/jobs/"+bad.ID+"/retry", "", nil, http.StatusOK, nil)
	bad = c.finish(bad.ID)
	if bad.Run != 2 || bad.State != "failed" || bad.Attempt != 1 || len(bad.Attempts) != 2 || bad.Attempts[0].Outcome != "error" || !bad.Attempts[0].Spent {
		t.Errorf("retried in vain = %+v", bad)
	}
	// A running one is stopped.
	big := c.upload("big.bin", noise(64<<20))
	running := c.submit(slowJob, big.ID)
	eventually(t, 30*time.Second, "running", func() bool { return c.job(running.ID).State == "running" })
	s.refused(t, "DELETE", "/v1/jobs/"+running.ID, "", "", http.StatusConflict, "")
	s.refused(t, "DELETE", "/v1/files/"+big.ID, "", "", http.StatusConflict, "in_use")
	c.call("POST", "/v1/jobs/"+running.ID+"/cancel", "", nil, http.StatusOK, nil)
	if j := c.finish(running.ID); j.State != "canceled" || len(j.Outputs) != 0 {
		t.Errorf("canceled while it ran = %+v", j)
	}
	// An attempt that takes too long is an attempt spent.
	late := c.finish(c.submit(`{"type":"file.compress","input":{"file":%q},"params":{"codec":"gzip","level":"best"},"cache":false,"timeout":"50ms","max_attempts":1}`, big.ID).ID)
	if late.State != "failed" || late.Error == nil || late.Error.Code != "timeout" || late.Attempt != 1 || late.Attempts[0].Outcome != "timeout" {
		t.Errorf("a job with 50 ms = %+v, error %+v", late, late.Error)
	}
}

func listContract(t *testing.T, s *target) {
	c := s.on(t)
	before := time.Now().UTC().Add(-time.Minute).Format(time.RFC3339)
	done := c.finish(c.submit(`{"type":"compute.checksum","input":{"file":%q},"cache":false,"tags":["listed","é/ü"]}`, s.probe).ID)
	waiting := c.submit(`{"type":"compute.stats","input":{"file":%q},"cache":false,"delay":"1h","tags":["listed"]}`, s.probe)
	for query, want := range map[string][]string{
		"tag=listed": {waiting.ID, done.ID}, "tag=" + url.QueryEscape("é/ü"): {done.ID}, "tag=none": nil, "tag=listed&state=scheduled": {waiting.ID},
		"tag=listed&state=succeeded": {done.ID}, "tag=listed&type=compute.stats": {waiting.ID}, "tag=listed&type=no.such": nil, "tag=listed&state=running": nil,
		"tag=listed&created_after=" + before: {waiting.ID, done.ID}, "tag=listed&created_before=" + before: nil,
		"tag=listed&created_after=2999-01-01T00:00:00Z": nil, "tag=listed&type=compute.checksum&state=succeeded&created_after=" + before: {done.ID},
	} {
		if got := ids(t, s, "/v1/jobs?"+query); !slices.Equal(got, want) {
			t.Errorf("GET /v1/jobs?%s = %v, want %v", query, got, want)
		}
	}
	for _, query := range []string{"limit=0", "limit=501", "limit=x", "limit=-1", "cursor=x", "cursor=AAAA", "state=done", "created_after=yesterday", "created_before=1", "page=2"} {
		p := s.refused(t, "GET", "/v1/jobs?"+query, "", "", http.StatusBadRequest, "")
		if name, _, _ := strings.Cut(query, "="); len(p.Errors) != 1 || p.Errors[0].Pointer != "/"+name {
			t.Errorf("GET /v1/jobs?%s: errors = %+v, want one at /%s", query, p.Errors, name)
		}
	}
	s.refused(t, "GET", "/v1/files?cursor=x", "", "", http.StatusBadRequest, "")
	c.call("POST", "/v1/jobs/"+waiting.ID+"/cancel", "", nil, http.StatusOK, nil)
}

type idPage struct {
	Items      []struct{ ID string }
	NextCursor *string `json:"next_cursor"`
}

func ids(t *testing.T, s *target, path string) []string {
	t.Helper()
	var p idPage
	s.on(t).call("GET", path, "", nil, http.StatusOK, &p)
	var list []string
	for _, item := range p.Items {
		list = append(list, item.ID)
	}
	return list
}

// pageContract pages through lists while others write to them: nothing is missed, nothing comes twice, newest first.
func pageContract(t *testing.T, s *target) {
	c := s.on(t)
	for list, insert := range map[string]func() string{
		"/v1/jobs?tag=paged": func() string {
			return c.submit(`{"type":"compute.checksum","input":{"file":%q},"cache":false,"delay":"1h","tags":["paged"]}`, s.probe).ID
		},
		"/v1/files?": func() string { return c.upload("paged.txt", []byte(probeText)).ID },
	} {
		var made []string
		for range 20 {
			made = append(made, insert())
		}
		slices.Reverse(made)
		var got []string
		for cursor := ""; len(got) < len(made); {
			var p idPage
			c.call("GET", list+"&limit=6"+cursor, "", nil, http.StatusOK, &p)
			for _, item := range p.Items {
				got = append(got, item.ID)
			}
			if p.NextCursor == nil {
				break
			}
			cursor = "&cursor=" + *p.NextCursor
			insert() // newer than what is being read
		}
		if got = got[:min(len(got), len(made))]; !slices.Equal(got, made) {
			t.Errorf("%s page by page = %v, want %v", list, got, made)
		}
	}
	for _, id := range ids(t, s, "/v1/jobs?tag=paged&limit=500") {
		c.call("POST", "/v1/jobs/"+id+"/cancel", "", nil, http.StatusOK, nil)
	}
	var last idPage
	c.call("GET", "/v1/jobs?tag=paged&limit=500", "", nil, http.StatusOK, &last)
	if last.NextCursor != nil {
		t.Errorf("the last page has the cursor %q, want null", *last.NextCursor)
	}
}

// event is one server-sent event.
type event struct{ name, id, data string }

// readEvents reads a stream to its end.
func readEvents(t *testing.T, s *target, id, last string) (events []event, status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/jobs/"+id+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if kind := res.Header.Get("Content-Type"); res.StatusCode == http.StatusOK && kind != "text/event-stream" {
		t.Errorf("the stream's Content-Type = %q", kind)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	var e event
	for lines.Scan() {
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if e.name != "" {
				events = append(events, e)
			}
			e = event{}
		}
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream broke: %v", err)
	}
	return events, res.StatusCode
}

func eventContract(t *testing.T, s *target) {
	c := s.on(t)
	big := c.upload("watched.bin", noise(48<<20))
	j := c.submit(slowJob, big.ID)
	events, _ := readEvents(t, s, j.ID, "")
	var states []string
	seen := make(map[string]bool)
	progress, percent := 0, -1.0
	for _, e := range events {
		if e.id == "" || seen[e.id] {
			t.Errorf("event %s has the id %q, which is empty or was there", e.name, e.id)
		}
		seen[e.id] = true
		var data struct {
			ID, State string
			Percent   float64
			Unit      string
		}
		if err := json.Unmarshal([]byte(e.data), &data); err != nil {
			t.Fatalf("event %s: %v: %.200s", e.name, err, e.data)
		}
		switch e.name {
		case "state", "done":
			if data.ID != j.ID {
				t.Errorf("event %s is about %q", e.name, data.ID)
			}
			states = append(states, e.name+" "+data.State)
		case "progress":
			progress++
			if data.Percent < percent || data.Percent > 100 || data.Unit == "" {
				t.Errorf("progress of %v %% in %q after %v %%", data.Percent, data.Unit, percent)
			}
			percent = data.Percent
		default:
			t.Errorf("an event %q", e.name)
		}
	}
	if n := len(states); n < 3 || states[n-1] != "done succeeded" || states[n-2] != "state succeeded" || states[n-3] != "state running" || events[len(events)-1].name != "done" {
		t.Errorf("states = %v, want …, running, succeeded, done", states)
	}
	if progress < 2 {
		t.Errorf("%d progress events of a job that takes a second, want several", progress)
	}
	if again, status := readEvents(t, s, j.ID, events[len(events)-1].id); status != http.StatusNoContent || len(again) != 0 {
		t.Errorf("after done = %d with %d events, want 204", status, len(again))
	}
	for _, last := range []string{events[0].id, "", "nonsense"} {
		again, status := readEvents(t, s, j.ID, last)
		if status != http.StatusOK || len(again) != 2 || again[0].name != "state" || again[1].name != "done" {
			t.Errorf("resumed after %q = %d, %v, want the present state and done", last, status, again)
		}
	}
}

func waitContract(t *testing.T, s *target) {
	c := s.on(t)
	j := c.submit(`{"type":"compute.checksum","input":{"file":%q},"cache":false,"delay":"300ms"}`, s.probe)
	var done job
	started := time.Now()
	c.call("GET", "/v1/jobs/"+j.ID+"?wait=60s", "", nil, http.StatusOK, &done)
	if done.State != "succeeded" || time.Since(started) > 30*time.Second {
		t.Errorf("with wait = %s after %v, want succeeded as soon as it is", done.State, time.Since(started))
	}
	far := c.submit(`{"type":"compute.checksum","input":{"file":%q},"cache":false,"delay":"1h"}`, s.probe)
	c.call("GET", "/v1/jobs/"+far.ID+"?wait=100ms", "", nil, http.StatusOK, &done)
	if done.State != "scheduled" {
		t.Errorf("state after waiting in vain = %s", done.State)
	}
	c.call("POST", "/v1/jobs?wait=10ms", "application/json", fmt.Appendf(nil, `{"type":"compute.checksum","input":{"file":%q},"cache":false,"delay":"1h"}`, s.probe), http.StatusAccepted, &done)
	for _, id := range []string{far.ID, done.ID} {
		c.call("POST", "/v1/jobs/"+id+"/cancel", "", nil, http.StatusOK, nil)
	}
	for _, wait := range []string{"61s", "-1s", "soon", "1"} {
		s.refused(t, "GET", "/v1/jobs/"+far.ID+"?wait="+wait, "", "", http.StatusBadRequest, "")
		s.refused(t, "POST", "/v1/jobs?wait="+wait, "application/json", fmt.Sprintf(quickJob, s.probe), http.StatusBadRequest, "")
	}
}
