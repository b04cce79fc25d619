package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
)

// decode reads the request's JSON object into v: nothing but application/json, no larger and no deeper than the limits, no unknown field.
func decode[T any](s *Server, c echo.Context, v *T) error {
	if mediaType(c.Request()) != "application/json" {
		return millrace.Errorf(millrace.Unsupported, "this call takes Content-Type: application/json")
	}
	b := s.buffer()
	defer s.recycle(b) // what v keeps was copied out by the decoder
	if err := s.readBody(c, b); err != nil {
		return err
	}
	return decodeObject(b.Bytes(), v)
}

// readBody reads a small body whole.
func (s *Server) readBody(c echo.Context, b *bytes.Buffer) error {
	r := c.Request()
	limit := s.Limits.Body
	if r.ContentLength > limit {
		return bodyTooLarge(limit)
	}
	body := s.progress(c, r.Body)
	n, err := b.ReadFrom(io.LimitReader(body, limit+1))
	if n > limit {
		return bodyTooLarge(limit)
	}
	return brokenBody(err)
}

func bodyTooLarge(limit int64) error {
	return millrace.Errorf(millrace.TooLarge, "a JSON body may have at most %d bytes", limit)
}

// decodeObject decodes one JSON object strictly.
func decodeObject[T any](doc []byte, v *T) error {
	if !utf8.Valid(doc) {
		return millrace.Errorf(millrace.Malformed, "the body is not UTF-8")
	}
	if err := scan(doc); err != nil {
		return err
	}
	trimmed := bytes.TrimLeft(doc, " \t\r\n")
	if len(trimmed) == 0 {
		return millrace.Errorf(millrace.Malformed, "the body is empty; it must be a JSON object")
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return decodeError(err, doc, v)
	}
	if trimmed[0] != '{' { // null decodes into anything
		return millrace.Errorf(millrace.Malformed, "the body must be a JSON object")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return millrace.Errorf(millrace.Malformed, "something follows the JSON object, at byte %d", dec.InputOffset())
	}
	return nil
}

func decodeError[T any](err error, doc []byte, v *T) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return millrace.Errorf(millrace.Malformed, "the body must be a JSON object, not %s", article(wrong.Value))
		}
		return millrace.InvalidField("/"+strings.ReplaceAll(wrong.Field, ".", "/"), "must be %s, not %s", kindName(wrong), article(wrong.Value))
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return millrace.Wrap(millrace.Malformed, err, "the body is no valid JSON: %s, at byte %d", syntax.Error(), syntax.Offset)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return millrace.Wrap(millrace.Malformed, err, "the body is no valid JSON: it ends in the middle")
	}
	if pointer, ok := unknownField(doc, v); ok {
		e := millrace.InvalidField(pointer, "is not a field of this request")
		e.Kind = millrace.Malformed
		return e
	}
	return millrace.Wrap(millrace.Malformed, err, "the body is no valid JSON")
}

// kindName says what a field should have been, in JSON's words.
func kindName(e *json.UnmarshalTypeError) string {
	switch name := e.Type.Kind().String(); {
	case strings.HasPrefix(name, "int"), strings.HasPrefix(name, "uint"):
		return "a whole number"
	case strings.HasPrefix(name, "float"):
		return "a number"
	case name == "bool":
		return "true or false"
	case name == "slice":
		return "an array"
	case name == "struct", name == "map":
		return "an object"
	default:
		return article(name)
	}
}

func article(noun string) string {
	switch {
	case noun == "bool":
		return "true or false"
	case noun != "" && strings.ContainsRune("aeiou", rune(noun[0])):
		return "an " + noun
	}
	return "a " + noun
}

// unknownField finds where the field is that the decoder did not know: its error has the name only. Only a refused request pays for this.
func unknownField(doc []byte, v any) (string, bool) {
	var sent any
	if json.Unmarshal(doc, &sent) != nil {
		return "", false
	}
	return strayIn(sent, shapeOf(v), "")
}

// shape is what fields a request knows: nil for a value whose inside is not ours to check.
type shape map[string]shape

// shaped lets a request say which fields its objects have.
type shaped interface{ shape() shape }

func shapeOf(v any) shape {
	if s, ok := v.(shaped); ok {
		return s.shape()
	}
	return nil
}

func strayIn(sent any, known shape, at string) (string, bool) {
	if known == nil {
		return "", false
	}
	switch sent := sent.(type) {
	case map[string]any:
		for name, inside := range sent {
			next := at + "/" + escapePointer(name)
			sub, ok := lookup(known, name)
			if !ok {
				return next, true
			}
			if found, ok := strayIn(inside, sub, next); ok {
				return found, true
			}
		}
	case []any:
		for i, inside := range sent {
			if found, ok := strayIn(inside, known, fmt.Sprintf("%s/%d", at, i)); ok {
				return found, true
			}
		}
	}
	return "", false
}

// lookup finds a field as encoding/json does: its exact name, else one that differs in case only.
func lookup(known shape, name string) (shape, bool) {
	if sub, ok := known[name]; ok {
		return sub, true
	}
	for k, sub := range known {
		if strings.EqualFold(k, name) {
			return sub, true
		}
	}
	return nil, false
}

func escapePointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// mediaType is the request's content type without parameters, "" when it is missing or wrong. A charset other than UTF-8 is wrong.
func mediaType(r *http.Request) string {
	header := r.Header.Get("Content-Type")
	if header == "application/json" {
		return header
	}
	t, params, err := mime.ParseMediaType(header)
	if err != nil || t == "application/json" && params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return ""
	}
	return t
}

// noBody makes sure that a call without parameters was given none, whatever the client wraps them in.
func (s *Server) noBody(c echo.Context) error {
	if c.Request().ContentLength == 0 {
		return nil
	}
	b := s.buffer()
	defer s.recycle(b)
	if err := s.readBody(c, b); err != nil {
		return err
	}
	if len(bytes.TrimSpace(b.Bytes())) == 0 {
		return nil
	}
	if mediaType(c.Request()) != "application/json" {
		return millrace.Errorf(millrace.Unsupported, "this call takes no body, or an empty JSON object")
	}
	return decodeObject(b.Bytes(), new(nothing))
}

// nothing is the request of a call without parameters.
type nothing struct{}

func (*nothing) shape() shape { return shape{} }
