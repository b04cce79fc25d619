package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// keyed asks with an idempotency key.
func (s *target) keyed(t *testing.T, key, path, contentType, body string) (*http.Response, []byte) {
	t.Helper()
	return s.ask(t, "POST", path, map[string]string{"Idempotency-Key": key, "Content-Type": contentType}, body)
}

// keyContract repeats every call that creates: the first answer again, and nothing is made.
func keyContract(t *testing.T, s *target) {
	const plain, asJSON, lines = "application/octet-stream", "application/json", "application/x-ndjson"
	one := fmt.Sprintf(quickJob, s.probe)
	formType, formBody := form(t, part{"type", "", "compute.checksum"}, part{"cache", "", "false"}, part{"file", "x.txt", probeText})
	failed := s.on(t).finish(s.on(t).submit(`{"type":"image.resize","input":{"file":%q}}`, s.probe).ID)
	for name, tt := range map[string]struct {
		path, contentType, body, other string
		status                         int
	}{
		"file":  {"/v1/files?name=k.txt", plain, probeText, "other bytes", 201},
		"job":   {"/v1/jobs", asJSON, one, strings.Replace(one, "{", `{"tags":["x"],`, 1), 202},
		"form":  {"/v1/jobs", formType, formBody, strings.Replace(formBody, probeText, "other bytes", 1), 202},
		"batch": {"/v1/jobs/batch", lines, one + "\n{}\n", one + "\n", 202},
		"retry": {"/v1/jobs/" + failed.ID + "/retry", "", "", "", 200},
	} {
		key := "contract " + name
		first, answer := s.keyed(t, key, tt.path, tt.contentType, tt.body)
		if first.StatusCode != tt.status || first.Header.Get("Idempotency-Replayed") != "" {
			t.Errorf("%s = %d %.300s", name, first.StatusCode, answer)
			continue
		}
		again, same := s.keyed(t, key, tt.path, tt.contentType, tt.body)
		if again.StatusCode != tt.status || !bytes.Equal(answer, same) || again.Header.Get("Idempotency-Replayed") != "true" || again.Header.Get("Location") != first.Header.Get("Location") {
			t.Errorf("%s again = %d %v %.300s, want %.300s", name, again.StatusCode, again.Header, same, answer)
		}
		if tt.other != "" {
			res, raw := s.keyed(t, key, tt.path, tt.contentType, tt.other)
			checkProblem(t, name+" with another body", res.StatusCode, res.Header, raw, http.StatusUnprocessableEntity, "idempotency_key_reused")
		}
	}
	for _, key := range []string{"", strings.Repeat("k", 256), "k\u00fc"} {
		res, raw := s.keyed(t, key, "/v1/jobs", asJSON, one)
		checkProblem(t, fmt.Sprintf("the key %.20q", key), res.StatusCode, res.Header, raw, http.StatusBadRequest, "malformed")
	}
	keyRefused(t, s, one)
	keyRace(t, s, one)
}

// keyRefused: a request that is refused takes no key, and one that waits tells the end.
func keyRefused(t *testing.T, s *target, one string) {
	res, raw := s.keyed(t, "refused first", "/v1/jobs", "application/json", `{"type":"no.such"}`)
	checkProblem(t, "a refused request", res.StatusCode, res.Header, raw, http.StatusUnprocessableEntity, "invalid")
	var first, ended job
	if res, raw = s.keyed(t, "refused first", "/v1/jobs", "application/json", one); res.StatusCode != http.StatusAccepted || json.Unmarshal(raw, &first) != nil {
		t.Fatalf("after it = %d %.300s", res.StatusCode, raw)
	}
	res, raw = s.keyed(t, "refused first", "/v1/jobs?wait=30s", "application/json", one)
	if res.StatusCode != http.StatusOK || json.Unmarshal(raw, &ended) != nil || ended.ID != first.ID || ended.State != "succeeded" {
		t.Errorf("the repetition that waits = %d %.300s", res.StatusCode, raw)
	}
}

func keyRace(t *testing.T, s *target, one string) {
	var all sync.WaitGroup
	answers := make([]string, 24)
	for i := range answers {
		all.Go(func() {
			req, err := http.NewRequest("POST", s.url+"/v1/jobs/batch", strings.NewReader(one+"\n"+one))
			if err != nil {
				return
			}
			req.Header.Set("Idempotency-Key", "race")
			req.Header.Set("Content-Type", "application/x-ndjson")
			res, err := s.http.Do(req)
			if err != nil {
				return
			}
			defer res.Body.Close()
			var b bytes.Buffer
			_, _ = b.ReadFrom(res.Body)
			answers[i] = fmt.Sprint(res.StatusCode, b.String())
		})
	}
	all.Wait()
	for _, a := range answers {
		if a != answers[0] || !strings.HasPrefix(a, "202") {
			t.Errorf("racers were answered %.200s and %.200s", a, answers[0])
		}
	}
}

// batch sends jobs as lines and reads what became of them.
func (s *target) batch(t *testing.T, jobs ...string) []batchItem {
	t.Helper()
	var answer struct{ Items []batchItem }
	s.on(t).call("POST", "/v1/jobs/batch", "application/x-ndjson", []byte(strings.Join(jobs, "\n")), http.StatusAccepted, &answer)
	if len(answer.Items) != len(jobs) {
		t.Fatalf("%d items for %d jobs", len(answer.Items), len(jobs))
	}
	for i, item := range answer.Items {
		if item.Index != i || (item.ID == "") == (item.Error == nil) {
			t.Errorf("item %d = %+v", i, item)
		}
	}
	return answer.Items
}

type batchItem struct {
	Index int
	ID    string
	Error *problem
}

// batchContract: all that is right is accepted and ends, each of the others is refused for itself.
func batchContract(t *testing.T, s *target) {
	one := fmt.Sprintf(quickJob, s.probe)
	with := func(field string) string { return strings.Replace(one, "{", "{"+field+",", 1) }
	items := s.batch(t, one, `{"type":`, with(`"colour":1`), `{"type":"no.such"}`, fmt.Sprintf(quickJob, "0198c0de-0000-7000-8000-000000000000"),
		with(`"unique":{"key":"batch"},"delay":"1h"`), with(`"unique":{"key":"batch"}`), strings.Replace(one, "crc32", "rot13", 1), one)
	for i, want := range []string{"", "malformed", "malformed", "invalid", "invalid_input", "", "unique_held", "invalid", ""} {
		if got := items[i].Error; (got == nil) != (want == "") || got != nil && got.Code != want {
			t.Errorf("item %d = %+v, want %q", i, got, want)
		}
	}
	if held := items[6].Error; held == nil || held.Job != items[5].ID {
		t.Errorf("the holder is %+v, want %s", held, items[5].ID)
	}
	for _, i := range []int{0, 8} {
		if j := s.on(t).finish(items[i].ID); j.State != "succeeded" {
			t.Errorf("job of item %d is %s", i, j.State)
		}
	}
	s.on(t).call("POST", "/v1/jobs/"+items[5].ID+"/cancel", "", nil, http.StatusOK, nil)
	var array struct{ Items []batchItem }
	s.on(t).call("POST", "/v1/jobs/batch", "application/json", []byte("["+one+","+one+"]"), http.StatusAccepted, &array)
	for _, item := range array.Items {
		s.on(t).finish(item.ID)
	}

	// As many as there may be, and they end.
	many := make([]string, 10_000)
	for i := range many {
		many[i] = one
	}
	if testing.Short() {
		many = many[:1000]
	}
	last := ""
	seen := make(map[string]bool)
	for _, item := range s.batch(t, many...) {
		if item.Error != nil {
			t.Fatalf("item %d = %+v", item.Index, item.Error)
		}
		seen[item.ID], last = true, item.ID
	}
	if len(seen) != len(many) {
		t.Errorf("%d jobs have %d ids", len(many), len(seen))
	}
	s.on(t).finish(last)
}

// uniqueContract: a second live job is refused, and the key is free once the first is over.
func uniqueContract(t *testing.T, s *target) {
	body := fmt.Sprintf(`{"type":"compute.checksum","input":{"file":%q},"cache":false,"delay":"1h","unique":{"key":"the one","ttl":"2h"}}`, s.probe)
	var first struct {
		ID     string
		Unique struct{ Key, TTL string }
	}
	s.on(t).call("POST", "/v1/jobs", "application/json", []byte(body), http.StatusAccepted, &first)
	if first.Unique.Key != "the one" || first.Unique.TTL != "2h0m0s" {
		t.Errorf("unique = %+v", first.Unique)
	}
	status, header, raw, err := s.do("POST", "/v1/jobs", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if p := checkProblem(t, "the second", status, header, raw, http.StatusConflict, "unique_held"); p.Job != first.ID || header.Get("Location") != "/v1/jobs/"+first.ID {
		t.Errorf("the holder is told as %q at %q, want %s", p.Job, header.Get("Location"), first.ID)
	}
	s.on(t).call("POST", "/v1/jobs/"+first.ID+"/cancel", "", nil, http.StatusOK, nil)
	second := s.on(t).submit("%s", body)
	// A retry takes the key again, or is refused as a submit is.
	s.refused(t, "POST", "/v1/jobs/"+first.ID+"/retry", "", "", http.StatusConflict, "unique_held")
	s.on(t).call("POST", "/v1/jobs/"+second.ID+"/cancel", "", nil, http.StatusOK, nil)
	var again job
	s.on(t).call("POST", "/v1/jobs/"+first.ID+"/retry", "", nil, http.StatusOK, &again)
	if again.Run != 2 {
		t.Errorf("the retry is run %d", again.Run)
	}
	s.on(t).finish(first.ID)
}
