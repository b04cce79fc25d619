package rest_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rest"
)

// TestEncodeJob holds the writing by hand against encoding/json.
func TestEncodeJob(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 12, 0, 0, 7_000_000, time.UTC)
	for _, j := range []millrace.Job{
		{},
		{ID: newID(), Tenant: "t", Type: "image.resize", State: millrace.Queued, Priority: millrace.High, Params: json.RawMessage(`{"a":[1,"<&>"]}`),
			Inputs: []millrace.Input{{File: "a"}, {File: "b"}}, Tags: []string{"x", "<\"\\ü\u2028\x7f\n>"}, Metadata: json.RawMessage(" {\"a\" : \"b c\" }\n"),
			Run: 2, Attempt: 1, MaxAttempts: 5, CreatedAt: at, RunAt: at.Add(time.Hour), Deadline: at.Add(2 * time.Hour), Schedule: "nightly",
			Unique: &millrace.Unique{Key: "k\"", TTL: time.Hour}},
		{State: millrace.Succeeded, Cached: true, Result: json.RawMessage(`{"n":1e3}`), StartedAt: at, FinishedAt: at, ExpiresAt: at, Unique: &millrace.Unique{Key: "\xff"}},
		{State: millrace.Failed, Error: &millrace.JobError{Code: "x", Message: "y"}},
		{Progress: millrace.Progress{Done: 1, Total: 2, Unit: "rows"}},
		{Attempts: []millrace.Attempt{{N: 1, StartedAt: at}}, Outputs: []millrace.Output{{Name: "a b"}}},
	} {
		var quick, plain bytes.Buffer
		plain.WriteString("before")
		quick.WriteString("before")
		if err := rest.EncodeJob(&quick, &j); err != nil {
			t.Fatal(err)
		}
		if err := rest.EncodePlainly(&plain, &j); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(quick.Bytes(), plain.Bytes()) {
			t.Errorf("job = %s\nwant  %s", quick.Bytes(), plain.Bytes())
		}
	}
}
