package rest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/store"
)

// Idempotency keys. A request's hash is the SHA-256 of its method, its path and what it asks for, each with its length: a JSON body as canonical
// JSON, so that spaces and the order of members do not matter; a file as its name, size and SHA-256; a form as its fields in JSON and its files.
// The tenant needs no place in it, since a key belongs to its tenant. ?wait= says how to answer and not what to do, so it has none either.
const (
	keyHeader      = "Idempotency-Key"
	replayedHeader = "Idempotency-Replayed"
	maxKey         = 255
)

// codeReused is the code of a key that comes with another request.
const codeReused millrace.Code = "idempotency_key_reused"

// requestKey is the idempotency key of the request at hand.
type requestKey struct {
	key  string
	hash string
}

// keyOf reads the header; nil when there is none.
func keyOf(r *http.Request) (*requestKey, error) {
	values := r.Header.Values(keyHeader)
	if len(values) == 0 {
		return nil, nil
	}
	key := values[0]
	ok := len(values) == 1 && key != "" && len(key) <= maxKey
	for i := range len(key) {
		ok = ok && key[i] >= ' ' && key[i] <= '~'
	}
	if !ok {
		e := millrace.InvalidField("/headers/"+keyHeader, "must be there once, with 1 to %d printable ASCII characters", maxKey)
		e.Kind = millrace.Malformed
		return nil, e
	}
	return &requestKey{key: key}, nil
}

// sign makes the request's hash. It must be called before anything else of the key is used.
func (k *requestKey) sign(r *http.Request, parts ...[]byte) {
	if k == nil {
		return
	}
	h := sha256.New()
	for _, part := range append([][]byte{[]byte(r.Method), []byte(r.URL.Path)}, parts...) {
		_, _ = io.WriteString(h, strconv.Itoa(len(part))+":")
		h.Write(part)
	}
	k.hash = hex.EncodeToString(h.Sum(nil))
}

// canonical writes JSON so that equal documents are equal bytes: members in order, no space. What is no JSON stays as it is.
func canonical(doc []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return doc
	}
	out, err := json.Marshal(v)
	if err != nil {
		return doc
	}
	return out
}

// dispatchKey is the key for a job that is to be made; nil stays nil.
func (s *Server) dispatchKey(k *requestKey) *dispatch.Key {
	if k == nil {
		return nil
	}
	return &dispatch.Key{Key: k.key, Hash: k.hash, Answer: func(job *millrace.Job) []byte {
		return s.savedJob(acceptedStatus(job), jobURL(job.ID), job)
	}}
}

func (s *Server) savedJob(status int, location string, job *millrace.Job) []byte {
	b := s.buffer()
	defer s.recycle(b)
	view := viewJob(job)
	if err := encodeJob(b, &view); err != nil {
		s.Log.Error("answer cannot be kept", "error", err)
		return nil
	}
	return saved{Status: status, Location: location, Job: job.ID}.pack(b.Bytes())
}

// saved is the head of an answer that is kept under a key: a line of JSON, then the body.
type saved struct {
	Status   int    `json:"status"`
	Location string `json:"location,omitempty"`
	Job      string `json:"job,omitempty"` // to wait for, where the repetition wants to
	Gzip     bool   `json:"gzip,omitempty"`
}

// packFrom is the size from which a body is kept compressed.
const packFrom = 64 << 10

func (a saved) pack(body []byte) []byte {
	var b bytes.Buffer
	a.Gzip = len(body) >= packFrom
	head, err := json.Marshal(a)
	if err != nil {
		return nil
	}
	b.Write(append(head, '\n'))
	if !a.Gzip {
		b.Write(body)
		return b.Bytes()
	}
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level is a good one
	_, _ = z.Write(body)                            // into memory
	_ = z.Close()
	return b.Bytes()
}

func unpack(answer []byte) (a saved, body []byte, err error) {
	head, body, ok := bytes.Cut(answer, []byte{'\n'})
	if !ok {
		return a, nil, errors.New("a kept answer has no head")
	}
	if err := json.Unmarshal(head, &a); err != nil {
		return a, nil, fmt.Errorf("head of a kept answer: %w", err)
	}
	if !a.Gzip {
		return a, body, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return a, nil, fmt.Errorf("kept answer: %w", err)
	}
	body, err = io.ReadAll(z)
	return a, body, err
}

// replayed answers a repetition of an earlier request and says whether it did. It comes before anything else is looked at, so that it works
// although the unique key is held by the request's own job, or its input is gone.
func (s *Server) replayed(c echo.Context, k *requestKey, wait time.Duration) (bool, error) {
	if k == nil {
		return false, nil
	}
	found, err := s.Ledger.Answer(c.Request().Context(), tenant(c), k.key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return true, fromLedger(err)
	}
	return true, s.replay(c, k, found, wait)
}

// raced answers a request that lost the race for its key in the ledger, and passes every other error.
func (s *Server) raced(c echo.Context, k *requestKey, err error, wait time.Duration) error {
	if r, ok := errors.AsType[*store.ReplayedError](err); ok && k != nil {
		return s.replay(c, k, r.Idempotency, wait)
	}
	return fromLedger(err)
}

func (s *Server) replay(c echo.Context, k *requestKey, found store.Idempotency, wait time.Duration) error {
	if found.Hash != k.hash {
		return &millrace.Error{Kind: millrace.Invalid, Code: codeReused,
			Detail: "the idempotency key was used for another request; use a new one",
			Fields: []millrace.FieldError{{Pointer: "/headers/" + keyHeader, Detail: "was used for another request"}}}
	}
	a, body, err := unpack(found.Answer)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set(replayedHeader, "true")
	if a.Location != "" {
		h.Set("Location", a.Location)
	}
	if wait > 0 && a.Job != "" {
		// The job may be gone by now, or not be readable: then the first answer has to do.
		if job, err := s.waitFor(c.Request().Context(), tenant(c), a.Job, wait); err == nil {
			return respond(s, c, acceptedStatus(job), viewJob(job))
		}
	}
	return s.respondBytes(c, a.Status, "application/json", body)
}

// fileKey is the key for a file that is to be made; nil stays nil.
func (s *Server) fileKey(k *requestKey, f millrace.File) *store.Idempotency {
	if k == nil {
		return nil
	}
	b := s.buffer()
	defer s.recycle(b)
	if err := encode(b, viewFile(f)); err != nil {
		s.Log.Error("answer cannot be kept", "error", err)
	}
	return &store.Idempotency{Key: k.key, Hash: k.hash, Answer: saved{Status: http.StatusCreated, Location: fileURL(f.ID)}.pack(b.Bytes())}
}

// fileParts is what was received as parts of a request's hash.
func fileParts(files []*received) [][]byte {
	var parts [][]byte
	for _, r := range files {
		sum, size := r.blob.Sum()
		parts = append(parts, []byte(r.name), []byte(sum), []byte(strconv.FormatInt(size, 10)))
	}
	return parts
}
