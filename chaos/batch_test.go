//go:build linux

package chaos_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store/storetest"
)

// batchSize is how many jobs a client sends at once, now and then.
const batchSize = 25

// submitBatch asks for many jobs under one key until it knows.
func (l *load) submitBatch(ctx context.Context) {
	var requests []*request
	var bodies [][]byte
	for range batchSize {
		r := l.next("checksum")
		requests, bodies = append(requests, r), append(bodies, r.body)
	}
	body := append(append([]byte("["), bytes.Join(bodies, []byte(","))...), ']')
	header := map[string]string{"Idempotency-Key": "batch-" + requests[0].token}
	for pause := 50 * time.Millisecond; !l.postBatch(ctx, requests, body, header); pause = min(2*pause, time.Second) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// postBatch asks once and says whether the fate of the jobs is known now.
func (l *load) postBatch(ctx context.Context, requests []*request, body []byte, header map[string]string) bool {
	for _, r := range requests {
		l.history.Attempted(storetest.Submission{Token: r.token, Tenant: millrace.DefaultTenant, Spends: spends(r.kind)})
	}
	var answer struct {
		Items []struct {
			Index int
			ID    string
		}
		Detail string
	}
	status, _, err := l.f.call(ctx, l.client, "POST", "/v1/jobs/batch", body, header, &answer)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil && status == http.StatusAccepted:
		for _, item := range answer.Items {
			if item.ID == "" || item.Index >= len(requests) {
				l.refused = append(l.refused, fmt.Sprintf("item %d of a batch", item.Index))
				continue
			}
			requests[item.Index].id = item.ID
			l.history.Acknowledged(requests[item.Index].token, item.ID)
		}
		return true
	case err == nil && (status == http.StatusTooManyRequests || status == http.StatusConflict):
		return false
	case err == nil && status < 500:
		l.refused = append(l.refused, fmt.Sprintf("batch: %d %s", status, answer.Detail))
		return true
	}
	requests[0].unknown++
	return false
}
