package rest

import (
	"bytes"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/auth"
	"github.com/millrace/millrace/internal/jobspec"
)

// Call is a line of the route table.
type Call struct {
	Method, Pattern string
	Scope           auth.Scope
	Later           bool
}

// Surface is the route table, for the test that walks it.
func (s *Server) Surface() []Call {
	var calls []Call
	for _, r := range s.routes() {
		calls = append(calls, Call{r.method, r.pattern, r.scope, r.later})
	}
	return calls
}

// What parses bytes from outside, for fuzzing.
var (
	DecodeCursor = decodeCursor
	EncodeCursor = encodeCursor
	Disposition  = disposition
)

// DecodeJob decodes the body of POST /v1/jobs.
func DecodeJob(body []byte) error { return jobspec.DecodeRequest(body, new(jobspec.Request)) }

// EncodeJob writes a job by hand, EncodePlainly by encoding/json.
func EncodeJob(b *bytes.Buffer, j *millrace.Job) error {
	v := viewJob(j)
	return encodeJob(b, &v)
}

func EncodePlainly(b *bytes.Buffer, j *millrace.Job) error { return encode(b, viewJob(j)) }
