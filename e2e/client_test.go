package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// client speaks to a server over HTTP, as its users do.
type client struct {
	t    testing.TB
	url  string
	http *http.Client
}

func newClient(t testing.TB, url string) *client {
	return &client{t: t, url: url, http: &http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
}

type job struct {
	ID          string          `json:"id"`
	Type        string          `json:"type"`
	State       string          `json:"state"`
	Run         int             `json:"run"`
	Attempt     int             `json:"attempt"`
	Attempts    []attempt       `json:"attempts"`
	Error       *jobError       `json:"error"`
	Result      json.RawMessage `json:"result"`
	Outputs     []output        `json:"outputs"`
	Cached      bool            `json:"cached"`
	Progress    json.RawMessage `json:"progress"`
	CreatedAt   time.Time       `json:"created_at"`
	FinishedAt  *time.Time      `json:"finished_at"`
	MaxAttempts int             `json:"max_attempts"`
}

type attempt struct {
	N         int       `json:"n"`
	Worker    string    `json:"worker"`
	StartedAt time.Time `json:"started_at"`
	Outcome   string    `json:"outcome"`
	Spent     bool      `json:"spent"`
}

type jobError struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
}

type output struct {
	Name        string `json:"name"`
	File        string `json:"file"`
	Size        int64  `json:"size"`
	ContentType string `json:"content_type"`
	SHA256      string `json:"sha256"`
	URL         string `json:"url"`
}

type file struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Size        int64  `json:"size"`
	SHA256      string `json:"sha256"`
	ContentType string `json:"content_type"`
}

type workerInfo struct {
	ID      string   `json:"id"`
	PID     int      `json:"pid"`
	Role    string   `json:"role"`
	Running []string `json:"running"`
}

type problem struct {
	Type, Title, Detail, Instance, Code string
	Job                                 string
	Status                              int
	Errors                              []struct{ Pointer, Detail string }
}

// do sends a request and returns status, header and body. A connection that breaks is the error.
func (c *client) do(method, path, contentType string, body io.Reader) (int, http.Header, []byte, error) {
	if !strings.HasPrefix(path, "http") {
		path = c.url + path
	}
	req, err := http.NewRequest(method, path, body)
	if err != nil {
		return 0, nil, nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, raw, err
}

// call sends a request that must answer want and decodes the answer into to.
func (c *client) call(method, path, contentType string, body []byte, want int, to any) http.Header {
	c.t.Helper()
	status, header, raw, err := c.do(method, path, contentType, bytes.NewReader(body))
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	if status != want {
		c.t.Fatalf("%s %s = %d, want %d; body: %.600s", method, path, status, want, raw)
	}
	if to != nil {
		if err := json.Unmarshal(raw, to); err != nil {
			c.t.Fatalf("%s %s: decode: %v; body: %.600s", method, path, err, raw)
		}
	}
	return header
}

func (c *client) upload(name string, data []byte) file {
	c.t.Helper()
	var f file
	c.call("POST", "/v1/files?name="+name, "application/octet-stream", data, http.StatusCreated, &f)
	return f
}

// submit sends a job that must be accepted.
func (c *client) submit(spec string, args ...any) job {
	c.t.Helper()
	var j job
	c.call("POST", "/v1/jobs", "application/json", fmt.Appendf(nil, spec, args...), http.StatusAccepted, &j)
	return j
}

func (c *client) job(id string) job {
	c.t.Helper()
	var j job
	c.call("GET", "/v1/jobs/"+id, "", nil, http.StatusOK, &j)
	return j
}

// finish waits until the job is final.
func (c *client) finish(id string) job {
	c.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; {
		var j job
		status, _, raw, err := c.do("GET", "/v1/jobs/"+id+"?wait=20s", "", nil)
		if err == nil && status == http.StatusOK {
			if err := json.Unmarshal(raw, &j); err != nil {
				c.t.Fatalf("job %s: %v", id, err)
			}
			if final(j.State) {
				return j
			}
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("job %s is not final: state %s, status %d, error %v", id, j.State, status, err)
		}
	}
}

func final(state string) bool {
	return state == "succeeded" || state == "failed" || state == "canceled"
}

func (c *client) bytes(path string) []byte {
	c.t.Helper()
	status, _, raw, err := c.do("GET", path, "", nil)
	if err != nil || status != http.StatusOK {
		c.t.Fatalf("GET %s = %d, %v; body: %.300s", path, status, err, raw)
	}
	return raw
}

// workers lists the live processes of a role.
func (c *client) workers(role string) []workerInfo {
	var answer struct{ Items []workerInfo }
	status, _, raw, err := c.do("GET", "/v1/workers", "", nil)
	if err != nil || status != http.StatusOK || json.Unmarshal(raw, &answer) != nil {
		return nil
	}
	var found []workerInfo
	for _, w := range answer.Items {
		if w.Role == role {
			found = append(found, w)
		}
	}
	return found
}

// checkEnded checks what must hold of every job that was accepted and had no error of its own: one final state, no attempt lost.
func checkEnded(t testing.TB, j job) {
	t.Helper()
	succeeded := 0
	spent := 0
	for _, a := range j.Attempts {
		if a.Outcome == "succeeded" {
			succeeded++
		}
		if a.Spent {
			spent++
		}
	}
	if j.State != "succeeded" || succeeded != 1 || j.Attempt != 1 || spent > 1 {
		t.Errorf("job %s: state %s after %d attempts spent, %d of them succeeded, error %+v, history %+v", j.ID, j.State, j.Attempt, succeeded, j.Error, j.Attempts)
	}
}
