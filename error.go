package millrace

import (
	"errors"
	"fmt"
)

// Kind says what a caller can do about an error; internal/rest maps each to one HTTP status.
type Kind int

// The kinds of errors. The zero Kind is Internal: an error that nobody classified.
const (
	Internal        Kind = iota
	Malformed            // 400: not readable as a request at all
	Unauthenticated      // 401
	Forbidden            // 403
	NotFound             // 404: absent, or another tenant's
	Conflict             // 409
	TooLarge             // 413
	Unsupported          // 415
	BadRange             // 416
	Invalid              // 422: readable, but the values are wrong
	Limited              // 429
	Unavailable          // 503: a store is down or a bound is reached
	Changed              // 412: it is no longer as the caller believes
)

// Code names a failure for programs. Codes of jobs and of refused requests are the same set.
type Code string

// The codes that a job can fail with or a request be refused with.
const (
	CodeUnsupportedFormat Code = "unsupported_format"
	CodeCorrupt           Code = "corrupt"
	CodeTooLarge          Code = "too_large"
	CodeTooManyFrames     Code = "too_many_frames"
	CodeInvalidInput      Code = "invalid_input"
	CodePoisoned          Code = "poisoned"
	CodeTimeout           Code = "timeout"
	CodeUnavailable       Code = "unavailable"
	CodeInputFailed       Code = "input_failed"
	CodeCanceled          Code = "canceled"
	CodeInternal          Code = "internal"
	CodeNotAvailable      Code = "not_available" // described by the contract, not in this release
)

// Permanent says whether the code is the input's own fault, so that trying again cannot help.
func (c Code) Permanent() bool {
	switch c {
	case CodeUnsupportedFormat, CodeCorrupt, CodeTooLarge, CodeTooManyFrames, CodeInvalidInput, CodePoisoned, CodeNotAvailable:
		return true
	}
	return false
}

// Error is an error that has been classified once, near its source. Detail is safe to show to the caller; Err is for logs.
type Error struct {
	Kind       Kind
	Code       Code // optional
	Detail     string
	Fields     []FieldError
	RetryAfter int // seconds, for Limited and Unavailable; 0: the default
	Err        error
}

// FieldError points at one wrong value of a request by JSON pointer (RFC 6901).
type FieldError struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Detail + ": " + e.Err.Error()
	}
	return e.Detail
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a kind. The text is the detail, so it must be safe to show: give a driver's error to Wrap instead.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// Wrap classifies err. The text is the detail that callers see; err stays in the logs.
func Wrap(kind Kind, err error, format string, args ...any) *Error {
	return &Error{Kind: kind, Detail: fmt.Sprintf(format, args...), Err: err}
}

// BadInput is the error of a handler whose input can never succeed: the job fails at once with code, no retry.
func BadInput(code Code, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// InvalidField is the error for one wrong value in a request.
func InvalidField(pointer, format string, args ...any) *Error {
	detail := fmt.Sprintf(format, args...)
	return &Error{Kind: Invalid, Detail: pointer + " " + detail, Fields: []FieldError{{Pointer: pointer, Detail: detail}}}
}

// KindOf is the Kind of the first Error in err's chain, Internal when there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
