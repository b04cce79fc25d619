// Package jobspec reads a job as the API's JSON has it: for requests, and for the jobs that schedules keep.
//
// What it checks is the form; whether the values make a job is the dispatcher's to say. It knows nothing of HTTP and writes nothing.
package jobspec

import (
	"encoding/json"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/strict"
)

// Decode reads a job from JSON: Dispatcher.Submit and Dispatcher.Prepare take what comes out. A refusal is a millrace.Error with pointers.
//
// It is what a scheduler calls with Schedule.Job, which a request brought and PUT /v1/schedules/{name} checked with DecodeRecurring: then it fails
// only when this release knows less than the one that took the schedule.
func Decode(raw []byte, tenant string) (dispatch.Spec, error) {
	var r Request
	if err := DecodeRequest(raw, &r); err != nil {
		return dispatch.Spec{}, err
	}
	return r.Spec(tenant)
}

// DecodeRecurring is Decode for a job that is to be submitted again and again: it names no time of its own.
func DecodeRecurring(raw []byte, tenant string) (dispatch.Spec, error) {
	var r Request
	if err := DecodeRequest(raw, &r); err != nil {
		return dispatch.Spec{}, err
	}
	var e strict.Fields
	for _, f := range []struct{ pointer, text string }{{"/run_at", r.RunAt}, {"/delay", r.Delay}, {"/deadline", r.Deadline}} {
		e.Check(f.text == "", f.pointer, "cannot stand in a schedule, which says when the job runs")
	}
	if err := e.Err(); err != nil {
		return dispatch.Spec{}, err
	}
	return r.Spec(tenant)
}

// DecodeRequest reads the JSON of a job strictly, without looking at its values.
func DecodeRequest(raw []byte, r *Request) error {
	if r.plain(raw) {
		return nil
	}
	*r = Request{}
	return strict.Object(raw, r)
}

// NotAvailable is the refusal of what the contract describes and this release does not have: silently ignoring it would break a promise.
func NotAvailable(pointer, what string) error {
	return &millrace.Error{Kind: millrace.Invalid, Code: millrace.CodeNotAvailable,
		Detail: what + " come with a later release",
		Fields: []millrace.FieldError{{Pointer: pointer, Detail: "is not available in this release"}}}
}

// present is nil for a value that is absent or null.
func present(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" { // a decoder keeps no space around a value
		return nil
	}
	return raw
}
