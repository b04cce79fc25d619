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
	if mediaType(c.Request()) == "multipart/form-data" {
		return s.createJobFromForm(c, wait)
	}
	var req jobspec.Request
	if err := decode(s, c, &req); err != nil {
		return err
	}
	spec, err := req.Spec(tenant(c))
	if err != nil {
		return err
	}
	job, err := s.Dispatcher.Submit(c.Request().Context(), spec)
	if err != nil {
		return fromLedger(err)
	}
	return s.accepted(c, job, wait)
}

// accepted answers a submit: 202, or 200 when the job is final already, from the cache or because the client waited.
func (s *Server) accepted(c echo.Context, job *millrace.Job, wait time.Duration) error {
	if wait > 0 && !job.State.Final() {
		// The job is accepted whatever happens now: when it cannot be read, it is answered as it was written.
		if later, err := s.waitFor(c.Request().Context(), job.Tenant, job.ID, wait); err == nil {
			job = later
		}
	}
	status := http.StatusAccepted
	if job.State.Final() {
		status = http.StatusOK
	}
	c.Response().Header().Set("Location", jobURL(job.ID))
	return respond(s, c, status, viewJob(job))
}
