package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// badBatches are batches that no client should send. Whole ones are refused whole; in the others each bad job is refused for itself.
func badBatches(t *testing.T, s *target) {
	const path, lines, asJSON = "/v1/jobs/batch", "application/x-ndjson", "application/json"
	one := fmt.Sprintf(quickJob, s.probe)
	for _, tt := range []struct {
		name, contentType, body string
		status                  int
		code                    string
	}{
		{"nothing", lines, "", 422, "invalid"}, {"empty lines", lines, strings.Repeat("\n", 1<<20), 422, "invalid"}, {"no array", asJSON, one, 400, "malformed"},
		{"empty array", asJSON, "[]", 422, "invalid"}, {"never closed", asJSON, "[" + one + ",", 400, "malformed"}, {"brackets", asJSON, strings.Repeat("[", 1_000_000), 400, "malformed"},
		{"closed brackets", asJSON, strings.Repeat("]", 1_000_000), 400, "malformed"}, {"commas", asJSON, "[" + strings.Repeat(",", 1_000_000) + "]", 400, "malformed"},
		{"10,001 lines", lines, strings.Repeat(one+"\n", 10_001), 413, "too_large"}, {"10,001 items", asJSON, "[" + strings.Repeat(one+",", 10_000) + one + "]", 413, "too_large"},
		{"10,001 bad lines", lines, strings.Repeat("x\n", 10_001), 413, "too_large"}, {"a million bad items", asJSON, "[" + strings.Repeat("1,", 1_000_000) + "1]", 413, "too_large"},
		{"over 16 MiB", lines, strings.Repeat(" ", 16<<20) + one, 413, "too_large"}, {"text", "text/plain", one, 415, "unsupported_media_type"},
	} {
		status, header, raw, err := s.do("POST", path, tt.contentType, strings.NewReader(tt.body))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		checkProblem(t, tt.name, status, header, raw, tt.status, tt.code)
	}
	status, header, raw, err := s.do("POST", path, lines, io.LimitReader(zeros{}, 64<<20)) // of no announced length
	if err == nil {
		checkProblem(t, "an endless batch", status, header, raw, http.StatusRequestEntityTooLarge, "too_large")
	}

	deep := strings.Repeat(`{"a":`, 100_000)
	for i, item := range s.batch(t, deep, strings.Repeat("[", 1_000_000), `{"type":"`+strings.Repeat("t", 1<<20)+`"}`, "\x00", "\xff\xfe", `{"type":"a\u0000"}`, `"`, "null",
		strings.Replace(one, "{", `{"metadata":{"a":"`+strings.Repeat("m", 1<<20)+`"},`, 1)) {
		if item.Error == nil || item.Error.Status < 400 || item.Error.Status > 422 || len(item.Error.Detail) > 400 {
			t.Errorf("item %d = %.300v", i, item.Error)
		}
	}

	// Ten thousand refusals are an answer of a bounded size.
	wrong := `{"type":"image.resize","params":{` + strings.TrimSuffix(strings.Repeat(`"%s":1,`, 40), ",") + `}}`
	var names []any
	for i := range 40 {
		names = append(names, fmt.Sprintf("unknown%d", i))
	}
	status, _, raw, err = s.do("POST", path, lines, strings.NewReader(strings.Repeat(fmt.Sprintf(wrong, names...)+"\n", 10_000)))
	var answer struct{ Items []batchItem }
	if err != nil || status != http.StatusAccepted || json.Unmarshal(raw, &answer) != nil || len(answer.Items) != 10_000 || len(raw) > 16<<20 {
		t.Errorf("ten thousand refusals = %d with %d bytes, %v", status, len(raw), err)
	}
}

// badKeys are idempotency keys that are none.
func badKeys(t *testing.T, s *target) {
	one := fmt.Sprintf(quickJob, s.probe)
	for _, path := range []string{"/v1/jobs", "/v1/jobs/batch"} {
		for _, key := range []string{"", " ", "\x80", "k\u00fc", strings.Repeat("k", 256), strings.Repeat("k", 20_000)} {
			res, raw := s.byHand(t, s.head("POST "+path, "Content-Type: application/json", "Idempotency-Key: "+key, fmt.Sprintf("Content-Length: %d", len(one)), "Connection: close")+one)
			if res == nil {
				t.Errorf("the key %.20q at %s is not answered", key, path)
				continue
			}
			checkProblem(t, fmt.Sprintf("the key %.20q at %s", key, path), res.StatusCode, res.Header, raw, http.StatusBadRequest, "malformed")
		}
	}
	res, raw := s.byHand(t, s.head("POST /v1/jobs", "Content-Type: application/json", "Idempotency-Key: a", "Idempotency-Key: b", fmt.Sprintf("Content-Length: %d", len(one)), "Connection: close")+one)
	if res != nil {
		checkProblem(t, "two keys", res.StatusCode, res.Header, raw, http.StatusBadRequest, "malformed")
	}
}

// badSchedules have names and values that lead nowhere.
func badSchedules(t *testing.T, s *target) {
	good := fmt.Sprintf(`{"cron":"@daily","job":{"type":"compute.checksum","input":{"file":%q}}}`, s.probe)
	for _, name := range []string{"a%20b", "..%2f..%2fetc", "%00", "%c3%bc", "a%0d%0ab", strings.Repeat("n", 129)} {
		res, raw := s.ask(t, "PUT", "/v1/schedules/"+name, map[string]string{"Content-Type": "application/json"}, good)
		if res.StatusCode != http.StatusUnprocessableEntity && res.StatusCode != http.StatusNotFound && res.StatusCode != http.StatusBadRequest {
			t.Errorf("the name %.30s = %d %.200s", name, res.StatusCode, raw)
		}
	}
	for _, body := range []string{
		`{"cron":"` + strings.Repeat("*/1,", 100_000) + `* * * * *","job":{}}`, `{"cron":"99999999999999999999 * * * *","job":{}}`, `{"cron":"* * * * *","timezone":"/etc/passwd","job":{}}`,
		`{"cron":"*/0 * * * *","job":{}}`, `{"cron":"5-1 * * * *","job":{}}`, `{"cron":"\u00a0","job":{}}`, `{"cron":"@reboot","job":{}}`, `{"cron":"@every 1s","job":{}}`,
	} {
		s.refused(t, "PUT", "/v1/schedules/bad", "application/json", body, http.StatusUnprocessableEntity, "invalid")
	}
	s.refused(t, "PUT", "/v1/schedules/bad", "application/json", `{"cron":"@daily","job":`+strings.Repeat(`{"a":`, 200)+`1`+strings.Repeat(`}`, 200)+`}`, http.StatusBadRequest, "malformed")
	var list struct{ Items []schedule }
	s.on(t).call("GET", "/v1/schedules", "", nil, http.StatusOK, &list)
	if len(list.Items) != 0 {
		t.Errorf("schedules were made: %+v", list.Items)
	}
}
