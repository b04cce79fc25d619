package client_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
)

func TestRepetitionUnderAKeyMakesOneJob(t *testing.T) {
	t.Parallel()
	url, _ := newServer(t)
	c := &client.Client{URL: url, Key: key}
	f, err := c.Upload(t.Context(), "input.txt", strings.NewReader("input"), client.WithIdempotencyKey("file"))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Upload(t.Context(), "input.txt", strings.NewReader("input"), client.WithIdempotencyKey("file")); err != nil || again != f {
		t.Errorf("Upload again = %+v, %v, want %+v", again, err, f)
	}
	spec := client.Spec{Type: "compute.checksum", Inputs: []client.Input{{File: f.ID}}, Unique: &client.Unique{Key: "u", TTL: "1h"}}
	first, err := c.Submit(t.Context(), spec, client.WithIdempotencyKey("job"))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Submit(t.Context(), spec, client.WithIdempotencyKey("job")); err != nil || again.ID != first.ID {
		t.Errorf("Submit again = %+v, %v, want %s", again, err, first.ID)
	}
	spec.Tags = []string{"another"}
	_, err = c.Submit(t.Context(), spec, client.WithIdempotencyKey("job"))
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != http.StatusUnprocessableEntity || p.Code != "idempotency_key_reused" {
		t.Errorf("another request under the key = %v", err)
	}
}

func TestBatchAndRetry(t *testing.T) {
	t.Parallel()
	url, _ := newServer(t)
	c := &client.Client{URL: url, Key: key}
	spec := on(t, c, "test.fail")
	specs := []client.Spec{spec, {Type: "no.such"}, spec}
	items, err := c.Batch(t.Context(), specs, client.WithIdempotencyKey("b"))
	if err != nil || len(items) != 3 || items[0].ID == "" || items[1].Err == nil || items[1].Err.Errors[0].Pointer != "/type" || items[2].ID == "" {
		t.Fatalf("Batch = %+v, %v", items, err)
	}
	if again, err := c.Batch(t.Context(), specs, client.WithIdempotencyKey("b")); err != nil || again[2].ID != items[2].ID {
		t.Errorf("Batch again = %+v, %v", again, err)
	}
	if _, err := c.Batch(t.Context(), nil); err == nil {
		t.Error("an empty batch was taken")
	}
	j, err := c.Wait(t.Context(), items[0].ID, nil)
	if err != nil || j.State != "failed" || j.Run != 1 {
		t.Fatalf("job = %+v, %v", j, err)
	}
	if j, err = c.Retry(t.Context(), j.ID, client.WithIdempotencyKey("r")); err != nil || j.Run != 2 {
		t.Errorf("Retry = %+v, %v", j, err)
	}
}

func TestHolderOfAUniqueKeyIsNamed(t *testing.T) {
	t.Parallel()
	url, release := newServer(t)
	c := &client.Client{URL: url, Key: key}
	spec := on(t, c, "test.hold")
	spec.Unique = &client.Unique{Key: "one"}
	first, err := c.Submit(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Submit(t.Context(), spec)
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != http.StatusConflict || p.Job != first.ID {
		t.Errorf("the second = %v, want a conflict with %s", err, first.ID)
	}
	close(release)
	if _, err := c.Wait(t.Context(), first.ID, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Submit(t.Context(), spec); err != nil {
		t.Errorf("once it is done the key is free, but %v", err)
	}
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	url, _ := newServer(t)
	c := &client.Client{URL: url, Key: key}
	put, err := c.PutSchedule(t.Context(), "nightly", client.ScheduleSpec{Cron: "0 3 * * *", Timezone: "Europe/Paris", Job: on(t, c, "compute.checksum")})
	if err != nil || put.NextRunAt == nil || !put.NextRunAt.After(time.Now()) || put.CatchUp != "last" {
		t.Fatalf("PutSchedule = %+v, %v", put, err)
	}
	if got, err := c.Schedule(t.Context(), "nightly"); err != nil || got.Cron != put.Cron || got.LastRunAt != nil {
		t.Errorf("Schedule = %+v, %v", got, err)
	}
	if err := c.DeleteSchedule(t.Context(), "nightly"); err != nil {
		t.Error(err)
	}
	_, err = c.Schedule(t.Context(), "nightly")
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != http.StatusNotFound {
		t.Errorf("after its end = %v", err)
	}
}
