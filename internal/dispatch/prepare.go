package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/strict"
	"github.com/millrace/millrace/tasks"
)

// Defaults and limits of a job, as the contract states them.
const (
	DefaultTimeout     = 10 * time.Minute
	MaxTimeout         = 12 * time.Hour
	DefaultMaxAttempts = 5
	MaxMaxAttempts     = 100
	DefaultRetention   = 72 * time.Hour
	MaxRetention       = 365 * 24 * time.Hour
	MaxMetadata        = 16 << 10 // bytes
	MaxTags            = 20
	MaxTagLength       = 64                   // characters
	MaxDelay           = 366 * 24 * time.Hour // how far ahead a job may be scheduled
	MaxUniqueKey       = 255                  // characters
	maxBackoff         = 24 * time.Hour
	maxURL             = 2048 // bytes
)

// DefaultBackoff is the wait between attempts of a job that asks for nothing else.
func DefaultBackoff() millrace.Backoff {
	return millrace.Backoff{Initial: time.Second, Max: 10 * time.Minute, Factor: 2, Jitter: 0.2}
}

// taskType finds a task type by name.
func (d *Dispatcher) taskType(name string) (tasks.Type, error) {
	t, ok := d.Types.Get(name)
	switch {
	case ok:
		return t, nil
	case laterType(name):
		e := millrace.InvalidField("/type", "is not available in this release")
		e.Code = millrace.CodeNotAvailable
		return t, e
	}
	return t, millrace.InvalidField("/type", "must be one of the task types in GET /v1/task-types, not %q", clip(name))
}

// prepare checks a spec and makes the job's row of it. It reads nothing but the spec and the preset that this names.
func (d *Dispatcher) prepare(ctx context.Context, spec Spec, find findPreset) (tasks.Type, *millrace.Job, error) {
	t, err := d.taskType(spec.Type)
	if err != nil {
		return t, nil, err
	}
	given, err := resolve(ctx, t, spec, find)
	if err != nil {
		return t, nil, err
	}
	params, err := d.params.decode(t, given)
	if err != nil {
		return t, nil, err
	}
	var e fields
	e.Check(len(spec.Inputs) >= t.MinInputs && len(spec.Inputs) <= t.MaxInputs, "/input", "%s takes %s, not %d",
		t.Name, count(t.MinInputs, t.MaxInputs), len(spec.Inputs))
	inputs, err := e.inputs(t, spec.Inputs, params)
	if err != nil {
		return t, nil, err
	}
	now := d.Now()
	job := &millrace.Job{
		ID: newID(), Tenant: spec.Tenant, Type: t.Name, State: millrace.Queued, Params: params, Inputs: inputs,
		Run: 1, CreatedAt: now.UTC().Truncate(time.Millisecond), Schedule: spec.Schedule,
	}
	e.priority(job, spec, t)
	e.limits(job, spec)
	e.labels(job, spec)
	e.start(job, spec, now)
	e.unique(job, spec)
	e.webhook(job, spec)
	job.Backoff = e.backoff(spec.Backoff)
	return t, job, e.Err()
}

// fields gathers what is wrong in a spec.
type fields struct{ strict.Fields }

// inputs are the client's own and, after them, the files that its params speak of and that are not among them.
func (e *fields) inputs(t tasks.Type, own []millrace.Input, params json.RawMessage) ([]millrace.Input, error) {
	refs, err := t.Refs(params)
	if err != nil || len(refs) == 0 {
		return own, err
	}
	all := slices.Clone(own)
	for _, ref := range refs {
		id, err := uuid.Parse(ref.File)
		e.Check(err == nil && id.String() == ref.File, ref.Pointer, "does not exist")
		if in := (millrace.Input{File: ref.File}); !slices.Contains(all, in) {
			all = append(all, in)
		}
	}
	return all, nil
}

// laterType says whether a task type is one that the contract names and this release does not have.
func laterType(name string) bool {
	switch name {
	case "file.archive", "compute.query", "compute.wasm":
		return true
	}
	return false
}

func (e *fields) priority(job *millrace.Job, spec Spec, t tasks.Type) {
	job.Priority = spec.Priority
	switch spec.Priority {
	case "":
		job.Priority = millrace.Normal
	case millrace.High, millrace.Normal, millrace.Low:
	default:
		e.Check(false, "/priority", "must be high, normal or low, not %q", clip(string(spec.Priority)))
	}
	job.Queue = millrace.QueueName(t.Pool, job.Priority)
}

func (e *fields) limits(job *millrace.Job, spec Spec) {
	job.Timeout = orDefault(spec.Timeout, DefaultTimeout)
	e.Check(job.Timeout >= time.Millisecond && job.Timeout <= MaxTimeout, "/timeout", "must be between 1ms and %s", MaxTimeout)
	job.MaxAttempts = orDefault(spec.MaxAttempts, DefaultMaxAttempts)
	e.Check(job.MaxAttempts >= 1 && job.MaxAttempts <= MaxMaxAttempts, "/max_attempts", "must be between 1 and %d", MaxMaxAttempts)
	job.Retention = orDefault(spec.Retention, DefaultRetention)
	e.Check(job.Retention >= time.Second && job.Retention <= MaxRetention, "/retention", "must be between 1s and %s", MaxRetention)
}

func (e *fields) labels(job *millrace.Job, spec Spec) {
	job.Tags, job.Metadata = spec.Tags, spec.Metadata
	e.Check(len(spec.Tags) <= MaxTags, "/tags", "must be at most %d, are %d", MaxTags, len(spec.Tags))
	seen := make(map[string]bool, len(spec.Tags))
	for i, tag := range spec.Tags[:min(len(spec.Tags), MaxTags)] {
		at := fmt.Sprintf("/tags/%d", i)
		e.Check(tag != "" && utf8.RuneCountInString(tag) <= MaxTagLength, at, "must have 1 to %d characters", MaxTagLength)
		e.Check(utf8.ValidString(tag) && !strings.ContainsRune(tag, 0), at, "must be UTF-8 text without NUL")
		e.Check(!seen[tag], at, "is there twice")
		seen[tag] = true
	}
	e.Check(len(spec.Metadata) <= MaxMetadata, "/metadata", "must be at most %d bytes, is %d", MaxMetadata, len(spec.Metadata))
	var object map[string]json.RawMessage
	e.Check(len(spec.Metadata) == 0 || json.Unmarshal(spec.Metadata, &object) == nil && object != nil, "/metadata", "must be a JSON object")
	e.Check(storable(spec.Metadata), "/metadata", "must be UTF-8 text without NUL")
	e.Check(storable(job.Params), "/params", "must be UTF-8 text without NUL")
}

// storable says whether a database can keep the text: PostgreSQL knows no NUL, not even an escaped one.
func storable(raw json.RawMessage) bool {
	if !utf8.Valid(raw) {
		return false
	}
	for at := 0; ; {
		i := bytes.Index(raw[at:], []byte(`\u0000`))
		if i < 0 {
			return true
		}
		at += i
		backslashes := 0
		for j := at; j >= 0 && raw[j] == '\\'; j-- {
			backslashes++
		}
		if backslashes%2 == 1 { // an even number is escaped backslashes before plain letters
			return false
		}
		at++
	}
}

// start settles when the job may run.
func (e *fields) start(job *millrace.Job, spec Spec, now time.Time) {
	e.Check(spec.RunAt.IsZero() || spec.Delay == 0, "/delay", "cannot stand beside run_at; give one of them")
	e.Check(spec.Delay >= 0 && spec.Delay <= MaxDelay, "/delay", "must be between 0s and %s", MaxDelay)
	at := spec.RunAt
	if spec.Delay > 0 {
		at = now.Add(spec.Delay)
	}
	e.Check(at.Before(now.Add(MaxDelay+time.Minute)), "/run_at", "must be less than %s ahead", MaxDelay)
	if at.After(now) {
		job.State, job.RunAt = millrace.Scheduled, at.UTC().Truncate(time.Millisecond)
	}
	if !spec.Deadline.IsZero() {
		job.Deadline = spec.Deadline.UTC().Truncate(time.Millisecond)
		e.Check(job.Deadline.After(now), "/deadline", "must lie ahead")
		e.Check(job.Deadline.After(job.RunAt) || !job.Deadline.After(now), "/deadline", "must lie after the time that the job runs at")
	}
}

func (e *fields) unique(job *millrace.Job, spec Spec) {
	u := spec.Unique
	if job.Unique = u; u == nil {
		return
	}
	e.Check(u.Key != "" && utf8.RuneCountInString(u.Key) <= MaxUniqueKey, "/unique/key", "must have 1 to %d characters", MaxUniqueKey)
	e.Check(utf8.ValidString(u.Key) && !strings.ContainsRune(u.Key, 0), "/unique/key", "must be UTF-8 text without NUL")
	e.Check(u.TTL >= 0 && u.TTL <= MaxDelay, "/unique/ttl", "must be at most %s", MaxDelay)
}

// webhook checks who is to be told. Whether the address may be called is found out when it is.
func (e *fields) webhook(job *millrace.Job, spec Spec) {
	w := spec.Webhook
	if w == nil {
		return
	}
	at, err := url.Parse(w.URL)
	e.Check(err == nil && at.Host != "" && (at.Scheme == "http" || at.Scheme == "https") && at.User == nil && len(w.URL) <= maxURL,
		"/webhook/url", "must be an http or https URL without credentials of at most %d bytes", maxURL)
	job.Webhook = &millrace.Webhook{URL: w.URL, Events: w.Events}
	if len(w.Events) == 0 {
		job.Webhook.Events = []string{string(millrace.Succeeded), string(millrace.Failed)}
	}
	for i, event := range w.Events {
		e.Check(millrace.State(event).Final() && !slices.Contains(w.Events[:i], event), fmt.Sprintf("/webhook/events/%d", i),
			"must be succeeded, failed or canceled, each once")
	}
}

func (e *fields) backoff(spec BackoffSpec) millrace.Backoff {
	b := DefaultBackoff()
	set(&b.Initial, spec.Initial)
	set(&b.Max, spec.Max)
	set(&b.Factor, spec.Factor)
	set(&b.Jitter, spec.Jitter)
	if spec.Max == nil {
		b.Max = max(b.Max, b.Initial)
	}
	e.Check(b.Initial >= 0 && b.Initial <= maxBackoff, "/backoff/initial", "must be between 0s and %s", maxBackoff)
	e.Check(b.Max >= b.Initial && b.Max <= maxBackoff, "/backoff/max", "must be between the initial delay and %s", maxBackoff)
	e.Check(b.Factor >= 1 && b.Factor <= 100, "/backoff/factor", "must be between 1 and 100")
	e.Check(b.Jitter >= 0 && b.Jitter <= 1, "/backoff/jitter", "must be between 0 and 1")
	return b
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func orDefault[T comparable](v, standard T) T {
	var zero T
	if v == zero {
		return standard
	}
	return v
}

func count(low, high int) string {
	switch {
	case low == high && low == 1:
		return "one input"
	case low == high:
		return fmt.Sprintf("%d inputs", low)
	}
	return fmt.Sprintf("%d to %d inputs", low, high)
}

// clip keeps a caller's own text short in an error about it.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
