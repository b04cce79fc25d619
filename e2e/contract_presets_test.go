package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

type preset struct {
	Name, Type string
	Params     json.RawMessage
	Version    int
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// sums is a preset of compute.checksum.
func sums(algorithms string) []byte {
	return fmt.Appendf(nil, `{"type":"compute.checksum","params":{"algorithms":[%s]}}`, algorithms)
}

// takes submits a job with params and answers which sums it is to make.
func takes(t *testing.T, c *client, file, params string) []string {
	t.Helper()
	var j struct{ Params struct{ Algorithms []string } }
	body := fmt.Appendf(nil, `{"type":"compute.checksum","input":{"file":%q},"cache":false,"params":%s}`, file, params)
	c.call("POST", "/v1/jobs", "application/json", body, http.StatusAccepted, &j)
	return j.Params.Algorithms
}

func presetContract(t *testing.T, s *target) {
	c := s.on(t)
	var made, read preset
	header := c.call("PUT", "/v1/presets/contract", "application/json", sums(`"md5"`), http.StatusCreated, &made)
	if header.Get("Location") != "/v1/presets/contract" || header.Get("ETag") == "" || made.Name != "contract" || made.Version != 1 || made.CreatedAt.IsZero() {
		t.Errorf("preset = %+v with %v", made, header)
	}
	if got := takes(t, c, s.probe, `{"preset":"contract"}`); !slices.Equal(got, []string{"md5"}) {
		t.Errorf("a job takes %v", got)
	}
	if got := takes(t, c, s.probe, `{"preset":"contract","algorithms":["crc32"]}`); !slices.Equal(got, []string{"crc32"}) {
		t.Errorf("a job with params of its own takes %v", got)
	}
	c.call("PUT", "/v1/presets/contract", "application/json", sums(`"sha1"`), http.StatusOK, &made)
	if got := takes(t, c, s.probe, `{"preset":"contract"}`); !slices.Equal(got, []string{"sha1"}) {
		t.Errorf("the process that answered the change gives a job %v", got)
	}
	c.call("GET", "/v1/presets/contract", "", nil, http.StatusOK, &read)
	if read.Version != 2 || string(read.Params) != `{"algorithms":["sha1"]}` {
		t.Errorf("replaced = %+v", read)
	}
	var list struct{ Items []preset }
	c.call("GET", "/v1/presets?limit=500", "", nil, http.StatusOK, &list)
	if !slices.ContainsFunc(list.Items, func(p preset) bool { return p.Name == "contract" }) {
		t.Errorf("the list lacks it: %+v", list)
	}
	c.call("DELETE", "/v1/presets/contract", "", nil, http.StatusNoContent, nil)
	s.refused(t, "GET", "/v1/presets/contract", "", "", http.StatusNotFound, "not_found")
	s.refused(t, "DELETE", "/v1/presets/contract", "", "", http.StatusNotFound, "not_found")

	job := fmt.Sprintf(`{"type":"compute.checksum","input":{"file":%q},"params":{"preset":"contract"}}`, s.probe)
	for _, tt := range []struct{ method, path, body, pointer string }{
		{"POST", "/v1/jobs", job, "/params/preset"},
		{"PUT", "/v1/schedules/bad", `{"cron":"@daily","job":` + job + `}`, "/job/params/preset"},
		{"PUT", "/v1/presets/bad", `{"type":"image.resize","params":{"width":0}}`, "/params/width"},
		{"PUT", "/v1/presets/bad", `{"type":"no.such","params":{}}`, "/type"},
		{"PUT", "/v1/presets/b%20d", string(sums(`"md5"`)), "/name"},
	} {
		p := s.refused(t, tt.method, tt.path, "application/json", tt.body, http.StatusUnprocessableEntity, "invalid")
		if len(p.Errors) == 0 || p.Errors[0].Pointer != tt.pointer {
			t.Errorf("%s %s: errors = %+v, want %s", tt.method, tt.path, p.Errors, tt.pointer)
		}
	}
}

// TestPresetsReachEveryProcess changes presets at one api process and uses them at another one, which had them in its memory.
func TestPresetsReachEveryProcess(t *testing.T) {
	s := start(t, "production")
	s.launch("second api", "api", "--addr", "127.0.0.1:0")
	other := newClient(t, s.processes["second api"].ready(t))
	f := s.upload("a.txt", []byte("a"))
	ask := func(c *client) []string { return takes(t, c, f.ID, `{"preset":"shared"}`) }
	s.call("PUT", "/v1/presets/shared", "application/json", sums(`"md5"`), http.StatusCreated, nil)
	for _, want := range []string{"sha1", "crc32", "blake3", "sha256"} {
		before := ask(other)
		s.call("PUT", "/v1/presets/shared", "application/json", sums(`"`+want+`"`), http.StatusOK, nil)
		changed := time.Now()
		if got := ask(s.client); !slices.Equal(got, []string{want}) {
			t.Errorf("the process that answered the change gives a job %v, want %s", got, want)
		}
		eventually(t, 30*time.Second, "the other process has heard of the change", func() bool {
			got := ask(other)
			if !slices.Equal(got, before) && !slices.Equal(got, []string{want}) {
				t.Fatalf("the other process gives a job %v", got)
			}
			return slices.Equal(got, []string{want})
		})
		t.Logf("a job at the other process took the new version %s after the answer", time.Since(changed).Round(time.Millisecond))
	}
	s.call("DELETE", "/v1/presets/shared", "", nil, http.StatusNoContent, nil)
	body := fmt.Appendf(nil, `{"type":"compute.checksum","input":{"file":%q},"params":{"preset":"shared"}}`, f.ID)
	eventually(t, 30*time.Second, "the other process knows that it is gone", func() bool {
		status, _, _, err := other.do("POST", "/v1/jobs", "application/json", bytes.NewReader(body))
		return err == nil && status == http.StatusUnprocessableEntity
	})
}
