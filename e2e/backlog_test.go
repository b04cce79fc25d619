package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Too many waiting jobs are refused before they are read, and taken again when some are done.
func TestBacklogIsBounded(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"embedded", "production"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := start(t, mode, "MILLRACE_MAX_JOBS=5")
			f := s.upload("tiny.bin", noise(64))
			s.call("POST", "/v1/queues/io.normal/pause", "", nil, http.StatusOK, nil)
			body := fmt.Sprintf(quickJob, f.ID)
			var ids []string
			for range 5 {
				ids = append(ids, s.submit(quickJob, f.ID).ID)
			}
			for path, contentType := range map[string]string{"/v1/jobs": "application/json", "/v1/jobs/batch": "application/x-ndjson"} {
				status, header, raw, err := s.do("POST", path, contentType, strings.NewReader(body))
				if err != nil || status != http.StatusTooManyRequests || header.Get("Retry-After") == "" || !strings.Contains(string(raw), "waiting") {
					t.Errorf("POST %s over the bound = %d, Retry-After %q, %v: %s", path, status, header.Get("Retry-After"), err, raw)
				}
			}
			s.call("POST", "/v1/queues/io.normal/resume", "", nil, http.StatusOK, nil)
			for _, id := range ids {
				checkEnded(t, s.finish(id))
			}
			eventually(t, 30*time.Second, "a job accepted again", func() bool {
				status, _, _, err := s.do("POST", "/v1/jobs", "application/json", strings.NewReader(body))
				return err == nil && status == http.StatusAccepted
			})
		})
	}
}
