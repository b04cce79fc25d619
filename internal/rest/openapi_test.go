package rest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/millrace/millrace/store"
)

// document is the OpenAPI document as far as tests look at it.
type document struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		OperationID string         `json:"operationId"`
		Summary     string         `json:"summary"`
		Responses   map[string]any `json:"responses"`
	} `json:"paths"`
}

func TestOpenAPIDescribesEveryRoute(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	doc := read[document](t, m.get("/openapi.json"), http.StatusOK)
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi = %q", doc.OpenAPI)
	}
	ids := map[string]string{}
	described := 0
	for path, item := range doc.Paths {
		for method, op := range item {
			described++
			if op.Summary == "" || len(op.Responses) == 0 {
				t.Errorf("%s %s has no summary or no answers", method, path)
			}
			if other, twice := ids[op.OperationID]; twice {
				t.Errorf("%s %s and %s share the id %s", method, path, other, op.OperationID)
			}
			ids[op.OperationID] = method + " " + path
		}
	}
	routes := 0
	for _, r := range m.server.Surface() {
		if r.Pattern != "/docs" && !strings.HasPrefix(r.Pattern, "/v1/") && (r.Pattern == "/" || strings.HasPrefix(r.Pattern, "/assets") || strings.HasPrefix(r.Pattern, "/dashboard")) || r.Pattern == "/docs" {
			continue // pages, for people
		}
		routes++
		path := strings.NewReplacer(":id", "{id}", ":name", "{name}", ":type", "{type}").Replace(r.Pattern)
		if _, ok := doc.Paths[path][strings.ToLower(r.Method)]; !ok {
			t.Errorf("%s %s is not described", r.Method, path)
		}
	}
	if described != routes {
		t.Errorf("%d operations are described, %d routes exist", described, routes)
	}
}

// TestAnswersMatchTheirSchemas reads real answers with the schemas that the document gives them.
func TestAnswersMatchTheirSchemas(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	schemas := compile(t, m.get("/openapi.json").body)
	f := m.upload("a", "x")
	j := m.submit(f.ID)
	failed := m.submit(f.ID)
	m.finish(m.claim(j.ID), store.OutcomeSucceeded, "out")
	m.finish(m.claim(failed.ID), store.OutcomeFailed, "")
	for _, tt := range []struct {
		schema string
		answer answer
	}{
		{"File", m.get(f.URL)}, {"FileList", m.get("/v1/files?limit=1")}, {"Job", m.get(j.URL)}, {"Job", m.get(failed.URL)},
		{"Job", m.postJSON("/v1/jobs", `{"type":"file.compress","input":{"file":"`+f.ID+`"},"delay":"1h"}`)},
		{"JobList", m.get("/v1/jobs?limit=1")}, {"TaskTypeList", m.get("/v1/task-types")}, {"TaskType", m.get("/v1/task-types/file.compress")},
		{"QueueList", m.get("/v1/queues")}, {"WorkerList", m.get("/v1/workers")}, {"Session", m.get("/v1/session")}, {"Live", m.get("/livez")},
		{"Ready", m.get("/readyz")}, {"Problem", m.get("/v1/nothing")}, {"Problem", m.postJSON("/v1/jobs", `{"type":1}`)},
	} {
		if err := schemas(tt.schema, tt.answer.body); err != nil {
			t.Errorf("%s %s does not fit %s: %v", tt.answer.Request.Method, tt.answer.Request.URL.Path, tt.schema, err)
		}
	}
}

func TestExamplesOfTheDocumentAreGoodRequests(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	raw := m.get("/openapi.json").body
	schemas := compile(t, raw)
	var doc struct {
		Paths map[string]struct {
			Post struct {
				RequestBody struct {
					Content map[string]struct {
						Examples map[string]struct{ Value json.RawMessage }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	examples := doc.Paths["/v1/jobs"].Post.RequestBody.Content["application/json"].Examples
	if len(examples) < 5 {
		t.Fatalf("%d examples", len(examples))
	}
	f := m.upload("a", "x")
	for name, e := range examples {
		if err := schemas("JobRequest", e.Value); err != nil {
			t.Errorf("example %s does not fit JobRequest: %v", name, err)
		}
		body := bytes.ReplaceAll(e.Value, []byte("0198c0de-0000-7000-8000-000000000000"), []byte(f.ID))
		if a := m.postJSON("/v1/jobs", string(body)); a.StatusCode != http.StatusAccepted {
			t.Errorf("example %s = %d %s", name, a.StatusCode, a.body)
		}
	}
	for _, bad := range []string{`{"type":"file.compress","params":{"codec":"rar"}}`, `{"type":"no.such"}`, `{"type":"file.compress","colour":"red"}`} {
		if schemas("JobRequest", []byte(bad)) == nil {
			t.Errorf("JobRequest lets pass %s", bad)
		}
	}
}

// compile makes a check of a document's component schemas.
func compile(t *testing.T, raw []byte) func(schema string, doc []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("https://mill.example/openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return func(schema string, doc []byte) error {
		s, err := c.Compile("https://mill.example/openapi.json#/components/schemas/" + schema)
		if err != nil {
			return fmt.Errorf("compile: %w", err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
		if err != nil {
			return err
		}
		return s.Validate(v)
	}
}

func TestDocs(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	a := m.get("/docs")
	page := string(a.body)
	if a.StatusCode != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("docs = %d %s", a.StatusCode, a.Header.Get("Content-Type"))
	}
	for _, want := range []string{"POST /v1/jobs", "/v1/files/{id}/content", "image.resize", "jobs:write"} {
		if !strings.Contains(page, want) {
			t.Errorf("docs lack %s", want)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "https://") && !strings.Contains(page, "json-schema.org") {
		t.Error("docs load something")
	}
	if !strings.Contains(a.Header.Get("Content-Security-Policy"), "style-src 'sha256-") {
		t.Errorf("policy of docs = %s", a.Header.Get("Content-Security-Policy"))
	}
}
