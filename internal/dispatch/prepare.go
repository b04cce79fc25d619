package dispatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace"
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
	maxBackoff         = 24 * time.Hour
)

// DefaultBackoff is the wait between attempts of a job that asks for nothing else.
func DefaultBackoff() millrace.Backoff {
	return millrace.Backoff{Initial: time.Second, Max: 10 * time.Minute, Factor: 2, Jitter: 0.2}
}

// prepare checks a spec and makes the job's row of it. It reads nothing but the spec.
func (d *Dispatcher) prepare(spec Spec) (tasks.Type, *millrace.Job, error) {
	t, ok := d.Types.Get(spec.Type)
	if !ok {
		return t, nil, millrace.InvalidField("/type", "must be one of the task types in GET /v1/task-types, not %q", clip(spec.Type))
	}
	params, err := t.Decode(spec.Params)
	if err != nil {
		return t, nil, err
	}
	var e fieldErrors
	e.check(len(spec.Inputs) >= t.MinInputs && len(spec.Inputs) <= t.MaxInputs, "/input", "%s takes %s, not %d",
		t.Name, count(t.MinInputs, t.MaxInputs), len(spec.Inputs))
	now := d.Now()
	job := &millrace.Job{
		ID: newID(), Tenant: spec.Tenant, Type: t.Name, State: millrace.Queued, Params: params, Inputs: spec.Inputs,
		Run: 1, CreatedAt: now.UTC().Truncate(time.Millisecond),
	}
	e.priority(job, spec, t)
	e.limits(job, spec)
	e.labels(job, spec)
	e.start(job, spec, now)
	job.Backoff = e.backoff(spec.Backoff)
	return t, job, e.err()
}

// fieldErrors gathers every wrong field of a spec, so that a caller can mend them all at once.
type fieldErrors []millrace.FieldError

func (e *fieldErrors) check(ok bool, pointer, format string, args ...any) {
	if !ok {
		*e = append(*e, millrace.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
}

func (e *fieldErrors) err() error {
	if len(*e) == 0 {
		return nil
	}
	first := (*e)[0]
	return &millrace.Error{Kind: millrace.Invalid, Detail: first.Pointer + " " + first.Detail, Fields: *e}
}

func (e *fieldErrors) priority(job *millrace.Job, spec Spec, t tasks.Type) {
	job.Priority = spec.Priority
	switch spec.Priority {
	case "":
		job.Priority = millrace.Normal
	case millrace.High, millrace.Normal, millrace.Low:
	default:
		e.check(false, "/priority", "must be high, normal or low, not %q", clip(string(spec.Priority)))
	}
	job.Queue = millrace.QueueName(t.Pool, job.Priority)
}

func (e *fieldErrors) limits(job *millrace.Job, spec Spec) {
	job.Timeout = orDefault(spec.Timeout, DefaultTimeout)
	e.check(job.Timeout >= time.Millisecond && job.Timeout <= MaxTimeout, "/timeout", "must be between 1ms and %s", MaxTimeout)
	job.MaxAttempts = orDefault(spec.MaxAttempts, DefaultMaxAttempts)
	e.check(job.MaxAttempts >= 1 && job.MaxAttempts <= MaxMaxAttempts, "/max_attempts", "must be between 1 and %d", MaxMaxAttempts)
	job.Retention = orDefault(spec.Retention, DefaultRetention)
	e.check(job.Retention >= time.Second && job.Retention <= MaxRetention, "/retention", "must be between 1s and %s", MaxRetention)
}

func (e *fieldErrors) labels(job *millrace.Job, spec Spec) {
	job.Tags, job.Metadata = spec.Tags, spec.Metadata
	e.check(len(spec.Tags) <= MaxTags, "/tags", "must be at most %d, are %d", MaxTags, len(spec.Tags))
	seen := make(map[string]bool, len(spec.Tags))
	for i, tag := range spec.Tags[:min(len(spec.Tags), MaxTags)] {
		at := fmt.Sprintf("/tags/%d", i)
		e.check(tag != "" && utf8.RuneCountInString(tag) <= MaxTagLength, at, "must have 1 to %d characters", MaxTagLength)
		e.check(utf8.ValidString(tag) && !strings.ContainsRune(tag, 0), at, "must be UTF-8 text without NUL")
		e.check(!seen[tag], at, "is there twice")
		seen[tag] = true
	}
	e.check(len(spec.Metadata) <= MaxMetadata, "/metadata", "must be at most %d bytes, is %d", MaxMetadata, len(spec.Metadata))
	var object map[string]json.RawMessage
	e.check(len(spec.Metadata) == 0 || json.Unmarshal(spec.Metadata, &object) == nil && object != nil, "/metadata", "must be a JSON object")
	e.check(storable(spec.Metadata), "/metadata", "must be UTF-8 text without NUL")
	e.check(storable(job.Params), "/params", "must be UTF-8 text without NUL")
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
func (e *fieldErrors) start(job *millrace.Job, spec Spec, now time.Time) {
	e.check(spec.RunAt.IsZero() || spec.Delay == 0, "/delay", "cannot stand beside run_at; give one of them")
	e.check(spec.Delay >= 0 && spec.Delay <= MaxDelay, "/delay", "must be between 0s and %s", MaxDelay)
	at := spec.RunAt
	if spec.Delay > 0 {
		at = now.Add(spec.Delay)
	}
	e.check(at.Before(now.Add(MaxDelay+time.Minute)), "/run_at", "must be less than %s ahead", MaxDelay)
	if at.After(now) {
		job.State, job.RunAt = millrace.Scheduled, at.UTC().Truncate(time.Millisecond)
	}
}

func (e *fieldErrors) backoff(spec BackoffSpec) millrace.Backoff {
	b := DefaultBackoff()
	set(&b.Initial, spec.Initial)
	set(&b.Max, spec.Max)
	set(&b.Factor, spec.Factor)
	set(&b.Jitter, spec.Jitter)
	if spec.Max == nil {
		b.Max = max(b.Max, b.Initial)
	}
	e.check(b.Initial >= 0 && b.Initial <= maxBackoff, "/backoff/initial", "must be between 0s and %s", maxBackoff)
	e.check(b.Max >= b.Initial && b.Max <= maxBackoff, "/backoff/max", "must be between the initial delay and %s", maxBackoff)
	e.check(b.Factor >= 1 && b.Factor <= 100, "/backoff/factor", "must be between 1 and 100")
	e.check(b.Jitter >= 0 && b.Jitter <= 1, "/backoff/jitter", "must be between 0 and 1")
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
