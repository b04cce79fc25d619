package rest

import (
	"encoding/json"
	"net/url"

	"github.com/millrace/millrace"
)

// jobView is a Job as the API writes it.
type jobView struct {
	ID          string             `json:"id"`
	Type        string             `json:"type"`
	State       millrace.State     `json:"state"`
	Priority    millrace.Priority  `json:"priority"`
	Params      json.RawMessage    `json:"params"`
	Input       *millrace.Input    `json:"input"`  // the only or first one
	Inputs      []millrace.Input   `json:"inputs"` // all of them
	Tags        []string           `json:"tags"`
	Metadata    json.RawMessage    `json:"metadata"`
	Progress    progressView       `json:"progress"`
	Run         int                `json:"run"`
	Attempt     int                `json:"attempt"`
	MaxAttempts int                `json:"max_attempts"`
	Attempts    []attemptView      `json:"attempts"`
	Error       *millrace.JobError `json:"error"`
	Result      json.RawMessage    `json:"result"`
	Outputs     []outputView       `json:"outputs"`
	Cached      bool               `json:"cached"`
	Unique      *uniqueView        `json:"unique"`
	Schedule    *string            `json:"schedule"` // that made the job
	Deadline    stamp              `json:"deadline"`
	CreatedAt   stamp              `json:"created_at"`
	RunAt       stamp              `json:"run_at"`
	StartedAt   stamp              `json:"started_at"`
	FinishedAt  stamp              `json:"finished_at"`
	ExpiresAt   stamp              `json:"expires_at"`
	URL         string             `json:"url"`
}

type uniqueView struct {
	Key string  `json:"key"`
	TTL *string `json:"ttl"` // null: as long as the job lives
}

type progressView struct {
	Done    int64   `json:"done"`
	Total   int64   `json:"total"` // 0 while unknown
	Unit    string  `json:"unit"`
	Percent float64 `json:"percent"` // 0 while the total is unknown
	Message string  `json:"message"`
}

type attemptView struct {
	N         int                `json:"n"`
	Run       int                `json:"run"`
	Worker    string             `json:"worker"`
	StartedAt stamp              `json:"started_at"`
	EndedAt   stamp              `json:"ended_at"`
	Outcome   *string            `json:"outcome"` // null while running
	Spent     bool               `json:"spent"`
	Error     *millrace.JobError `json:"error"`
}

type outputView struct {
	Name        string `json:"name"`
	File        string `json:"file"`
	Size        int64  `json:"size"`
	ContentType string `json:"content_type"`
	SHA256      string `json:"sha256"`
	URL         string `json:"url"`
}

func viewJob(j *millrace.Job) jobView {
	v := jobView{
		ID: j.ID, Type: j.Type, State: j.State, Priority: j.Priority,
		Params: orObject(j.Params), Inputs: orEmpty(j.Inputs), Tags: orEmpty(j.Tags), Metadata: orObject(j.Metadata),
		Progress: viewProgress(j.Progress, j.State), Run: j.Run, Attempt: j.Attempt, MaxAttempts: j.MaxAttempts,
		Attempts: make([]attemptView, 0, len(j.Attempts)), Error: j.Error, Result: j.Result, Outputs: make([]outputView, 0, len(j.Outputs)),
		Cached: j.Cached, Unique: viewUnique(j.Unique), Deadline: stamp(j.Deadline), CreatedAt: stamp(j.CreatedAt), RunAt: stamp(j.RunAt), StartedAt: stamp(j.StartedAt),
		FinishedAt: stamp(j.FinishedAt), ExpiresAt: stamp(j.ExpiresAt), URL: jobURL(j.ID),
	}
	if j.RunAt.IsZero() {
		v.RunAt = v.CreatedAt // not yet read back from the ledger: at once
	}
	if len(j.Inputs) > 0 {
		v.Input = &j.Inputs[0]
	}
	if j.Schedule != "" {
		v.Schedule = &j.Schedule
	}
	for _, a := range j.Attempts {
		v.Attempts = append(v.Attempts, viewAttempt(a))
	}
	for _, o := range j.Outputs {
		v.Outputs = append(v.Outputs, outputView{
			Name: o.Name, File: o.File, Size: o.Size, ContentType: o.ContentType, SHA256: o.SHA256,
			URL: v.URL + "/outputs/" + url.PathEscape(o.Name),
		})
	}
	return v
}

func viewUnique(u *millrace.Unique) *uniqueView {
	if u == nil {
		return nil
	}
	v := uniqueView{Key: u.Key}
	if u.TTL > 0 {
		ttl := u.TTL.String()
		v.TTL = &ttl
	}
	return &v
}

func viewAttempt(a millrace.Attempt) attemptView {
	v := attemptView{N: a.N, Run: a.Run, Worker: a.Worker, StartedAt: stamp(a.StartedAt), EndedAt: stamp(a.EndedAt), Spent: a.Spent, Error: a.Error}
	if a.Outcome != "" {
		v.Outcome = &a.Outcome
	}
	return v
}

// viewProgress shows a finished job as wholly done, also where its handler never knew the total or the result came from the cache.
func viewProgress(p millrace.Progress, state millrace.State) progressView {
	v := progressView{Done: p.Done, Total: p.Total, Unit: p.Unit, Percent: p.Percent(), Message: p.Message}
	if state == millrace.Succeeded {
		v.Percent = 100
	}
	return v
}

func jobURL(id string) string { return "/v1/jobs/" + id }

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func orObject(doc json.RawMessage) json.RawMessage {
	if len(doc) == 0 {
		return json.RawMessage("{}")
	}
	return doc
}
