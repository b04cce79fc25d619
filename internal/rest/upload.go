package rest

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
)

// createFile takes an upload: the bytes themselves as the body, or a form with one file.
func (s *Server) createFile(c echo.Context) error {
	r := c.Request()
	if r.ContentLength > s.Limits.Upload {
		return s.uploadTooLarge()
	}
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	var got *received
	switch t := mediaType(r); {
	case t == "multipart/form-data":
		got, err = s.receiveForm(c)
	case sendable(t, r.Header.Get("Content-Type")):
		left := s.Limits.Upload
		got, err = s.receive(r.Context(), s.progress(c, r.Body), rawName(c), &left)
	default:
		err = millrace.Errorf(millrace.Unsupported,
			"send the bytes as Content-Type: application/octet-stream, or as multipart/form-data with the field file")
	}
	if err != nil {
		return err
	}
	defer got.drop()
	if key != nil {
		key.sign(r, fileParts([]*received{got})...)
		if done, err := s.replayed(c, key, 0); done {
			return err
		}
	}
	ctx, cancel := detached(c)
	defer cancel()
	f, err := s.publish(ctx, tenant(c), got, key)
	if err != nil {
		return s.raced(c, key, err, 0)
	}
	c.Response().Header().Set("Location", fileURL(f.ID))
	return respond(s, c, http.StatusCreated, viewFile(f))
}

// sendable says whether a body of this media type is plain bytes. The types that a form of any web page can send without asking are not; none
// given means application/octet-stream (RFC 9110 section 8.3), and then it is CrossOriginProtection that keeps pages out.
func sendable(mediaType, header string) bool {
	switch mediaType {
	case "text/plain", "application/x-www-form-urlencoded", "multipart/form-data":
		return false
	case "":
		return header == ""
	}
	return strings.Contains(mediaType, "/") // net/mime lets a single word pass
}

// rawName is what the client calls a file that it sends as the body.
func rawName(c echo.Context) string {
	if name := c.QueryParam("name"); name != "" {
		return name
	}
	_, params, err := mime.ParseMediaType(c.Request().Header.Get("Content-Disposition"))
	if err != nil {
		return ""
	}
	return params["filename"]
}

// receiveForm takes the one file of a form. The form is read to its end first, so that a truncated one leaves nothing.
func (s *Server) receiveForm(c echo.Context) (*received, error) {
	form, err := s.form(c)
	if err != nil {
		return nil, err
	}
	left := s.Limits.Upload
	var got *received
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && (part.FormName() != "file" || got != nil) {
			err = badField(part.FormName(), "does not belong here: this form takes the field file, once")
		}
		if err == nil {
			var next *received
			if next, err = s.receive(c.Request().Context(), part, partName(c, part), &left); err == nil {
				got = next
				continue
			}
		}
		if got != nil {
			got.drop()
		}
		return nil, brokenForm(err)
	}
	if got == nil {
		return nil, badField("file", "is missing")
	}
	return got, nil
}

func partName(c echo.Context, part *multipart.Part) string {
	if name := c.QueryParam("name"); name != "" {
		return name
	}
	return part.FileName()
}

// formOverhead is what a form may have around its files: boundaries, headers and small fields.
const formOverhead = 4 << 20

// form reads the request's body as a form, part by part as it arrives.
func (s *Server) form(c echo.Context) (*formReader, error) {
	r := c.Request()
	if r.ContentLength > s.Limits.Upload {
		return nil, s.uploadTooLarge()
	}
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, millrace.Errorf(millrace.Malformed, "the Content-Type of a form needs a boundary")
	}
	body := io.LimitReader(s.progress(c, r.Body), s.Limits.Upload+formOverhead)
	return &formReader{multipart.NewReader(body, params["boundary"]), body}, nil
}

// formReader reads a form and, after its last part, the body to its end: only then does the server notice that a waiting client leaves.
type formReader struct {
	parts *multipart.Reader
	body  io.Reader
}

// NextPart answers io.EOF after the last part.
func (f *formReader) NextPart() (*multipart.Part, error) {
	part, err := f.parts.NextPart()
	if err == io.EOF {
		if _, rest := io.Copy(io.Discard, f.body); rest != nil {
			return nil, rest
		}
	}
	return part, err
}

// brokenForm says why a form could not be read to its end; refusals of ours pass.
func brokenForm(err error) error {
	if e := classify(err); e.Kind != millrace.Internal {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errStalled) {
		return brokenBody(err)
	}
	return millrace.Wrap(millrace.Malformed, err, "the form is not well-formed; nothing was kept")
}
