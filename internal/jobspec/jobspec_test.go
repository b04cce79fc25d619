package jobspec_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/jobspec"
)

const fileID = "0198c0de-0000-7000-8000-000000000000"

func TestDecode(t *testing.T) {
	t.Parallel()
	got, err := jobspec.Decode([]byte(`{"type":"image.resize","input":{"file":"`+fileID+`"},"params":{"width":800},"priority":"high","delay":"10s",
		"timeout":"5m","deadline":"2100-01-01T00:00:00Z","max_attempts":8,"backoff":{"initial":"1s","factor":2},"unique":{"key":"k","ttl":"1h"},
		"cache":false,"tags":["a"],"metadata":{"order":"42"},"retention":"24h"}`), "acme")
	second, factor, never := time.Second, 2.0, false
	want := dispatch.Spec{
		Tenant: "acme", Type: "image.resize", Params: []byte(`{"width":800}`), Inputs: []millrace.Input{{File: fileID}}, Priority: millrace.High,
		Delay: 10 * time.Second, Timeout: 5 * time.Minute, Deadline: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), MaxAttempts: 8,
		Backoff: dispatch.BackoffSpec{Initial: &second, Factor: &factor}, Unique: &millrace.Unique{Key: "k", TTL: time.Hour},
		Cache: &never, Tags: []string{"a"}, Metadata: []byte(`{"order":"42"}`), Retention: 24 * time.Hour,
	}
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Decode (-want +got):\n%s", diff)
	}
}

func TestDecodeRecurringRefusesTimes(t *testing.T) {
	t.Parallel()
	if _, err := jobspec.DecodeRecurring([]byte(`{"type":"x.y","unique":{"key":"k"}}`), "acme"); err != nil {
		t.Errorf("a job without times = %v", err)
	}
	for _, tt := range []struct {
		body, pointer string
		kind          millrace.Kind
	}{
		{`{"type":"x.y","run_at":"2100-01-01T00:00:00Z"}`, "/run_at", millrace.Invalid},
		{`{"type":"x.y","delay":"1h"}`, "/delay", millrace.Invalid},
		{`{"type":"x.y","deadline":"2100-01-01T00:00:00Z"}`, "/deadline", millrace.Invalid},
		{`{"type":"x.y","idempotency":"k"}`, "/idempotency", millrace.Malformed},
		{`{"type":"x.y","webhook":{}}`, "/webhook", millrace.Invalid},
		{`{"type":"x.y","timeout":"x"}`, "/timeout", millrace.Invalid},
		{`{}`, "/type", millrace.Invalid},
	} {
		_, err := jobspec.DecodeRecurring([]byte(tt.body), "acme")
		e, ok := errors.AsType[*millrace.Error](err)
		if !ok || e.Kind != tt.kind || len(e.Fields) != 1 || e.Fields[0].Pointer != tt.pointer {
			t.Errorf("DecodeRecurring(%s) = %#v, want %s", tt.body, err, tt.pointer)
		}
	}
}
