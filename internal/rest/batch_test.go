package rest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rest"
	"github.com/millrace/millrace/store"
)

// batchAnswer is what clients read of a batch's answer.
type batchAnswer struct {
	Items []struct {
		Index int      `json:"index"`
		ID    string   `json:"id"`
		Error *problem `json:"error"`
	} `json:"items"`
}

var ndjson = header("Content-Type", "application/x-ndjson")

func (m *mill) batch(body string, options ...option) batchAnswer {
	m.t.Helper()
	return read[batchAnswer](m.t, m.do(http.MethodPost, "/v1/jobs/batch", strings.NewReader(body), options...), http.StatusAccepted)
}

func TestBatchTakesWhatIsRight(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	ok := `"type":"compute.checksum","input":{"file":"` + f.ID + `"},"cache":false`
	holder := read[job](t, m.postJSON("/v1/jobs", `{`+ok+`,"unique":{"key":"held"}}`), http.StatusAccepted)
	jobs := []struct {
		body, code, pointer string // code "": accepted
	}{
		{`{` + ok + `}`, "", ""},
		{`{` + ok + `,"params":{"algorithms":["md5"]},"priority":"high","tags":["t"],"delay":"1h"}`, "", ""},
		{`{"type":`, "malformed", ""},
		{`7`, "malformed", ""},
		{`{` + ok + `,"colour":"red"}`, "malformed", "/colour"},
		{`{"type":"no.such"}`, "invalid", "/type"},
		{`{` + ok + `,"params":{"algorithms":["rot13"]}}`, "invalid", "/params/algorithms/0"},
		{`{"type":"compute.checksum","input":{"file":"` + newID() + `"},"cache":false}`, "invalid_input", "/input/file"},
		{`{"type":"compute.checksum","input":{"file":"` + newID() + `"}}`, "invalid_input", "/input/file"},
		{`{` + ok + `,"unique":{"key":"held"}}`, "unique_held", "/unique/key"},
		{`{` + ok + `,"unique":{"key":"free"}}`, "", ""},
		{`{` + ok + `,"unique":{"key":"free"}}`, "unique_held", "/unique/key"},
		{`{` + ok + `,"deadline":"2020-01-01T00:00:00Z"}`, "invalid", "/deadline"},
		{`{` + ok + `,"metadata":` + strings.Repeat(`{"a":`, 70) + `1` + strings.Repeat(`}`, 70) + `}`, "malformed", ""},
		{`{` + ok + `}`, "", ""},
	}
	var lines []string
	for _, j := range jobs {
		lines = append(lines, j.body)
	}
	got := m.batch(strings.Join(lines, "\n\n")+"\r\n", ndjson)
	if len(got.Items) != len(jobs) {
		t.Fatalf("%d items, want %d", len(got.Items), len(jobs))
	}
	for i, item := range got.Items {
		want := jobs[i]
		switch {
		case item.Index != i:
			t.Errorf("item %d has the index %d", i, item.Index)
		case want.code == "":
			if item.Error != nil || m.Job(item.ID).Type != "compute.checksum" {
				t.Errorf("item %d = %+v, want it accepted", i, item.Error)
			}
		case item.Error == nil || item.ID != "":
			t.Errorf("item %d = %+v, want %s", i, item, want.code)
		case item.Error.Code != want.code || want.pointer != "" && (len(item.Error.Errors) == 0 || item.Error.Errors[0].Pointer != want.pointer) ||
			item.Error.Detail == "" || item.Error.Title == "" || item.Error.Status < 400:
			t.Errorf("item %d = %+v, want %s at %s", i, item.Error, want.code, want.pointer)
		}
	}
	if item := got.Items[9].Error; item.Job != holder.ID {
		t.Errorf("the holder is %q, want %s", item.Job, holder.ID)
	}
	if item := got.Items[11].Error; item.Job != got.Items[10].ID {
		t.Errorf("the holder in the batch is %q, want %s", item.Job, got.Items[10].ID)
	}
	if row := m.Job(got.Items[1].ID); row.State != millrace.Scheduled || row.Queue != "io.high" || string(row.Params) != `{"algorithms":["md5"]}` {
		t.Errorf("item 1 in the ledger = %+v", row)
	}
}

func TestBatchAsAnArray(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	one := `{"type":"compute.checksum","input":{"file":"` + f.ID + `"},"cache":false,"metadata":{"a":["]",{"b":"},\\\""}]}}`
	kind := header("Content-Type", "application/json; charset=utf-8")
	got := m.batch(" [ "+one+" ,\n"+one+", null, 7 , \"x\"] ", kind)
	if len(got.Items) != 5 || got.Items[0].ID == "" || got.Items[1].ID == "" || got.Items[2].Error == nil || got.Items[3].Error == nil || got.Items[4].Error == nil {
		t.Errorf("items = %+v", got.Items)
	}
	for _, tt := range []struct {
		name, body string
		status     int
	}{
		{"empty body", ``, 400}, {"one job", one, 400}, {"never closed", "[" + one, 400}, {"comma at the end", "[" + one + ",]", 400},
		{"comma at the beginning", "[," + one + "]", 400}, {"more behind", "[" + one + "] []", 400}, {"no item", `[]`, 422}, {"no item, spaced", " [ \n ] ", 422},
		{"closed too often", "[" + one + "]]", 400}, {"a string that never ends", `["a`, 400}, {"brackets without end", strings.Repeat("[", 1<<20), 400},
	} {
		if a := m.do(http.MethodPost, "/v1/jobs/batch", strings.NewReader(tt.body), kind); true {
			t.Run(tt.name, func(t *testing.T) { wantProblem(t, a, tt.status) })
		}
	}
	for _, body := range []string{"", "\n\n", " \r\n "} {
		wantProblem(t, m.do(http.MethodPost, "/v1/jobs/batch", strings.NewReader(body), ndjson), http.StatusUnprocessableEntity)
	}
	for _, kind := range []string{"", "text/plain", "application/json; charset=latin1", "multipart/form-data; boundary=b"} {
		wantProblem(t, m.postJSON("/v1/jobs/batch", "["+one+"]", header("Content-Type", kind)), http.StatusUnsupportedMediaType)
	}
	if n := m.jobs(); n != 2 {
		t.Errorf("%d jobs, want 2", n)
	}
}

func TestBatchLimits(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) { c.Limits.Batch = 4 << 20 })
	f := m.upload("a", "x")
	line := `{"type":"compute.checksum","input":{"file":"` + f.ID + `"},"cache":false}` + "\n"
	got := m.batch(strings.Repeat(line, 10_000), ndjson)
	accepted := map[string]bool{}
	for _, item := range got.Items {
		if item.Error != nil {
			t.Fatalf("item %d = %+v", item.Index, item.Error)
		}
		accepted[item.ID] = true
	}
	if n := m.jobs(); n != 10_000 || len(accepted) != n {
		t.Errorf("%d jobs, %d ids, want 10,000 of each", n, len(accepted))
	}
	for name, body := range map[string]string{"jobs": strings.Repeat(line, 10_001), "bytes": strings.Repeat(" ", 4<<20) + line} {
		if p := wantProblem(t, m.do(http.MethodPost, "/v1/jobs/batch", strings.NewReader(body), ndjson), http.StatusRequestEntityTooLarge); !strings.Contains(p.Detail, "10000") {
			t.Errorf("too many %s: the limit is not named: %s", name, p.Detail)
		}
	}
	wantProblem(t, m.do(http.MethodPost, "/v1/jobs/batch", io.MultiReader(strings.NewReader(strings.Repeat(" ", 8<<20))), ndjson), http.StatusRequestEntityTooLarge)
	wantProblem(t, m.postJSON("/v1/jobs/batch", "["+strings.Repeat(strings.TrimSpace(line)+",", 10_000)+strings.TrimSpace(line)+"]"), http.StatusRequestEntityTooLarge)
	if n := m.jobs(); n != 10_000 {
		t.Errorf("refused batches left %d jobs", n-10_000)
	}
}

func TestBatchesShareTheirMemory(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) { c.Limits.Batches = 100_000 })
	f := m.upload("a", "x")
	line := `{"type":"compute.checksum","input":{"file":"` + f.ID + `"},"cache":false}` + "\n"
	for range 3 { // what one has taken, the next finds again
		if got := m.batch(strings.Repeat(line, 40), ndjson); len(got.Items) != 40 {
			t.Errorf("%d items, want 40", len(got.Items))
		}
		for name, body := range map[string]string{"by its length": strings.Repeat(line, 2000), "by its jobs": strings.Repeat(line, 60)} {
			a := m.do(http.MethodPost, "/v1/jobs/batch", strings.NewReader(body), ndjson)
			if wantProblem(t, a, http.StatusServiceUnavailable); a.Header.Get("Retry-After") != "1" {
				t.Errorf("%s: Retry-After = %q", name, a.Header.Get("Retry-After"))
			}
		}
		a := m.do(http.MethodPost, "/v1/jobs/batch", io.MultiReader(strings.NewReader(strings.Repeat(" ", 8<<20))), ndjson)
		wantProblem(t, a, http.StatusServiceUnavailable)
	}
}

func TestBatchHitsTheCache(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f, other := m.upload("a", "x"), m.upload("b", "y")
	of := func(id string) string { return `{"type":"compute.checksum","input":{"file":"` + id + `"}}` }
	m.finish(m.claim(read[job](t, m.postJSON("/v1/jobs", of(f.ID)), http.StatusAccepted).ID), store.OutcomeSucceeded, "sum")
	for _, options := range [][]option{{ndjson}, {ndjson, keyed("k")}} {
		got := m.batch(of(f.ID)+"\n"+of(other.ID)+"\n"+of(f.ID), options...)
		for i, cached := range []bool{true, false, true} {
			if item := got.Items[i]; item.Error != nil || m.Job(item.ID).Cached != cached {
				t.Errorf("item %d = %+v, want it cached: %v", i, item, cached)
			}
		}
	}
}

func TestKeyOfABatch(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	f := m.upload("a", "x")
	line := `{"type":"compute.checksum","input":{"file":"` + f.ID + `"},"cache":false}`
	send := func(body string, options ...option) answer {
		return m.do(http.MethodPost, "/v1/jobs/batch", strings.NewReader(body), append(options, ndjson)...)
	}
	body := strings.Repeat(line+"\n", 2000) + "{\n"
	first := send(body, keyed("k"))
	items := read[batchAnswer](t, first, http.StatusAccepted)
	if len(items.Items) != 2001 || items.Items[2000].Error == nil {
		t.Fatalf("%d items", len(items.Items))
	}
	wantReplay(t, first, send(body, keyed("k")))
	wantReplay(t, first, send(strings.ReplaceAll(body, `,"cache"`, ` , "cache"`), keyed("k")))
	wantReused(t, send(line, keyed("k")))
	if n := m.jobs(); n != 2000 {
		t.Errorf("%d jobs, want 2,000", n)
	}
}

// TestBatchAnswerIsJSON holds the answer, which is written by hand, against a decoder.
func TestBatchAnswerIsJSON(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	a := m.do(http.MethodPost, "/v1/jobs/batch", strings.NewReader("{\"\\\"<\\u2028\":1}\n\"\n{\"type\":\"\\\"</script>\"}\n"), ndjson)
	var v map[string][]map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &v); err != nil || len(v["items"]) != 3 {
		t.Errorf("answer = %s, %v", a.body, err)
	}
	for i, item := range v["items"] {
		if len(item) != 2 || string(item["index"]) != fmt.Sprint(i) || item["error"] == nil {
			t.Errorf("item %d = %s", i, item)
		}
	}
}
