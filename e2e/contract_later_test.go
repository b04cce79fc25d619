package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// laterContract asks for everything that the contract describes and this release does not have: 422 not_available, never silence.
func laterContract(t *testing.T, s *target) {
	file := fmt.Sprintf(`"input":{"file":%q}`, s.probe)
	for pointer, body := range map[string]string{
		"/webhook":        `{"type":"compute.checksum",` + file + `,"webhook":{"url":"https://example.com"}}`,
		"/on_unavailable": `{"type":"compute.checksum",` + file + `,"on_unavailable":"fail"}`,
		"/input/url":      `{"type":"compute.checksum","input":{"url":"https://example.com/x"}}`, "/input/job": `{"type":"compute.checksum","input":{"job":"0198c0de-0000-7000-8000-000000000000"}}`,
		"/inputs/0/url": `{"type":"compute.checksum","inputs":[{"url":"https://example.com/x"}]}`,
		"/params/codec": `{"type":"file.compress",` + file + `,"params":{"codec":"brotli"}}`,
	} {
		s.notAvailable(t, body, pointer)
	}
	for _, task := range []string{"file.archive", "compute.query", "compute.wasm"} {
		s.notAvailable(t, `{"type":"`+task+`",`+file+`}`, "/type")
	}
	s.notAvailable(t, `{"type":"file.decompress",`+file+`,"params":{"codec":"brotli"}}`, "/params/codec")
	for _, field := range []string{"webhook", "on_unavailable"} {
		contentType, body := form(t, part{"type", "", "compute.checksum"}, part{field, "", `{"key":"x"}`}, part{"file", "x.txt", probeText})
		s.refused(t, "POST", "/v1/jobs", contentType, body, http.StatusUnprocessableEntity, "not_available")
	}
	// null is as good as absent.
	s.on(t).call("POST", "/v1/jobs?wait=30s", "application/json", []byte(`{"type":"compute.checksum",`+file+`,"unique":null,"webhook":null,"metadata":null}`), http.StatusOK, nil)

	id := "0198c0de-0000-7000-8000-000000000000"
	for _, line := range []string{
		"GET /v1/jobs/" + id + "/deliveries", "POST /v1/uploads", "OPTIONS /v1/uploads",
		"HEAD /v1/uploads/x", "PATCH /v1/uploads/x", "DELETE /v1/uploads/x",
		"GET /v1/keys", "POST /v1/keys", "DELETE /v1/keys/x", "POST /v1/token", "GET /v1/breakers",
	} {
		method, path, _ := strings.Cut(line, " ")
		if method == "HEAD" {
			if res, _ := s.ask(t, method, path, nil, ""); res.StatusCode != http.StatusUnprocessableEntity {
				t.Errorf("%s = %d, want 422", line, res.StatusCode)
			}
			continue
		}
		s.refused(t, method, path, "", "", http.StatusUnprocessableEntity, "not_available")
	}
}

func (s *target) notAvailable(t *testing.T, body, pointer string) {
	t.Helper()
	p := s.refused(t, "POST", "/v1/jobs", "application/json", body, http.StatusUnprocessableEntity, "not_available")
	if len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
		t.Errorf("%s: errors = %+v, want one at %s", body, p.Errors, pointer)
	}
}

func catalogueContract(t *testing.T, s *target) {
	c := s.on(t)
	var types struct {
		Items []struct {
			Type, Title, Description string
			Schema                   map[string]any
			Examples                 []struct{ Params json.RawMessage }
		}
	}
	c.call("GET", "/v1/task-types", "", nil, http.StatusOK, &types)
	var names []string
	for _, item := range types.Items {
		names = append(names, item.Type)
		var one struct{ Type string }
		c.call("GET", "/v1/task-types/"+item.Type, "", nil, http.StatusOK, &one)
		if one.Type != item.Type || item.Title == "" || item.Description == "" || len(item.Examples) == 0 {
			t.Errorf("task type %q has a gap: %+v", item.Type, item)
		}
		if draft := fmt.Sprint(item.Schema["$schema"]); !strings.Contains(draft, "2020-12") {
			t.Errorf("task type %q: the schema is of draft %s", item.Type, draft)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("type.json", map[string]any(item.Schema)); err != nil {
			t.Fatal(err)
		}
		if _, err := compiler.Compile("type.json"); err != nil {
			t.Errorf("task type %q: the schema does not compile: %v", item.Type, err)
		}
		for _, example := range item.Examples { // what is shown as an example is accepted
			j := c.submit(`{"type":%q,"input":{"file":%q},"params":%s,"delay":"1h"}`, item.Type, s.probe, example.Params)
			c.call("POST", "/v1/jobs/"+j.ID+"/cancel", "", nil, http.StatusOK, nil)
		}
	}
	if got := strings.Join(names, " "); got != "image.resize image.info file.compress file.decompress compute.stats compute.checksum" {
		t.Errorf("task types = %s", got)
	}
	s.refused(t, "GET", "/v1/task-types/no.such", "", "", http.StatusNotFound, "not_found")

	var queues struct {
		Items []struct{ Name, Latency string }
		AsOf  time.Time `json:"as_of"`
	}
	c.call("GET", "/v1/queues", "", nil, http.StatusOK, &queues)
	if len(queues.Items) != 7 || time.Since(queues.AsOf) > time.Minute {
		t.Errorf("queues = %+v", queues)
	}
	roles := make(map[string]int)
	for _, role := range []string{"worker", "core"} {
		for _, w := range s.workers(role) {
			roles[w.Role]++
			if w.PID == 0 || w.ID == "" {
				t.Errorf("process = %+v", w)
			}
		}
	}
	if want := map[string]int{"embedded": 1, "production": 0}[s.mode]; roles["core"] != want || roles["worker"] != 2 {
		t.Errorf("processes by role = %v, want two workers and %d core", roles, want)
	}
}

func probeContract(t *testing.T, s *target) {
	c := s.on(t)
	var ready struct {
		Status string
		Checks map[string]string
	}
	c.call("GET", "/livez", "", nil, http.StatusOK, &ready)
	c.call("GET", "/readyz", "", nil, http.StatusOK, &ready)
	if ready.Status != "ready" || len(ready.Checks) < 2 {
		t.Errorf("/readyz = %+v", ready)
	}
	for name, state := range ready.Checks {
		if state != "ok" {
			t.Errorf("/readyz: %s is %s", name, state)
		}
	}
	metrics := string(c.bytes("/metrics"))
	for _, name := range []string{"millrace_http_requests_total", "millrace_jobs", "millrace_pool_open_connections", "millrace_queue_dispatched", "millrace_processes", "go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(metrics, "\n"+name) {
			t.Errorf("/metrics lacks %s", name)
		}
	}
	for path, kind := range map[string]string{"/": "text/html", "/docs": "text/html", "/dashboard": "text/html", "/openapi.json": "application/json"} {
		res, raw := s.ask(t, "GET", path, nil, "")
		if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), kind) || len(raw) == 0 || res.Header.Get("Content-Security-Policy") == "" ||
			res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s = %d %v", path, res.StatusCode, res.Header)
		}
	}
}
