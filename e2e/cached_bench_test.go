package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// BenchmarkRepeatedJob is one client that asks for a picture again that was made before: with its params, and with a preset. No worker takes part, but the
// answer is a durable job of its own with its own output.
func BenchmarkRepeatedJob(b *testing.B) {
	eachModeBench(b, func(b *testing.B, s *server) {
		f := s.upload("photo.jpg", photo(b, 1200, 800))
		s.call("PUT", "/v1/presets/page", "application/json", []byte(`{"type":"image.resize","params":{"width":400,"format":"jpeg"}}`), http.StatusCreated, nil)
		for name, params := range map[string]string{"params": `{"width":400,"format":"jpeg"}`, "preset": `{"preset":"page"}`} {
			b.Run(name, func(b *testing.B) {
				body := fmt.Appendf(nil, `{"type":"image.resize","input":{"file":%q},"params":%s}`, f.ID, params)
				var first job
				eventually(b, time.Minute, "the picture in the cache", func() bool {
					status, _, raw, err := s.do("POST", "/v1/jobs?wait=30s", "application/json", bytes.NewReader(body))
					return err == nil && status == http.StatusOK && json.Unmarshal(raw, &first) == nil && first.Cached
				})
				var took []time.Duration
				for b.Loop() {
					for range 300 {
						began := time.Now()
						var j job
						s.call("POST", "/v1/jobs", "application/json", body, http.StatusOK, &j)
						took = append(took, time.Since(began))
						if !j.Cached || len(j.Outputs) != 1 || j.Outputs[0].SHA256 != first.Outputs[0].SHA256 {
							b.Fatalf("answered %+v, want the result that is there", j)
						}
						<-time.After(5 * time.Millisecond)
					}
				}
				report(b, took, "job")
			})
		}
	})
}
