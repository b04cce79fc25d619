package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// BatchItem is what became of one job of a batch.
type BatchItem struct {
	ID  string   `json:"id"`    // of the accepted job
	Err *Problem `json:"error"` // why it was refused; nil when it was not
}

// MaxBatch is how many jobs a server takes in one batch.
const MaxBatch = 10_000

// Batch hands in many jobs with one request: those that are right are durable together when Batch returns, each of the others is refused for itself.
// The answer has one item for each job, in order.
func (c *Client) Batch(ctx context.Context, specs []Spec, options ...Option) ([]BatchItem, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body) // one job a line
	for _, spec := range specs {
		if err := enc.Encode(spec); err != nil {
			return nil, err
		}
	}
	var answer struct {
		Items []BatchItem `json:"items"`
	}
	if err := c.send(ctx, http.MethodPost, "/v1/jobs/batch", "application/x-ndjson", &body, &answer, options...); err != nil {
		return nil, err
	}
	if len(answer.Items) != len(specs) {
		return nil, fmt.Errorf("the server answered for %d of %d jobs", len(answer.Items), len(specs))
	}
	return answer.Items, nil
}

// Retry opens a new run of a job that failed or was canceled.
func (c *Client) Retry(ctx context.Context, id string, options ...Option) (*Job, error) {
	return c.job(ctx, http.MethodPost, "/v1/jobs/"+url.PathEscape(id)+"/retry", nil, options...)
}
