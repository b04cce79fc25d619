package jobspec

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/strict"
)

// Request is the body of POST /v1/jobs. Durations and times stay text here, so that a wrong one is refused with its pointer.
type Request struct {
	Type        string          `json:"type"`
	Params      json.RawMessage `json:"params"` // checked by the type
	Input       *Input          `json:"input"`
	Inputs      []Input         `json:"inputs"`
	Priority    string          `json:"priority"`
	RunAt       string          `json:"run_at"`
	Delay       string          `json:"delay"`
	Timeout     string          `json:"timeout"`
	Deadline    string          `json:"deadline"`
	MaxAttempts *int            `json:"max_attempts"`
	Backoff     *Backoff        `json:"backoff"`
	Unique      *Unique         `json:"unique"`
	Cache       *bool           `json:"cache"`
	Tags        []string        `json:"tags"`
	Metadata    json.RawMessage `json:"metadata"`
	Retention   string          `json:"retention"`

	// Of later releases: refused when they are there.
	Webhook       json.RawMessage `json:"webhook"`
	OnUnavailable json.RawMessage `json:"on_unavailable"`
}

// Input names what a job works on.
type Input struct {
	File string `json:"file"`

	URL    json.RawMessage `json:"url"`
	Job    json.RawMessage `json:"job"`
	Output json.RawMessage `json:"output"`
}

// Backoff is the wait between attempts.
type Backoff struct {
	Initial string   `json:"initial"`
	Max     string   `json:"max"`
	Factor  *float64 `json:"factor"`
	Jitter  *float64 `json:"jitter"`
}

// Unique keeps a second live job with the same key out.
type Unique struct {
	Key string `json:"key"`
	TTL string `json:"ttl"`
}

// Shape implements strict.Shaped.
func (*Request) Shape() strict.Shape {
	input := strict.Shape{"file": nil, "url": nil, "job": nil, "output": nil}
	return strict.Shape{
		"type": nil, "params": nil, "input": input, "inputs": input, "priority": nil, "run_at": nil, "delay": nil, "timeout": nil, "deadline": nil,
		"max_attempts": nil, "backoff": {"initial": nil, "max": nil, "factor": nil, "jitter": nil}, "unique": {"key": nil, "ttl": nil},
		"cache": nil, "tags": nil, "metadata": nil, "retention": nil, "webhook": nil, "on_unavailable": nil,
	}
}

// Spec reads the request into the domain's words.
func (r *Request) Spec(tenant string) (dispatch.Spec, error) {
	if err := r.reserved(); err != nil {
		return dispatch.Spec{}, err
	}
	var f strict.Fields
	spec := dispatch.Spec{
		Tenant: tenant, Type: r.Type, Params: r.Params, Priority: millrace.Priority(r.Priority), Cache: r.Cache, Tags: r.Tags,
		Metadata: present(r.Metadata), Inputs: r.inputs(&f),
		RunAt: f.Time("/run_at", r.RunAt), Delay: f.Duration("/delay", r.Delay), Deadline: f.Time("/deadline", r.Deadline),
		Timeout: f.Positive("/timeout", r.Timeout), Retention: f.Positive("/retention", r.Retention),
	}
	if f.Check(r.Type != "", "/type", "is required"); r.MaxAttempts != nil {
		f.Check(*r.MaxAttempts >= 1, "/max_attempts", "must be at least 1")
		spec.MaxAttempts = *r.MaxAttempts
	}
	if b := r.Backoff; b != nil {
		spec.Backoff = dispatch.BackoffSpec{
			Initial: optional(&f, "/backoff/initial", b.Initial), Max: optional(&f, "/backoff/max", b.Max), Factor: b.Factor, Jitter: b.Jitter,
		}
	}
	if u := r.Unique; u != nil {
		spec.Unique = &millrace.Unique{Key: u.Key, TTL: f.Positive("/unique/ttl", u.TTL)}
	}
	return spec, f.Err()
}

// reserved refuses what the contract describes and this release does not have.
func (r *Request) reserved() error {
	for _, f := range []struct {
		raw  json.RawMessage
		name string
	}{{r.Webhook, "webhook"}, {r.OnUnavailable, "on_unavailable"}} {
		if present(f.raw) != nil {
			return NotAvailable("/"+f.name, "the field "+f.name+" will")
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
	return nil
}

func (in *Input) reserved(at string) error {
	for _, f := range []struct {
		raw  json.RawMessage
		name string
	}{{in.URL, "url"}, {in.Job, "job"}, {in.Output, "output"}} {
		if present(f.raw) != nil {
			return NotAvailable(at+"/"+f.name, "inputs by "+f.name)
		}
	}
	return nil
}

func optional(f *strict.Fields, pointer, text string) *time.Duration {
	if text == "" {
		return nil
	}
	d := f.Duration(pointer, text)
	return &d
}

func (r *Request) inputs(f *strict.Fields) []millrace.Input {
	f.Check(r.Input == nil || r.Inputs == nil, "/inputs", "cannot stand beside input; give one of them")
	if r.Input != nil {
		return []millrace.Input{{File: file(f, "/input/file", r.Input.File)}}
	}
	var list []millrace.Input
	for i, in := range r.Inputs {
		list = append(list, millrace.Input{File: file(f, fmt.Sprintf("/inputs/%d/file", i), in.File)})
	}
	return list
}

func file(f *strict.Fields, pointer, id string) string {
	if id == "" {
		f.Check(false, pointer, "is required")
	} else {
		f.Check(ValidID(id), pointer, "does not exist")
	}
	return id
}

// ValidID says whether id is a UUID in the form we write. No other id can exist.
func ValidID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}
