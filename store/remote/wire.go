package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// request is what a client sends, reply what it gets for it; replies come in any order.
type request struct {
	ID     uint64 `json:"id"`
	Method string `json:"method"`
	args   []byte
}

type reply struct {
	ID     uint64 `json:"id"`
	Error  string `json:"error,omitempty"` // what happened, for people
	Kind   string `json:"kind,omitempty"`  // which error of package store it is, "" for others
	result []byte
}

// pack makes the body of a frame: the head in JSON, a line feed, which JSON in one line does not have, and the JSON of the arguments or of the
// result. Inside the head it would be parsed twice on each side.
func pack[H request | reply](head H, rest []byte) ([]byte, error) {
	line, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	body := make([]byte, 0, len(line)+1+len(rest))
	body = append(append(body, line...), '\n')
	return append(body, rest...), nil
}

// unpack takes the body of a frame apart.
func unpack[H request | reply](body []byte) (head H, rest []byte, err error) {
	line, rest, _ := bytes.Cut(body, []byte{'\n'})
	err = json.Unmarshal(line, &head)
	return head, rest, err
}

// The methods, by the names they have in store.WorkerLedger.
const (
	methodRegister = "register"
	methodBeat     = "beat"
	methodClaim    = "claim"
	methodFinish   = "finish"
	methodTakeBlob = "take_blob"
	methodLeave    = "leave"
)

type claimArgs struct {
	Worker     string           `json:"worker"`
	Deliveries []store.Delivery `json:"deliveries"`
}

// claimed is store.Claimed with its raw JSON as bytes: inside JSON an absent raw message would come back as the word null.
type claimed struct {
	Job     *job
	Inputs  []millrace.File
	Started time.Time
}

type job struct {
	*millrace.Job
	Params, Metadata, Result []byte
}

type outcome struct {
	store.Outcome
	Result []byte
}

type blobArgs struct {
	Tenant string `json:"tenant"`
	SHA256 string `json:"sha256"`
}

type blobReply struct {
	Key string `json:"key"`
	OK  bool   `json:"ok"`
}

type workerArgs struct {
	Worker string `json:"worker"`
}

type nothing struct{}

func packClaimed(in []store.Claimed) []claimed {
	out := make([]claimed, len(in))
	for i, c := range in {
		out[i] = claimed{Inputs: c.Inputs, Started: c.Started}
		if c.Job != nil {
			out[i].Job = &job{Job: c.Job, Params: c.Job.Params, Metadata: c.Job.Metadata, Result: c.Job.Result}
		}
	}
	return out
}

func unpackClaimed(in []claimed) []store.Claimed {
	out := make([]store.Claimed, len(in))
	for i, c := range in {
		out[i] = store.Claimed{Inputs: c.Inputs, Started: c.Started}
		if c.Job != nil && c.Job.Job != nil {
			out[i].Job = c.Job.Job
			out[i].Job.Params, out[i].Job.Metadata, out[i].Job.Result = c.Job.Params, c.Job.Metadata, c.Job.Result
		}
	}
	return out
}

func packOutcomes(in []store.Outcome) []outcome {
	out := make([]outcome, len(in))
	for i, o := range in {
		out[i] = outcome{Outcome: o, Result: o.Result}
	}
	return out
}

func unpackOutcomes(in []outcome) []store.Outcome {
	out := make([]store.Outcome, len(in))
	for i, o := range in {
		out[i] = o.Outcome
		out[i].Result = o.Result
	}
	return out
}

// kinds are the errors that callers test for, by their names on the wire.
func kinds() map[string]error {
	return map[string]error{
		"not_found":        store.ErrNotFound,
		"state":            store.ErrState,
		"in_use":           store.ErrInUse,
		"input_missing":    store.ErrInputMissing,
		"stale_result":     store.ErrStaleResult,
		"buried":           store.ErrBuried,
		"full":             store.ErrFull,
		"other_blob_store": store.ErrOtherBlobStore,
		"newer_schema":     store.ErrNewerSchema,
		"too_large":        ErrTooLarge,
		"deadline":         context.DeadlineExceeded,
	}
}

func kindOf(err error) string {
	for name, kind := range kinds() {
		if errors.Is(err, kind) {
			return name
		}
	}
	return ""
}

// remoteError is an error of the other side: its words, and the error of package store that it was.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }

func (e *remoteError) Unwrap() error { return e.kind }
