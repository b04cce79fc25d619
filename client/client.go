// Package client speaks to a Millrace server over its REST API: upload, submit, wait, download.
//
// It links no engine and no store. Requests that create something are sent once: a caller that hears nothing does not know whether the server
// did it. With WithIdempotencyKey it may send the same again: the server does it once.
package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client is a server to speak to.
type Client struct {
	URL  string       // "http://127.0.0.1:8080"
	Key  string       // API key or token; "" where the server asks for none
	HTTP *http.Client // nil: a client of its own without a time limit; give contexts one
}

// ErrServer says that Client.URL is no URL of a server. Nothing was sent.
var ErrServer = errors.New("the server's URL cannot be used")

// File is what the server knows of a file.
type File struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Size        int64  `json:"size"` // bytes
	SHA256      string `json:"sha256"`
	ContentType string `json:"content_type"`
}

// Input names what a job works on.
type Input struct {
	File string `json:"file"`
}

// Spec is a job to submit. Absent fields mean the server's defaults.
type Spec struct {
	Type     string          `json:"type"`
	Inputs   []Input         `json:"inputs,omitempty"`
	Params   json.RawMessage `json:"params,omitempty"`
	Priority string          `json:"priority,omitempty"`
	Tags     []string        `json:"tags,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"` // an object of the caller's own
	Cache    *bool           `json:"cache,omitempty"`
	RunAt    *time.Time      `json:"run_at,omitempty"`
	Deadline *time.Time      `json:"deadline,omitempty"` // when the job fails unless it is done
	Unique   *Unique         `json:"unique,omitempty"`
}

// Unique keeps a second job with the same key out while one lives: Submit answers a *Problem with status 409 that names the job.
type Unique struct {
	Key string `json:"key"`
	TTL string `json:"ttl,omitempty"` // a duration after which the key is free again; "": as long as the job lives
}

// Job is a job as the server answers it.
type Job struct {
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	State      string          `json:"state"`
	Progress   Progress        `json:"progress"`
	Run        int             `json:"run"` // 1, and one more for each retry
	Attempt    int             `json:"attempt"`
	Error      *JobError       `json:"error"`
	Result     json.RawMessage `json:"result"`
	Outputs    []Output        `json:"outputs"`
	Cached     bool            `json:"cached"`
	Schedule   string          `json:"schedule"` // that made the job, or ""
	CreatedAt  time.Time       `json:"created_at"`
	FinishedAt *time.Time      `json:"finished_at"`
	URL        string          `json:"url"`

	Raw json.RawMessage `json:"-"` // the whole answer
}

// Final says whether the job has ended.
func (j *Job) Final() bool {
	return j.State == "succeeded" || j.State == "failed" || j.State == "canceled"
}

// Progress is how far the running attempt is.
type Progress struct {
	Done    int64   `json:"done"`
	Total   int64   `json:"total"`
	Unit    string  `json:"unit"`
	Percent float64 `json:"percent"`
	Message string  `json:"message"`
}

// JobError is why a job failed.
type JobError struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
}

// Output is a file that a job produced.
type Output struct {
	Name        string `json:"name"`
	Size        int64  `json:"size"`
	ContentType string `json:"content_type"`
	SHA256      string `json:"sha256"`
	URL         string `json:"url"`
}

// Problem is a refusal, as RFC 9457 problem details.
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Errors []struct {
		Pointer string `json:"pointer"`
		Detail  string `json:"detail"`
	} `json:"errors"`
	Job       string `json:"job"` // that has the unique key
	RequestID string `json:"instance"`
}

func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if len(p.Errors) > 1 {
		var parts []string
		for _, e := range p.Errors {
			parts = append(parts, e.Pointer+" "+e.Detail)
		}
		text = strings.Join(parts, "; ")
	}
	return fmt.Sprintf("%s (%d)", text, p.Status)
}

// Option alters one request.
type Option func(*http.Request)

// WithIdempotencyKey makes a repetition of a request that creates something safe: for at least 24 hours the server answers the same request under
// the same key as it did the first time, and creates nothing. Another request under the key is refused. A key has 1 to 255 printable ASCII
// characters; a random one for each thing to create is best.
func WithIdempotencyKey(key string) Option {
	return func(r *http.Request) { r.Header.Set("Idempotency-Key", key) }
}

// Upload sends the bytes of r as a file called name.
func (c *Client) Upload(ctx context.Context, name string, r io.Reader, options ...Option) (File, error) {
	var f File
	err := c.send(ctx, http.MethodPost, "/v1/files?name="+url.QueryEscape(name), "application/octet-stream", r, &f, options...)
	return f, err
}

// Submit hands in a job. It is durable when Submit returns without an error.
func (c *Client) Submit(ctx context.Context, spec Spec, options ...Option) (*Job, error) {
	body, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	return c.job(ctx, http.MethodPost, "/v1/jobs", bytes.NewReader(body), options...)
}

// Job reads a job.
func (c *Client) Job(ctx context.Context, id string) (*Job, error) {
	return c.job(ctx, http.MethodGet, "/v1/jobs/"+url.PathEscape(id), nil)
}

const (
	// waitStep is how long one request of Wait waits: short enough for progress, long enough to cost nothing.
	waitStep = time.Second
	// waitPatience is how long Wait bears a server that does not answer, as while it is restarted: the job is safe meanwhile.
	waitPatience = time.Minute
)

// Wait reads the job until it is final or ctx ends. progress, if not nil, hears of each state on the way. A server that is away for less than a
// minute is waited for.
func (c *Client) Wait(ctx context.Context, id string, progress func(*Job)) (*Job, error) {
	answered, pause := time.Now(), firstPause
	for {
		j, err := c.job(ctx, http.MethodGet, "/v1/jobs/"+url.PathEscape(id)+"?wait="+waitStep.String(), nil)
		switch {
		case err == nil && j.Final():
			return j, nil
		case err == nil:
			answered, pause = time.Now(), firstPause
			if progress != nil {
				progress(j)
			}
			continue
		case !passing(err) || ctx.Err() != nil || time.Since(answered) > waitPatience:
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
		pause = min(2*pause, waitStep)
	}
}

const firstPause = 50 * time.Millisecond

// passing says whether asking again may mend the error: nobody answered, or whoever did asks to come back.
func passing(err error) bool {
	p, answered := errors.AsType[*Problem](err)
	return !answered || p.Status == http.StatusTooManyRequests || p.Status >= http.StatusBadGateway && p.Status <= http.StatusGatewayTimeout
}

// Download writes an output's bytes to w. An error means that w has too few of them, or others.
func (c *Client) Download(ctx context.Context, o Output, w io.Writer) error {
	res, err := c.request(ctx, http.MethodGet, o.URL, "", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), res.Body)
	switch {
	case err != nil:
		return fmt.Errorf("output %s after %d of %d bytes: %w", o.Name, n, o.Size, err)
	case n != o.Size:
		return fmt.Errorf("output %s has %d bytes, not %d", o.Name, n, o.Size)
	case o.SHA256 != "" && o.SHA256 != hex.EncodeToString(sum.Sum(nil)):
		return fmt.Errorf("output %s was damaged on its way: its SHA-256 differs", o.Name)
	}
	return nil
}

func (c *Client) job(ctx context.Context, method, path string, body io.Reader, options ...Option) (*Job, error) {
	var raw json.RawMessage
	if err := c.send(ctx, method, path, "application/json", body, &raw, options...); err != nil {
		return nil, err
	}
	j := &Job{Raw: raw}
	if err := json.Unmarshal(raw, j); err != nil {
		return nil, fmt.Errorf("decode the job: %w", err)
	}
	return j, nil
}

func (c *Client) send(ctx context.Context, method, path, contentType string, body io.Reader, to any, options ...Option) error {
	res, err := c.request(ctx, method, path, contentType, body, options...)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if to == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(to); err != nil {
		return fmt.Errorf("decode the answer to %s %s: %w", method, path, err)
	}
	return nil
}

// request answers a response below 300; everything else is an error, a *Problem where the server said what is wrong.
func (c *Client) request(ctx context.Context, method, path, contentType string, body io.Reader, options ...Option) (*http.Response, error) {
	target, err := c.resolve(path)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	for _, alter := range options {
		alter(req)
	}
	h := c.HTTP
	if h == nil {
		h = &http.Client{}
	}
	res, err := h.Do(req)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("no answer from %s: %w", req.URL.Host, failed.Err) // the whole address could hold a password
	}
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	p := &Problem{Status: res.StatusCode, Title: res.Status}
	if raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20)); err == nil {
		_ = json.Unmarshal(raw, p) // not every proxy in between speaks JSON
	}
	return nil, p
}

// resolve keeps requests on the configured server, so that the key goes nowhere else whatever an answer says.
func (c *Client) resolve(path string) (string, error) {
	base, err := url.Parse(c.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return "", fmt.Errorf("%w: it must look like http://127.0.0.1:8080", ErrServer)
	}
	ref, err := url.Parse(path)
	if err != nil {
		return "", err
	}
	// Both forms, so that a slash within an id stays within it.
	base.RawPath = strings.TrimSuffix(base.EscapedPath(), "/") + ref.EscapedPath()
	base.Path = strings.TrimSuffix(base.Path, "/") + ref.Path
	base.RawQuery = ref.RawQuery
	return base.String(), nil
}
