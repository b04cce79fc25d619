// Package strict decodes JSON from strangers: one object, every field known, nothing nested too deep, nothing that a database cannot keep. Each
// refusal is a millrace.Error that points at what is wrong.
//
// It knows nothing of HTTP and nothing of what the objects mean.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// Shape is what fields an object knows: nil for a value whose inside is not ours to check.
type Shape map[string]Shape

// Shaped lets a request say which fields its objects have, so that an unknown one is named with its place.
type Shaped interface{ Shape() Shape }

// Object decodes one JSON object into v.
func Object[T any](doc []byte, v *T) error {
	if !utf8.Valid(doc) {
		return millrace.Errorf(millrace.Malformed, "the body is not UTF-8")
	}
	if err := Scan(doc); err != nil {
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
	shaped, ok := v.(Shaped)
	var sent any
	if !ok || json.Unmarshal(doc, &sent) != nil {
		return "", false
	}
	return strayIn(sent, shaped.Shape(), "")
}

func strayIn(sent any, known Shape, at string) (string, bool) {
	if known == nil {
		return "", false
	}
	switch sent := sent.(type) {
	case map[string]any:
		for name, inside := range sent {
			next := at + "/" + Escape(name)
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
func lookup(known Shape, name string) (Shape, bool) {
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

// Escape writes a member's name as a part of a JSON pointer (RFC 6901).
func Escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
