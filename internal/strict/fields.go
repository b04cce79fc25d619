package strict

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace"
)

// Fields gathers every wrong value of a request, so that a caller can mend them all at once, and reads values that JSON carries as text.
type Fields []millrace.FieldError

// Check notes what is wrong at pointer unless ok.
func (f *Fields) Check(ok bool, pointer, format string, args ...any) {
	if !ok {
		*f = append(*f, millrace.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
}

// Err is an Invalid error with everything that was noted, nil when that is nothing.
func (f *Fields) Err() error {
	if len(*f) == 0 {
		return nil
	}
	first := (*f)[0]
	return &millrace.Error{Kind: millrace.Invalid, Detail: first.Pointer + " " + first.Detail, Fields: *f}
}

// Duration reads a Go duration, 0 when there is none.
func (f *Fields) Duration(pointer, text string) time.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	f.Check(err == nil, pointer, "must be a duration such as 90s or 1h30m")
	return d
}

// Positive is a duration that means the default when it is absent, so that zero cannot be asked for.
func (f *Fields) Positive(pointer, text string) time.Duration {
	before := len(*f)
	d := f.Duration(pointer, text)
	f.Check(text == "" || d > 0 || len(*f) > before, pointer, "must be more than 0s")
	return d
}

// Time reads an RFC 3339 time, zero when there is none.
func (f *Fields) Time(pointer, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	f.Check(err == nil, pointer, "must be a time such as 2026-01-31T12:00:00Z")
	return t
}

// Under moves an error's pointers below another one: what is wrong in an object is told in the request that holds it.
func Under(pointer string, err error) error {
	e, ok := errors.AsType[*millrace.Error](err)
	if !ok || len(e.Fields) == 0 {
		return err
	}
	moved := *e
	moved.Fields = slices.Clone(e.Fields)
	for i := range moved.Fields {
		moved.Fields[i].Pointer = pointer + moved.Fields[i].Pointer
	}
	moved.Detail = moved.Fields[0].Pointer + " " + moved.Fields[0].Detail
	return &moved
}
