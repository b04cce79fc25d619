//go:build linux

package chaos_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/millrace/millrace"
)

// jobView is a job as clients see it, as far as it is looked at here.
type jobView struct {
	ID, Type              string
	State                 millrace.State
	Tags                  []string
	Run, Attempt          int
	Attempts              []attemptView
	Error                 *millrace.JobError
	Result                json.RawMessage
	Outputs               []millrace.Output
	CreatedAt, FinishedAt time.Time
	RunAt, StartedAt      time.Time
}

type attemptView struct {
	N, Run             int
	Worker, Outcome    string
	StartedAt, EndedAt time.Time
	Spent              bool
	Error              *millrace.JobError
}

func (v *jobView) UnmarshalJSON(raw []byte) error {
	var w struct {
		ID      string             `json:"id"`
		Type    string             `json:"type"`
		State   millrace.State     `json:"state"`
		Tags    []string           `json:"tags"`
		Run     int                `json:"run"`
		Attempt int                `json:"attempt"`
		Error   *millrace.JobError `json:"error"`
		Result  json.RawMessage    `json:"result"`
		Outputs []struct {
			Name        string `json:"name"`
			File        string `json:"file"`
			Size        int64  `json:"size"`
			ContentType string `json:"content_type"`
			SHA256      string `json:"sha256"`
		} `json:"outputs"`
		CreatedAt  time.Time  `json:"created_at"`
		RunAt      time.Time  `json:"run_at"`
		StartedAt  *time.Time `json:"started_at"`
		FinishedAt *time.Time `json:"finished_at"`
		Attempts   []struct {
			N         int                `json:"n"`
			Run       int                `json:"run"`
			Worker    string             `json:"worker"`
			StartedAt *time.Time         `json:"started_at"`
			EndedAt   *time.Time         `json:"ended_at"`
			Outcome   *string            `json:"outcome"`
			Spent     bool               `json:"spent"`
			Error     *millrace.JobError `json:"error"`
		} `json:"attempts"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return err
	}
	*v = jobView{ID: w.ID, Type: w.Type, State: w.State, Tags: w.Tags, Run: w.Run, Attempt: w.Attempt, Error: w.Error, Result: w.Result,
		CreatedAt: w.CreatedAt, RunAt: w.RunAt, StartedAt: at(w.StartedAt), FinishedAt: at(w.FinishedAt)}
	if string(w.Result) == "null" {
		v.Result = nil
	}
	for _, o := range w.Outputs {
		v.Outputs = append(v.Outputs, millrace.Output{Name: o.Name, File: o.File, Size: o.Size, ContentType: o.ContentType, SHA256: o.SHA256})
	}
	for _, a := range w.Attempts {
		view := attemptView{N: a.N, Run: a.Run, Worker: a.Worker, StartedAt: at(a.StartedAt), EndedAt: at(a.EndedAt), Spent: a.Spent, Error: a.Error}
		if a.Outcome != nil {
			view.Outcome = *a.Outcome
		}
		v.Attempts = append(v.Attempts, view)
	}
	return nil
}

func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// job is what the history wants to see. What clients are not shown stays zero.
func (v *jobView) job() *millrace.Job {
	return &millrace.Job{ID: v.ID, Tenant: millrace.DefaultTenant, Type: v.Type, State: v.State, Tags: v.Tags, Run: v.Run, Attempt: v.Attempt,
		Error: v.Error, Result: v.Result, Outputs: v.Outputs, CreatedAt: v.CreatedAt, RunAt: v.RunAt, StartedAt: v.StartedAt, FinishedAt: v.FinishedAt}
}

// page reads one page of the list.
func (l *load) page(ctx context.Context, query url.Values) (jobs []jobView, next string, err error) {
	var page struct {
		Items []jobView `json:"items"`
		Next  *string   `json:"next_cursor"`
	}
	status, _, err := l.f.call(ctx, l.client, "GET", "/v1/jobs?"+query.Encode(), nil, nil, &page)
	if err == nil && status != http.StatusOK {
		err = errStatus(status)
	}
	if page.Next != nil {
		next = *page.Next
	}
	return page.Items, next, err
}

type errStatus int

func (e errStatus) Error() string { return http.StatusText(int(e)) }

// watch reads the newest jobs again and again until ctx ends, so that whatever is final in front of a client's eyes can be compared with what it
// is in the end.
func (l *load) watch(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		pages := int(every.Seconds()*float64(l.rate)*2)/500 + 1
		query := url.Values{"limit": {"500"}}
		for range pages {
			jobs, next, err := l.page(ctx, query)
			if err != nil {
				break
			}
			for i := range jobs {
				l.history.Saw("a client", jobs[i].job())
			}
			if next == "" {
				break
			}
			query.Set("cursor", next)
		}
	}
}

// settle waits until every job is final and says what is left where that takes too long.
func (l *load) settle(ctx context.Context, patience time.Duration) (left []string, took time.Duration) {
	began := time.Now()
	eventually(patience, func() bool {
		left = left[:0]
		for _, state := range millrace.States() {
			if state.Final() {
				continue
			}
			jobs, _, err := l.page(ctx, url.Values{"limit": {"20"}, "state": {string(state)}})
			if err != nil {
				left = append(left, err.Error())
				return false
			}
			for _, j := range jobs {
				left = append(left, j.ID+" "+string(j.State))
			}
		}
		return len(left) == 0
	})
	return left, time.Since(began)
}
