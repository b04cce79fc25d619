package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/jobspec"
	"github.com/millrace/millrace/internal/strict"
)

// Limits of a form: more is no job.
const (
	maxFormFields = 200
	maxFormFiles  = 100
)

// jobForm is a job's form while it arrives: fields as they come, files as temporary blobs. Nothing exists until the form is whole and right.
type jobForm struct {
	req   jobspec.Request
	seen  map[string]bool
	files []*received
}

func (f *jobForm) drop() {
	for _, r := range f.files {
		r.drop()
	}
}

// createJobFromForm stores the form's files and submits a job on them. When the job is refused the files go again.
func (s *Server) createJobFromForm(c echo.Context, key *requestKey, wait time.Duration) error {
	f := &jobForm{seen: make(map[string]bool)}
	defer f.drop()
	if err := s.readJobForm(c, f); err != nil {
		return brokenForm(err)
	}
	if len(f.files) > 0 && (f.req.Input != nil || f.req.Inputs != nil) {
		return millrace.InvalidField("/file", "cannot stand beside input; give one of them")
	}
	if key != nil {
		fields, err := json.Marshal(&f.req)
		if err != nil {
			return err
		}
		key.sign(c.Request(), append([][]byte{canonical(fields)}, fileParts(f.files)...)...)
		if done, err := s.replayed(c, key, wait); done {
			return err
		}
	}
	owner := tenant(c)
	spec, err := f.req.Spec(owner)
	if err != nil {
		return err
	}
	// Before the bytes are published: those of a refused job would stay until the collector finds that nobody needs them.
	probe := spec
	probe.Inputs = append(make([]millrace.Input, len(f.files)), spec.Inputs...)
	if err := s.Dispatcher.Check(c.Request().Context(), probe); err != nil {
		return err
	}
	ctx, cancel := detached(c) // what is stored is submitted or removed, also when the client leaves
	defer cancel()
	var stored []millrace.File
	undo := func() {
		for _, file := range stored {
			// ErrInUse: the job was written after all, its answer was lost. The file stays with it.
			if err := s.Ledger.DeleteFile(ctx, owner, file.ID); err != nil {
				s.Log.Debug("file of a refused job was left to expire", "request_id", requestID(c), "file", file.ID, "error", err)
			}
		}
	}
	for _, r := range f.files {
		file, err := s.publish(ctx, owner, r, nil)
		if err != nil {
			undo()
			return err
		}
		stored = append(stored, file)
		spec.Inputs = append(spec.Inputs, millrace.Input{File: file.ID})
	}
	spec.Key = s.dispatchKey(key)
	job, err := s.Dispatcher.Submit(ctx, spec)
	if err != nil {
		undo()
		return s.raced(c, key, err, wait)
	}
	return s.accepted(c, job, wait)
}

func (s *Server) readJobForm(c echo.Context, f *jobForm) error {
	form, err := s.form(c)
	if err != nil {
		return err
	}
	left, text := s.Limits.Upload, s.Limits.Body
	for fields := 0; ; fields++ {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if fields == maxFormFields {
			return millrace.Errorf(millrace.Malformed, "a form may have at most %d fields", maxFormFields)
		}
		if part.FormName() == "file" {
			err = s.readFilePart(c, f, part, &left)
		} else {
			err = f.readField(part, &text)
		}
		if err != nil {
			return err
		}
	}
}

func (s *Server) readFilePart(c echo.Context, f *jobForm, part *multipart.Part, left *int64) error {
	if len(f.files) == maxFormFiles {
		return millrace.Errorf(millrace.Malformed, "a form may have at most %d files", maxFormFiles)
	}
	r, err := s.receive(c.Request().Context(), part, part.FileName(), left)
	if err != nil {
		return err
	}
	f.files = append(f.files, r)
	return nil
}

// readField reads one small field. left is how many bytes all such fields may still have.
func (f *jobForm) readField(part *multipart.Part, left *int64) error {
	name := part.FormName()
	value, err := io.ReadAll(io.LimitReader(part, *left+1))
	if err != nil {
		return err
	}
	if *left -= int64(len(value)); *left < 0 {
		return millrace.Errorf(millrace.TooLarge, "the fields of a form are too large")
	}
	if f.seen[name] && name != "tags" {
		return badField(name, "is there twice")
	}
	f.seen[name] = true
	if !utf8.Valid(value) || bytes.IndexByte(value, 0) >= 0 {
		return badField(name, "must be UTF-8 without the character U+0000")
	}
	return f.set(name, string(value))
}

// set gives one field its value. Those that are objects in JSON are JSON here too.
func (f *jobForm) set(name, value string) error {
	r := &f.req
	switch name {
	case "type":
		r.Type = value
	case "priority":
		r.Priority = value
	case "run_at":
		r.RunAt = value
	case "delay":
		r.Delay = value
	case "timeout":
		r.Timeout = value
	case "retention":
		r.Retention = value
	case "deadline":
		r.Deadline = value
	case "params", "metadata", "input", "inputs", "backoff", "unique":
		return f.setJSON(name, value)
	case "max_attempts":
		n, err := strconv.Atoi(value)
		r.MaxAttempts = &n
		return invalidIf(err != nil, name, "must be a whole number")
	case "cache":
		b, err := strconv.ParseBool(value)
		r.Cache = &b
		return invalidIf(err != nil, name, "must be true or false")
	case "tags":
		return f.addTags(value)
	case "webhook", "on_unavailable":
		return jobspec.NotAvailable("/"+name, "the field "+name+" will")
	default:
		return badField(name, "is not a field of this request")
	}
	return nil
}

func badField(name, detail string) error {
	e := millrace.InvalidField("/"+strict.Escape(name), "%s", detail)
	e.Kind = millrace.Malformed
	return e
}

// setJSON decodes a field as if it stood in a JSON body, with the same checks.
func (f *jobForm) setJSON(name, value string) error {
	if !json.Valid([]byte(value)) {
		return millrace.InvalidField("/"+name, "must be JSON")
	}
	return strict.Object([]byte(`{"`+name+`":`+value+`}`), &f.req)
}

// addTags takes one tag, or a JSON array of them.
func (f *jobForm) addTags(value string) error {
	if !strings.HasPrefix(value, "[") {
		f.req.Tags = append(f.req.Tags, value)
		return nil
	}
	var req jobspec.Request
	if !json.Valid([]byte(value)) {
		return millrace.InvalidField("/tags", "must be a tag or a JSON array of tags")
	}
	if err := strict.Object([]byte(`{"tags":`+value+`}`), &req); err != nil {
		return err
	}
	f.req.Tags = append(f.req.Tags, req.Tags...)
	return nil
}

func invalidIf(wrong bool, name, detail string) error {
	if !wrong {
		return nil
	}
	return millrace.InvalidField("/"+name, "%s", detail)
}
