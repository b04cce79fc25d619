package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
)

// jobRequest is the body of POST /v1/jobs. Durations and times stay text here, so that a wrong one is refused with its pointer.
type jobRequest struct {
	Type        string          `json:"type"`
	Params      json.RawMessage `json:"params"` // checked by the type
	Input       *inputRequest   `json:"input"`
	Inputs      []inputRequest  `json:"inputs"`
	Priority    string          `json:"priority"`
	RunAt       string          `json:"run_at"`
	Delay       string          `json:"delay"`
	Timeout     string          `json:"timeout"`
	MaxAttempts *int            `json:"max_attempts"`
	Backoff     *backoffRequest `json:"backoff"`
	Cache       *bool           `json:"cache"`
	Tags        []string        `json:"tags"`
	Metadata    json.RawMessage `json:"metadata"`
	Retention   string          `json:"retention"`

	// Of later releases: refused when they are there.
	Unique        json.RawMessage `json:"unique"`
	Webhook       json.RawMessage `json:"webhook"`
	Deadline      json.RawMessage `json:"deadline"`
	OnUnavailable json.RawMessage `json:"on_unavailable"`
}

type inputRequest struct {
	File string `json:"file"`

	URL    json.RawMessage `json:"url"`
	Job    json.RawMessage `json:"job"`
	Output json.RawMessage `json:"output"`
}

type backoffRequest struct {
	Initial string   `json:"initial"`
	Max     string   `json:"max"`
	Factor  *float64 `json:"factor"`
	Jitter  *float64 `json:"jitter"`
}

// shape lists the fields, so that an unknown one is named with its place.
func (*jobRequest) shape() shape {
	input := shape{"file": nil, "url": nil, "job": nil, "output": nil}
	return shape{
		"type": nil, "params": nil, "input": input, "inputs": input, "priority": nil, "run_at": nil, "delay": nil, "timeout": nil,
		"max_attempts": nil, "backoff": {"initial": nil, "max": nil, "factor": nil, "jitter": nil}, "cache": nil, "tags": nil,
		"metadata": nil, "retention": nil, "unique": nil, "webhook": nil, "deadline": nil, "on_unavailable": nil,
	}
}

// spec reads the request into the domain's words. What it checks is the form; whether the values make a job is the dispatcher's to say.
func (s *Server) spec(r *jobRequest, tenant string) (dispatch.Spec, error) {
	if err := s.reserved(r); err != nil {
		return dispatch.Spec{}, err
	}
	var p fieldParser
	spec := dispatch.Spec{
		Tenant: tenant, Type: r.Type, Params: r.Params, Priority: millrace.Priority(r.Priority), Cache: r.Cache, Tags: r.Tags,
		Metadata: present(r.Metadata), Inputs: p.inputs(r),
		RunAt: p.time("/run_at", r.RunAt), Delay: p.duration("/delay", r.Delay),
		Timeout: p.positive("/timeout", r.Timeout), Retention: p.positive("/retention", r.Retention),
	}
	if p.check(r.Type != "", "/type", "is required"); r.MaxAttempts != nil {
		p.check(*r.MaxAttempts >= 1, "/max_attempts", "must be at least 1")
		spec.MaxAttempts = *r.MaxAttempts
	}
	if b := r.Backoff; b != nil {
		spec.Backoff = dispatch.BackoffSpec{
			Initial: p.optional("/backoff/initial", b.Initial), Max: p.optional("/backoff/max", b.Max), Factor: b.Factor, Jitter: b.Jitter,
		}
	}
	return spec, p.err()
}

// present is nil for a value that is absent or null.
func present(raw json.RawMessage) json.RawMessage {
	if string(bytes.TrimSpace(raw)) == "null" {
		return nil
	}
	return raw
}

// laterType says whether a task type is one that the contract names and this release does not have.
func laterType(name string) bool {
	switch name {
	case "file.archive", "compute.query", "compute.wasm":
		return true
	}
	return false
}

// reserved refuses what the contract describes and this release does not have: silently ignoring it would break a promise.
func (s *Server) reserved(r *jobRequest) error {
	for _, f := range []struct {
		raw  json.RawMessage
		name string
	}{{r.Unique, "unique"}, {r.Webhook, "webhook"}, {r.Deadline, "deadline"}, {r.OnUnavailable, "on_unavailable"}} {
		if present(f.raw) != nil {
			return notAvailable("/"+f.name, "the field "+f.name+" will")
		}
	}
	if r.Input != nil {
		if err := r.Input.reserved("/input"); err != nil {
			return err
		}
	}
	for i := range r.Inputs {
		if err := r.Inputs[i].reserved(fmt.Sprintf("/inputs/%d", i)); err != nil {
			return err
		}
	}
	if _, known := s.Types.Get(r.Type); !known && laterType(r.Type) {
		return notAvailable("/type", "the task type "+r.Type+" will")
	}
	if bytes.Contains(r.Params, []byte(`"preset"`)) {
		var p struct {
			Preset json.RawMessage `json:"preset"`
		}
		if json.Unmarshal(r.Params, &p) == nil && present(p.Preset) != nil {
			return notAvailable("/params/preset", "presets")
		}
	}
	return nil
}

func (in *inputRequest) reserved(at string) error {
	for _, f := range []struct {
		raw  json.RawMessage
		name string
	}{{in.URL, "url"}, {in.Job, "job"}, {in.Output, "output"}} {
		if present(f.raw) != nil {
			return notAvailable(at+"/"+f.name, "inputs by "+f.name)
		}
	}
	return nil
}

// fieldParser reads values that JSON carries as text, and gathers what is wrong with each.
type fieldParser []millrace.FieldError

func (p *fieldParser) check(ok bool, pointer, format string, args ...any) {
	if !ok {
		*p = append(*p, millrace.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
}

func (p *fieldParser) err() error {
	if len(*p) == 0 {
		return nil
	}
	first := (*p)[0]
	return &millrace.Error{Kind: millrace.Invalid, Detail: first.Pointer + " " + first.Detail, Fields: *p}
}

func (p *fieldParser) duration(pointer, text string) time.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	p.check(err == nil, pointer, "must be a duration such as 90s or 1h30m")
	return d
}

// positive is a duration that means the default when it is absent, so that zero cannot be asked for.
func (p *fieldParser) positive(pointer, text string) time.Duration {
	d := p.duration(pointer, text)
	p.check(text == "" || d > 0, pointer, "must be more than 0s")
	return d
}

func (p *fieldParser) optional(pointer, text string) *time.Duration {
	if text == "" {
		return nil
	}
	d := p.duration(pointer, text)
	return &d
}

func (p *fieldParser) time(pointer, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	p.check(err == nil, pointer, "must be a time such as 2026-01-31T12:00:00Z")
	return t
}

func (p *fieldParser) inputs(r *jobRequest) []millrace.Input {
	p.check(r.Input == nil || r.Inputs == nil, "/inputs", "cannot stand beside input; give one of them")
	if r.Input != nil {
		return []millrace.Input{{File: p.file("/input/file", r.Input.File)}}
	}
	var list []millrace.Input
	for i, in := range r.Inputs {
		list = append(list, millrace.Input{File: p.file(fmt.Sprintf("/inputs/%d/file", i), in.File)})
	}
	return list
}

func (p *fieldParser) file(pointer, id string) string {
	if id == "" {
		p.check(false, pointer, "is required")
	} else {
		p.check(validID(id), pointer, "does not exist")
	}
	return id
}
