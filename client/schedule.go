package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// ScheduleSpec is a job to submit again and again.
type ScheduleSpec struct {
	Cron     string `json:"cron"`               // "0 3 * * *", or @daily and the like
	Timezone string `json:"timezone,omitempty"` // IANA name; "": UTC
	Job      Spec   `json:"job"`                // without RunAt and Deadline
	Paused   bool   `json:"paused,omitempty"`
	CatchUp  string `json:"catch_up,omitempty"` // what becomes of missed runs: none, last (the default) or all
}

// Schedule is a schedule as the server answers it. A nil time is "not" or "not yet".
type Schedule struct {
	Name      string     `json:"name"`
	Cron      string     `json:"cron"`
	Timezone  string     `json:"timezone"`
	Paused    bool       `json:"paused"`
	CatchUp   string     `json:"catch_up"`
	NextRunAt *time.Time `json:"next_run_at"`
	LastRunAt *time.Time `json:"last_run_at"`
	LastJob   string     `json:"last_job"`
	LastError string     `json:"last_error"` // why the job of the last run was refused
}

// PutSchedule creates a schedule, or replaces the one of that name. It may be repeated.
func (c *Client) PutSchedule(ctx context.Context, name string, spec ScheduleSpec) (Schedule, error) {
	var s Schedule
	body, err := json.Marshal(spec)
	if err != nil {
		return s, err
	}
	err = c.send(ctx, http.MethodPut, schedulePath(name), "application/json", bytes.NewReader(body), &s)
	return s, err
}

// Schedule reads a schedule.
func (c *Client) Schedule(ctx context.Context, name string) (Schedule, error) {
	var s Schedule
	err := c.send(ctx, http.MethodGet, schedulePath(name), "", nil, &s)
	return s, err
}

// DeleteSchedule removes a schedule. Its jobs stay.
func (c *Client) DeleteSchedule(ctx context.Context, name string) error {
	return c.send(ctx, http.MethodDelete, schedulePath(name), "", nil, nil)
}

func schedulePath(name string) string { return "/v1/schedules/" + url.PathEscape(name) }
