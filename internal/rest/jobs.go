package rest

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/store"
)

func (s *Server) listJobs(c echo.Context) error {
	limit, before, err := listQuery(c)
	if err != nil {
		return err
	}
	f := store.JobFilter{
		State: millrace.State(c.QueryParam("state")), Type: c.QueryParam("type"), Tag: c.QueryParam("tag"),
		Before: before, Limit: limit + 1,
	}
	if f.State != "" && !f.State.Valid() {
		return badQuery("state", "must be one of %s", stateNames())
	}
	if f.CreatedAfter, err = queryTime(c, "created_after"); err != nil {
		return err
	}
	if f.CreatedBefore, err = queryTime(c, "created_before"); err != nil {
		return err
	}
	jobs, err := s.Ledger.List(c.Request().Context(), tenant(c), f)
	if err != nil {
		return fromLedger(err)
	}
	return respond(s, c, http.StatusOK, pageOf(jobs, limit, func(j *millrace.Job) string { return j.ID }, viewJob))
}

func stateNames() string {
	var names []string
	for _, state := range millrace.States() {
		names = append(names, string(state))
	}
	return strings.Join(names, ", ")
}

func queryTime(c echo.Context, name string) (time.Time, error) {
	v := c.QueryParam(name)
	if v == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return t, badQuery(name, "must be a time such as 2026-01-31T12:00:00Z")
	}
	return t, nil
}

func (s *Server) getJob(c echo.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	wait, err := s.queryWait(c)
	if err != nil {
		return err
	}
	job, err := s.waitFor(c.Request().Context(), tenant(c), id, wait)
	if err != nil {
		return err
	}
	return respond(s, c, http.StatusOK, viewJob(job))
}

func (s *Server) cancelJob(c echo.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	if err := s.noBody(c); err != nil {
		return err
	}
	job, err := s.Dispatcher.Cancel(c.Request().Context(), tenant(c), id)
	if err != nil {
		return fromLedger(err)
	}
	return respond(s, c, http.StatusOK, viewJob(job))
}

// retryJob opens a new run. A key keeps its repetition from opening one more.
func (s *Server) retryJob(c echo.Context) error {
	key, err := keyOf(c.Request())
	if err != nil {
		return err
	}
	key.sign(c.Request())
	if done, err := s.replayed(c, key, 0); done {
		return err
	}
	id, err := pathID(c)
	if err != nil {
		return err
	}
	if err := s.noBody(c); err != nil {
		return err
	}
	job, err := s.Dispatcher.Retry(c.Request().Context(), tenant(c), id, s.retryKey(key))
	if err != nil {
		return s.raced(c, key, err, 0)
	}
	return respond(s, c, http.StatusOK, viewJob(job))
}

func (s *Server) retryKey(k *requestKey) *dispatch.Key {
	if k == nil {
		return nil
	}
	return &dispatch.Key{Key: k.key, Hash: k.hash, Answer: func(job *millrace.Job) []byte { return s.savedJob(http.StatusOK, "", job) }}
}

func (s *Server) deleteJob(c echo.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	if err := s.Dispatcher.Delete(c.Request().Context(), tenant(c), id); err != nil {
		return fromLedger(err)
	}
	return noContent(c)
}

func (s *Server) firstOutput(c echo.Context) error {
	return s.output(c, func(o []millrace.Output) int {
		if len(o) == 0 {
			return -1
		}
		return 0
	})
}

func (s *Server) namedOutput(c echo.Context) error {
	name := c.Param("name")
	if c.Request().URL.RawPath != "" { // then Echo matched the path as it was sent
		var err error
		if name, err = url.PathUnescape(name); err != nil {
			return millrace.Wrap(millrace.Malformed, err, "the path is not well-formed")
		}
	}
	return s.output(c, func(outputs []millrace.Output) int {
		for i, o := range outputs {
			if o.Name == name {
				return i
			}
		}
		return -1
	})
}

// output answers the bytes of one of a job's outputs.
func (s *Server) output(c echo.Context, pick func([]millrace.Output) int) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	job, err := s.Ledger.Job(ctx, tenant(c), id)
	if err != nil {
		return fromLedger(err)
	}
	i := pick(job.Outputs)
	if i < 0 {
		return millrace.Errorf(millrace.NotFound, "the job is %s and has no such output", job.State)
	}
	f, err := s.Ledger.File(ctx, tenant(c), job.Outputs[i].File)
	if err != nil {
		return fromLedger(err)
	}
	return s.serveFile(c, f)
}
