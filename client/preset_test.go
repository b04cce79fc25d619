package client_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/millrace/millrace/client"
)

func TestPresets(t *testing.T) {
	t.Parallel()
	url, _ := newServer(t)
	c := &client.Client{URL: url, Key: key}
	spec := client.PresetSpec{Type: "compute.checksum", Params: json.RawMessage(`{"algorithms":["md5"]}`)}
	put, err := c.PutPreset(t.Context(), "sums", spec)
	if err != nil || put.Name != "sums" || put.Version != 1 || put.CreatedAt.IsZero() {
		t.Fatalf("PutPreset = %+v, %v", put, err)
	}
	if again, err := c.PutPreset(t.Context(), "sums", spec); err != nil || again.Version != 1 {
		t.Errorf("PutPreset again = %+v, %v", again, err)
	}
	if got, err := c.Preset(t.Context(), "sums"); err != nil || string(got.Params) != string(spec.Params) {
		t.Errorf("Preset = %+v, %v", got, err)
	}
	job := on(t, c, "compute.checksum")
	job.Params = json.RawMessage(`{"preset":"sums"}`)
	var sums map[string]string
	if done := run(t, c, job); json.Unmarshal(done.Result, &sums) != nil || len(sums) != 1 || sums["md5"] == "" {
		t.Errorf("a job with the preset = %s", done.Raw)
	}
	if err := c.DeletePreset(t.Context(), "sums"); err != nil {
		t.Fatal(err)
	}
	_, err = c.Preset(t.Context(), "sums")
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != http.StatusNotFound {
		t.Errorf("Preset after DeletePreset = %v", err)
	}
}
