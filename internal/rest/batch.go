package rest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/jobspec"
)

// maxBatchJobs is how many jobs one request may bring.
const maxBatchJobs = 10_000

// createBatch takes many jobs at once, as lines of JSON or as an array. All that can be accepted are committed together; each of the others is
// refused for itself.
func (s *Server) createBatch(c echo.Context) error {
	r := c.Request()
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	kind := mediaType(r)
	if kind != "application/json" && kind != "application/x-ndjson" {
		return millrace.Errorf(millrace.Unsupported, "this call takes Content-Type: application/x-ndjson, a job a line, or application/json, an array of jobs")
	}
	held, err := s.batches.enter(r.ContentLength, s.Limits.Batch)
	if err != nil {
		return err
	}
	defer held.leave()
	body, err := s.readBatch(c, held)
	if err != nil {
		return err
	}
	jobs, err := splitBatch(body, kind == "application/json")
	if err != nil {
		return err
	}
	if err := held.grow(int64(len(jobs)) * jobCost); err != nil {
		return err
	}
	if key != nil {
		key.sign(r, canonicalBatch(jobs)...)
		if done, err := s.replayed(c, key, 0); done {
			return err
		}
	}
	return s.commitBatch(c, key, jobs)
}

func (s *Server) commitBatch(c echo.Context, key *requestKey, jobs [][]byte) error {
	owner := tenant(c)
	batch := s.Dispatcher.Batch(owner, len(jobs))
	for _, doc := range jobs {
		if spec, err := jobspec.Decode(doc, owner); err != nil {
			batch.Refuse(err)
		} else {
			batch.Add(c.Request().Context(), spec)
		}
	}
	var kept *dispatch.BatchKey
	if key != nil {
		kept = &dispatch.BatchKey{Key: key.key, Hash: key.hash, Answer: func(items []dispatch.BatchItem) []byte {
			return saved{Status: http.StatusAccepted}.pack(batchAnswer(items))
		}}
	}
	items, err := batch.Commit(c.Request().Context(), kept)
	if err != nil {
		return s.raced(c, key, err, 0)
	}
	return s.respondBytes(c, http.StatusAccepted, "application/json", batchAnswer(items))
}

// readBatch reads the body whole: it is bounded, and so is what all batches of the process have in memory.
func (s *Server) readBatch(c echo.Context, held *batchShare) ([]byte, error) {
	limit := s.Limits.Batch
	r := c.Request()
	body := s.progress(c, r.Body)
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	piece := make([]byte, 64<<10)
	for {
		n, err := body.Read(piece)
		if int64(b.Len()+n) > limit {
			return nil, batchTooLarge(limit)
		}
		if over := int64(b.Len()+n) - held.bytes; over > 0 { // its length was not announced
			if err := held.grow(over); err != nil {
				return nil, err
			}
		}
		b.Write(piece[:n])
		if errors.Is(err, io.EOF) {
			return b.Bytes(), nil
		}
		if err != nil {
			return nil, brokenBody(err)
		}
	}
}

func batchTooLarge(limit int64) error {
	return millrace.Errorf(millrace.TooLarge, "a batch may have at most %d bytes and %d jobs", limit, maxBatchJobs)
}

// splitBatch cuts a batch into its jobs, without looking into them more than that takes.
func splitBatch(body []byte, array bool) (jobs [][]byte, err error) {
	if array {
		jobs, err = splitArray(body)
	} else {
		jobs = splitLines(body)
	}
	switch {
	case err != nil:
		return nil, err
	case len(jobs) == 0:
		return nil, millrace.Errorf(millrace.Invalid, "the batch has no jobs")
	case len(jobs) > maxBatchJobs:
		return nil, millrace.Errorf(millrace.TooLarge, "a batch may have at most %d jobs", maxBatchJobs)
	}
	return jobs, nil
}

// splitLines cuts NDJSON. Empty lines are none. It stops counting where there are too many.
func splitLines(body []byte) [][]byte {
	jobs := make([][]byte, 0, min(maxBatchJobs, 1+bytes.Count(body, []byte{'\n'})))
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if jobs = append(jobs, line); len(jobs) > maxBatchJobs {
				break
			}
		}
	}
	return jobs
}

// splitArray cuts a JSON array into its items. What an item is made of is for its own decoder; brackets and strings are counted to find its end.
func splitArray(body []byte) ([][]byte, error) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || body[0] != '[' {
		return nil, millrace.Errorf(millrace.Malformed, "the body must be a JSON array of jobs")
	}
	var jobs [][]byte
	depth, inString, begin := 0, false, 1
	for i := 0; i < len(body); i++ {
		switch b := body[i]; {
		case inString && b == '\\':
			i++
		case b == '"':
			inString = !inString
		case inString:
		case b == '{' || b == '[':
			depth++
		case depth == 1 && (b == ',' || b == ']'):
			item := bytes.TrimSpace(body[begin:i])
			if len(item) == 0 && (b == ',' || len(jobs) > 0) {
				return nil, millrace.Errorf(millrace.Malformed, "the body is no valid JSON: an item is missing, at byte %d", i)
			}
			if len(item) > 0 {
				jobs = append(jobs, item)
			}
			if b == ']' {
				if i+1 < len(body) {
					return nil, millrace.Errorf(millrace.Malformed, "something follows the JSON array, at byte %d", i+1)
				}
				return jobs, nil
			}
			if begin = i + 1; len(jobs) > maxBatchJobs {
				return jobs, nil
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return nil, millrace.Errorf(millrace.Malformed, "the body is no valid JSON: it ends in the middle")
}

func canonicalBatch(jobs [][]byte) [][]byte {
	parts := make([][]byte, len(jobs))
	for i, doc := range jobs {
		parts[i] = canonical(doc)
	}
	return parts
}

// batchAnswer writes {"items":[…]}. It is written by hand because ten thousand items are the usual case.
func batchAnswer(items []dispatch.BatchItem) []byte {
	b := make([]byte, 0, 64+60*len(items))
	b = append(b, `{"items":[`...)
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"index":`...)
		b = strconv.AppendInt(b, int64(i), 10)
		if item.Err == nil {
			b = append(b, `,"id":"`...)
			b = append(b, item.ID...)
			b = append(b, `"}`...)
			continue
		}
		b = append(b, `,"error":`...)
		b = append(b, itemProblem(item.Err)...)
		b = append(b, '}')
	}
	return append(b, "]}\n"...)
}

func itemProblem(err error) []byte {
	p, _ := problemOf(err)
	var b bytes.Buffer
	if encode(&b, p) != nil {
		return []byte(`{}`)
	}
	return bytes.TrimSpace(b.Bytes())
}
