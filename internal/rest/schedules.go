package rest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/cron"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/jobspec"
	"github.com/millrace/millrace/internal/strict"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/tasks"
)

// maxScheduleName is how long a schedule's name may be.
const maxScheduleName = 128

// scheduleRequest is the body of PUT /v1/schedules/{name}.
type scheduleRequest struct {
	Cron     string          `json:"cron"`
	Timezone string          `json:"timezone"`
	Job      json.RawMessage `json:"job"` // as POST /v1/jobs takes it, without times
	Paused   bool            `json:"paused"`
	CatchUp  string          `json:"catch_up"`
}

// Shape implements strict.Shaped. The job is decoded by itself.
func (*scheduleRequest) Shape() strict.Shape {
	return strict.Shape{"cron": nil, "timezone": nil, "job": nil, "paused": nil, "catch_up": nil}
}

// scheduleView is a schedule as the API writes it.
type scheduleView struct {
	Name      string           `json:"name"`
	Cron      string           `json:"cron"`
	Timezone  string           `json:"timezone"`
	Job       json.RawMessage  `json:"job"`
	Paused    bool             `json:"paused"`
	CatchUp   millrace.CatchUp `json:"catch_up"`
	NextRunAt stamp            `json:"next_run_at"` // null while paused
	LastRunAt stamp            `json:"last_run_at"`
	LastJob   *string          `json:"last_job"`
	LastError *string          `json:"last_error"` // why the job of the last run was refused
	CreatedAt stamp            `json:"created_at"`
	UpdatedAt stamp            `json:"updated_at"`
	URL       string           `json:"url"`
}

func viewSchedule(s millrace.Schedule) scheduleView {
	return scheduleView{
		Name: s.Name, Cron: s.Cron, Timezone: s.Timezone, Job: s.Job, Paused: s.Paused, CatchUp: s.CatchUp,
		NextRunAt: stamp(s.NextRunAt), LastRunAt: stamp(s.LastRunAt), LastJob: orNull(s.LastJob), LastError: orNull(s.LastError),
		CreatedAt: stamp(s.CreatedAt), UpdatedAt: stamp(s.UpdatedAt), URL: scheduleURL(s.Name),
	}
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func scheduleURL(name string) string { return "/v1/schedules/" + name }

func (s *Server) listSchedules(c echo.Context) error {
	limit, err := queryLimit(c)
	if err != nil {
		return err
	}
	after := ""
	if v := c.QueryParam("cursor"); v != "" {
		var ok bool
		if after, ok = decodeNameCursor(v); !ok {
			return badQuery("cursor", "must be the next_cursor of an earlier answer")
		}
	}
	all, err := s.Ledger.ListSchedules(c.Request().Context(), tenant(c), after, limit+1)
	if err != nil {
		return fromLedger(err)
	}
	p := page[scheduleView]{Items: make([]scheduleView, 0, min(len(all), limit))}
	for _, schedule := range all[:min(len(all), limit)] {
		p.Items = append(p.Items, viewSchedule(schedule))
	}
	if len(all) > limit {
		cursor := encodeNameCursor(all[limit-1].Name)
		p.NextCursor = &cursor
	}
	return respond(s, c, http.StatusOK, p)
}

// nameCursor is the first byte of a cursor that holds a name.
const nameCursor = 2

func encodeNameCursor(name string) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{nameCursor}, name...))
}

func decodeNameCursor(cursor string) (name string, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) < 2 || b[0] != nameCursor || !validScheduleName(string(b[1:])) {
		return "", false
	}
	return string(b[1:]), true
}

func validScheduleName(name string) bool {
	for _, r := range []byte(name) {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.' {
			return false
		}
	}
	return name != "" && len(name) <= maxScheduleName
}

func (s *Server) getSchedule(c echo.Context) error {
	name := c.Param("name")
	if !validScheduleName(name) {
		return errNoSuch
	}
	schedule, err := s.Ledger.Schedule(c.Request().Context(), tenant(c), name)
	if err != nil {
		return fromLedger(err)
	}
	return respond(s, c, http.StatusOK, viewSchedule(schedule))
}

func (s *Server) deleteSchedule(c echo.Context) error {
	name := c.Param("name")
	if !validScheduleName(name) {
		return errNoSuch
	}
	if err := s.Ledger.DeleteSchedule(c.Request().Context(), tenant(c), name); err != nil {
		return fromLedger(err)
	}
	return noContent(c)
}

// putSchedule creates a schedule or replaces it whole. Its job is checked now, so that a mistake shows to whoever makes it and not at night.
func (s *Server) putSchedule(c echo.Context) error {
	name := c.Param("name")
	if !validScheduleName(name) {
		return millrace.InvalidField("/name", "must have 1 to %d of A-Z a-z 0-9 . _ -", maxScheduleName)
	}
	var req scheduleRequest
	if err := decode(s, c, &req); err != nil {
		return err
	}
	schedule, err := req.schedule(time.Now())
	if err != nil {
		return err
	}
	schedule.Tenant, schedule.Name = tenant(c), name
	ctx := c.Request().Context()
	if err := s.checkRecurring(ctx, schedule); err != nil {
		return strict.Under("/job", err)
	}
	if err := s.scheduleRoom(ctx, schedule.Tenant, name); err != nil {
		return err
	}
	stored, created, err := s.Ledger.PutSchedule(ctx, schedule)
	if err != nil {
		return fromLedger(err)
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		c.Response().Header().Set("Location", scheduleURL(name))
	}
	return respond(s, c, status, viewSchedule(stored))
}

// maxSchedules bounds a tenant's schedules: each costs the leader a look when it is due.
const maxSchedules = 1000

// scheduleRoom refuses one schedule too many. Requests that race may pass the bound by their number.
func (s *Server) scheduleRoom(ctx context.Context, tenant, name string) error {
	if _, err := s.Ledger.Schedule(ctx, tenant, name); err == nil || !errors.Is(err, store.ErrNotFound) {
		return fromLedger(err)
	}
	all, err := s.Ledger.ListSchedules(ctx, tenant, "", maxSchedules)
	if err != nil {
		return fromLedger(err)
	}
	if len(all) >= maxSchedules {
		return millrace.Errorf(millrace.Limited, "there are %d schedules, which is the most; delete one first", maxSchedules)
	}
	return nil
}

// schedule reads everything but the job, of which it keeps the text.
func (r *scheduleRequest) schedule(now time.Time) (millrace.Schedule, error) {
	var f strict.Fields
	out := millrace.Schedule{Cron: r.Cron, Timezone: r.Timezone, CatchUp: millrace.CatchUp(r.CatchUp), Paused: r.Paused}
	switch out.CatchUp {
	case "":
		out.CatchUp = millrace.CatchUpLast
	case millrace.CatchUpNone, millrace.CatchUpLast, millrace.CatchUpAll:
	default:
		f.Check(false, "/catch_up", "must be none, last or all")
	}
	if out.Timezone == "" {
		out.Timezone = "UTC"
	}
	rule, err := cron.Parse(r.Cron, out.Timezone)
	if zone, ok := errors.AsType[*cron.TimezoneError](err); ok {
		f.Check(false, "/timezone", "must be an IANA name such as Europe/Paris, not %q", clipText(zone.Name))
	} else if err != nil {
		f.Check(false, "/cron", "%s", err)
	} else {
		next := rule.Next(now)
		f.Check(!next.IsZero(), "/cron", "never comes: no date fits all fields")
		if !r.Paused {
			out.NextRunAt = next
		}
	}
	f.Check(len(r.Job) > 0 && string(r.Job) != "null", "/job", "is required")
	var job bytes.Buffer
	if len(r.Job) > 0 {
		if err := json.Compact(&job, r.Job); err != nil {
			return out, fmt.Errorf("compact a job that was decoded: %w", err)
		}
	}
	out.Job = job.Bytes()
	return out, f.Err()
}

// checkRecurring says what would be refused in the schedule's job if it ran now.
func (s *Server) checkRecurring(ctx context.Context, schedule millrace.Schedule) error {
	spec, err := jobspec.DecodeRecurring(schedule.Job, schedule.Tenant)
	if err != nil {
		return err
	}
	if err := s.Dispatcher.Check(ctx, spec); err != nil {
		return err
	}
	return s.checkInputs(ctx, spec)
}

// checkInputs says which file of a job does not exist: an input, or one that its params speak of.
func (s *Server) checkInputs(ctx context.Context, spec dispatch.Spec) error {
	var files []tasks.FileRef
	for i, in := range spec.Inputs {
		pointer := fmt.Sprintf("/inputs/%d/file", i)
		if len(spec.Inputs) == 1 {
			pointer = "/input/file"
		}
		files = append(files, tasks.FileRef{File: in.File, Pointer: pointer})
	}
	refs, err := s.Dispatcher.Refs(ctx, spec)
	if err != nil {
		return err
	}
	for _, file := range append(files, refs...) {
		_, err := s.Ledger.File(ctx, spec.Tenant, file.File)
		if errors.Is(err, store.ErrNotFound) {
			e := millrace.InvalidField(file.Pointer, "does not exist")
			e.Code = millrace.CodeInvalidInput
			return e
		}
		if err != nil {
			return fromLedger(err)
		}
	}
	return nil
}

// clipText keeps a caller's own text short in an error about it.
func clipText(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
