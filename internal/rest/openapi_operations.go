package rest

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/millrace/millrace/tasks"
)

// operation is what the route table does not say about a route.
type operation struct {
	summary, description string
	body                 object         // by media type
	bodyOptional         bool           // it may be missing
	keyed                bool           // it takes an idempotency key
	matched              []string       // the headers it takes that say what it expects to find
	ok                   map[int]object // answers that are no problem
	problems             []int          // beside those that follow from the route
}

// answers lists every status with what it carries.
func (op operation) answers(r route) object {
	out := object{}
	for status, answer := range op.ok {
		out[strconv.Itoa(status)] = answer
		if op.keyed {
			replayable(answer)
		}
	}
	problems := append([]int{http.StatusForbidden}, op.problems...) // 403: foreign Host or Origin, missing scope
	if r.scope != open {
		problems = append(problems, http.StatusUnauthorized)
	}
	for _, status := range problems {
		out[strconv.Itoa(status)] = object{
			"description": http.StatusText(status),
			"content":     object{"application/problem+json": object{"schema": ref("Problem")}},
		}
	}
	return out
}

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

// answer is a JSON answer of a schema.
func answer(description, schema string) object {
	return object{"description": description, "content": jsonOf(schema)}
}

func jsonOf(schema string) object { return object{"application/json": object{"schema": ref(schema)}} }

func located(a object) object {
	a["headers"] = object{"Location": object{"description": "Path of what was made.", "schema": object{"type": "string"}}}
	return a
}

// replayable says that an answer may be that of an earlier request.
func replayable(a object) {
	headers, ok := a["headers"].(object)
	if !ok {
		headers = object{}
		a["headers"] = headers
	}
	headers[replayedHeader] = object{"description": "true where an earlier request under the same key was answered so.", "schema": object{"const": "true"}}
}

func empty(description string) object { return object{"description": description} }

func bytesOf(description string) object {
	return object{"description": description, "content": object{"*/*": object{}}, "headers": object{
		"ETag":                object{"description": "The SHA-256, strong.", "schema": object{"type": "string"}},
		"Accept-Ranges":       object{"schema": object{"const": "bytes"}},
		"Content-Disposition": object{"description": "attachment, with the file's name.", "schema": object{"type": "string"}},
	}}
}

func laterOperation() operation {
	return operation{summary: "Comes with a later release", problems: []int{422}}
}

// operations describes each route of this release by "METHOD /pattern".
func operations(list tasks.List) map[string]operation {
	all := make(map[string]operation)
	for _, group := range []map[string]operation{fileOperations(), jobOperations(list), scheduleOperations(), presetOperations(), queueOperations(), otherOperations()} {
		for key, op := range group {
			all[key] = op
		}
	}
	return all
}

func fileOperations() map[string]operation {
	content := map[int]object{
		200: bytesOf("The bytes."), 206: bytesOf("The bytes asked for by Range."), 304: empty("The client has them: If-None-Match, If-Modified-Since."),
		412: empty("If-Match or If-Unmodified-Since does not hold."),
	}
	return map[string]operation{
		"POST /v1/files": {summary: "Upload a file",
			description: "The bytes as the body, streamed, or a form with the field file. The content type is told from the bytes.",
			body: object{
				"application/octet-stream": object{"schema": object{}},
				"multipart/form-data": object{"schema": object{"type": "object", "required": []string{"file"},
					"properties": object{"file": object{"contentMediaType": "application/octet-stream"}}}},
			},
			ok: map[int]object{201: located(answer("The file.", "File"))}, problems: []int{400, 413, 415, 422, 503}, keyed: true},
		"GET /v1/files":             {summary: "List files, newest first", ok: map[int]object{200: answer("A page.", "FileList")}, problems: []int{400, 503}},
		"GET /v1/files/:id":         {summary: "Read a file's description", ok: map[int]object{200: answer("The file.", "File")}, problems: []int{404, 503}},
		"GET /v1/files/:id/content": {summary: "Download a file", ok: content, problems: []int{404, 416, 503}},
		"DELETE /v1/files/:id": {summary: "Delete a file", description: "409 while a job that is not final needs it.",
			ok: map[int]object{204: empty("Deleted.")}, problems: []int{404, 409, 503}},
		"GET /v1/jobs/:id/output":        {summary: "Download a job's only or first output", ok: content, problems: []int{404, 416, 503}},
		"GET /v1/jobs/:id/outputs/:name": {summary: "Download one of a job's outputs", ok: content, problems: []int{404, 416, 503}},
	}
}

func jobOperations(list tasks.List) map[string]operation {
	return map[string]operation{
		"POST /v1/jobs": {summary: "Submit a job",
			description: "The job is durable when this answers. As a form: the same fields, those that are objects as JSON, and file (repeatable) for the inputs.",
			body: object{
				"application/json":    object{"schema": ref("JobRequest"), "examples": examplesOf(list)},
				"multipart/form-data": object{"schema": ref("JobForm")},
			},
			ok: map[int]object{
				200: located(answer("The job, final already: from the result cache, or within ?wait=.", "Job")),
				202: located(answer("The job, accepted.", "Job")),
			}, problems: []int{400, 409, 413, 415, 422, 429, 503}, keyed: true},
		"POST /v1/jobs/batch": {summary: "Submit many jobs",
			description: "At most 10,000 jobs and 16 MiB, one a line or as an array. All that can be accepted are durable together when this answers; " +
				"each of the others is refused for itself.",
			body: object{
				"application/x-ndjson": object{"schema": object{"type": "string", "description": "A JobRequest a line."}},
				"application/json":     object{"schema": object{"type": "array", "minItems": 1, "maxItems": maxBatchJobs, "items": ref("JobRequest")}},
			},
			ok: map[int]object{202: answer("What became of each job.", "BatchAnswer")}, problems: []int{400, 413, 415, 422, 429, 503}, keyed: true},
		"GET /v1/jobs":     {summary: "List jobs, newest first", ok: map[int]object{200: answer("A page.", "JobList")}, problems: []int{400, 503}},
		"GET /v1/jobs/:id": {summary: "Read a job, or wait for its end", ok: map[int]object{200: answer("The job.", "Job")}, problems: []int{400, 404, 503}},
		"GET /v1/jobs/:id/events": {summary: "Watch a job",
			description: "Server-sent events: state (a Job, at once and at each change), progress (its progress), done (the Job; the stream ends). " +
				"A stream that resumes with Last-Event-ID begins with the present state; 204 when the client has seen done.",
			ok: map[int]object{200: {"description": "The stream.", "content": object{"text/event-stream": object{"schema": object{"type": "string"}}}},
				204: empty("Nothing more will come.")},
			problems: []int{404, 503}},
		"POST /v1/jobs/:id/cancel": {summary: "Cancel a job", description: "409 when it is final.",
			ok: map[int]object{200: answer("The job; a running one ends a little later.", "Job")}, problems: []int{400, 404, 409, 413, 415, 422, 503}},
		"POST /v1/jobs/:id/retry": {summary: "Run a failed or canceled job again",
			description: "409 in any other state, and where another job has its unique key now.",
			ok:          map[int]object{200: answer("The job in its next run.", "Job")}, problems: []int{400, 404, 409, 413, 415, 422, 503}, keyed: true},
		"DELETE /v1/jobs/:id": {summary: "Delete a final job with its outputs", description: "409 when it is not final.",
			ok: map[int]object{204: empty("Deleted.")}, problems: []int{404, 409, 503}},
	}
}

func scheduleOperations() map[string]operation {
	return map[string]operation{
		"GET /v1/schedules":       {summary: "List schedules by name", ok: map[int]object{200: answer("A page.", "ScheduleList")}, problems: []int{400, 503}},
		"GET /v1/schedules/:name": {summary: "Read a schedule", ok: map[int]object{200: answer("The schedule.", "Schedule")}, problems: []int{404, 503}},
		"PUT /v1/schedules/:name": {summary: "Create or replace a schedule",
			description: "Its job is checked now; an input file must still be there when a run needs it. What was missed while nobody could run it follows catch_up.",
			body:        jsonOf("ScheduleRequest"),
			ok:          map[int]object{200: answer("The schedule, replaced.", "Schedule"), 201: located(answer("The schedule, created.", "Schedule"))},
			problems:    []int{400, 413, 415, 422, 503}},
		"DELETE /v1/schedules/:name": {summary: "Delete a schedule", description: "Its jobs stay.",
			ok: map[int]object{204: empty("Deleted.")}, problems: []int{404, 503}},
	}
}

func presetOperations() map[string]operation {
	tagged := func(a object) object {
		headers, ok := a["headers"].(object)
		if !ok {
			headers = object{}
			a["headers"] = headers
		}
		headers["ETag"] = object{"description": "Of this version, for If-Match.", "schema": object{"type": "string"}}
		return a
	}
	return map[string]operation{
		"GET /v1/presets":       {summary: "List presets by name", ok: map[int]object{200: answer("A page.", "PresetList")}, problems: []int{400, 503}},
		"GET /v1/presets/:name": {summary: "Read a preset", ok: map[int]object{200: tagged(answer("The preset.", "Preset"))}, problems: []int{404, 503}},
		"PUT /v1/presets/:name": {summary: "Create or replace a preset",
			description: "Its params are checked now. All processes take it from then on; jobs that are there already keep what they took. " +
				"One that is put again as it is keeps its version.",
			body: jsonOf("PresetRequest"), matched: []string{"ifMatch", "ifNoneMatch"},
			ok:       map[int]object{200: tagged(answer("The preset, replaced.", "Preset")), 201: tagged(located(answer("The preset, created.", "Preset")))},
			problems: []int{400, 412, 413, 415, 422, 429, 503}},
		"DELETE /v1/presets/:name": {summary: "Delete a preset", description: "Jobs keep what they took; schedules that name it have their runs refused.",
			matched: []string{"ifMatch"}, ok: map[int]object{204: empty("Deleted.")}, problems: []int{400, 404, 412, 503}},
	}
}

func queueOperations() map[string]operation {
	return map[string]operation{
		"GET /v1/queues": {summary: "Look at the queues", description: "A few seconds old at most; see as_of.",
			ok: map[int]object{200: answer("Every queue.", "QueueList")}, problems: []int{503}},
		"POST /v1/queues/:name/pause": {summary: "Pause a queue", description: "Its jobs are accepted and wait; those that run go on. Repeating it changes nothing.",
			ok: map[int]object{200: answer("The queue.", "Queue")}, problems: []int{400, 404, 413, 415, 503}},
		"POST /v1/queues/:name/resume": {summary: "Resume a queue", description: "Repeating it changes nothing.",
			ok: map[int]object{200: answer("The queue.", "Queue")}, problems: []int{400, 404, 413, 415, 503}},
	}
}

func otherOperations() map[string]operation {
	text := object{"description": "In Prometheus' text format.", "content": object{"text/plain": object{"schema": object{"type": "string"}}}}
	return map[string]operation{
		"GET /v1/task-types":       {summary: "List task types", ok: map[int]object{200: answer("All of them.", "TaskTypeList")}},
		"GET /v1/task-types/:type": {summary: "Read a task type", ok: map[int]object{200: answer("The type.", "TaskType")}, problems: []int{404}},
		"GET /v1/workers":          {summary: "Look at the live processes", ok: map[int]object{200: answer("Every process.", "WorkerList")}, problems: []int{503}},
		"POST /v1/backup": {summary: "Back up an embedded server", description: "Everything it has, as one tar stream for millrace restore. The server goes on working; only the collecting of bytes rests.",
			ok:       map[int]object{200: object{"description": "The stream. One that was cut lacks its last entry.", "content": object{"application/x-tar": object{}}}},
			problems: []int{400, 409, 413, 415, 422, 503}},
		"GET /v1/session": {summary: "Find out who you are", ok: map[int]object{200: answer("The caller.", "Session")}, problems: []int{401}},
		"POST /v1/session": {summary: "Sign a browser in", description: "With the key in the body or in the Authorization header. Sets a cookie that lasts 12 h.",
			body: jsonOf("SessionRequest"), bodyOptional: true, ok: map[int]object{200: answer("The caller.", "Session")}, problems: []int{400, 401, 415, 422}},
		"DELETE /v1/session": {summary: "Sign a browser out", ok: map[int]object{204: empty("Signed out.")}},
		"GET /livez":         {summary: "Is the process alive?", ok: map[int]object{200: answer("It is.", "Live")}},
		"GET /readyz": {summary: "Can it take work?", ok: map[int]object{
			200: answer("It can; degraded names what is failing.", "Ready"), 503: answer("It cannot.", "Ready")}},
		"GET /metrics":      {summary: "Read the metrics", ok: map[int]object{200: text}},
		"GET /openapi.json": {summary: "Read this document", ok: map[int]object{200: {"description": "OpenAPI 3.1.", "content": object{"application/json": object{"schema": object{"type": "object"}}}}}},
	}
}

// examplesOf makes a request of each example of each task type.
func examplesOf(list tasks.List) object {
	examples := object{}
	for _, t := range list.All() {
		for i, raw := range t.Examples {
			var e struct {
				Title  string          `json:"title"`
				Params json.RawMessage `json:"params"`
			}
			if json.Unmarshal(raw, &e) != nil {
				continue
			}
			examples[t.Name+"."+strconv.Itoa(i+1)] = object{"summary": e.Title, "value": object{
				"type": t.Name, "input": object{"file": "0198c0de-0000-7000-8000-000000000000"}, "params": e.Params}}
		}
	}
	return examples
}
