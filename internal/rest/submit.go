package rest

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/jobspec"
)

// createJob takes a job as JSON, or as a form for people with curl.
func (s *Server) createJob(c echo.Context) error {
	wait, err := s.queryWait(c)
	if err != nil {
		return err
	}
	key, err := keyOf(c.Request())
	if err != nil {
		return err
	}
	if mediaType(c.Request()) == "multipart/form-data" {
		return s.createJobFromForm(c, key, wait)
	}
	var req jobspec.Request
	if err := s.decodeSigned(c, key, &req); err != nil {
		return err
	}
	if done, err := s.replayed(c, key, wait); done {
		return err
	}
	spec, err := req.Spec(tenant(c))
	if err != nil {
		return err
	}
	spec.Key = s.dispatchKey(key)
	job, err := s.Dispatcher.Submit(c.Request().Context(), spec)
	if err != nil {
		return s.raced(c, key, err, wait)
	}
	return s.accepted(c, job, wait)
}

// decodeSigned reads a job from the body, which is what its idempotency key stands for.
func (s *Server) decodeSigned(c echo.Context, key *requestKey, req *jobspec.Request) error {
	b := s.buffer()
	defer s.recycle(b) // what the request keeps was copied out by the decoder
	if err := s.readJSON(c, b); err != nil {
		return err
	}
	if err := jobspec.DecodeRequest(b.Bytes(), req); err != nil {
		return err
	}
	if key != nil {
		key.sign(c.Request(), canonical(b.Bytes()))
	}
	return nil
}

// accepted answers a submit: 202, or 200 when the job is final already, from the cache or because the client waited.
func (s *Server) accepted(c echo.Context, job *millrace.Job, wait time.Duration) error {
	if wait > 0 && !job.State.Final() {
		// The job is accepted whatever happens now: when it cannot be read, it is answered as it was written.
		if later, err := s.waitFor(c.Request().Context(), job.Tenant, job.ID, wait); err == nil {
			job = later
		}
	}
	c.Response().Header().Set("Location", jobURL(job.ID))
	b := s.buffer()
	defer s.recycle(b)
	view := viewJob(job)
	if err := encodeJob(b, &view); err != nil {
		return err
	}
	return s.respondBytes(c, acceptedStatus(job), "application/json", b.Bytes())
}

func acceptedStatus(job *millrace.Job) int {
	if job.State.Final() {
		return http.StatusOK
	}
	return http.StatusAccepted
}
