package tasks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	reflector "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/millrace/millrace"
)

// MaxParams bounds the params of one job in bytes.
const MaxParams = 64 << 10

// codec derives everything that has to do with the JSON form of P from its declaration.
type codec[P any] struct {
	defaults  P
	schema    json.RawMessage    // of what a request may say
	validator *jsonschema.Schema // of what is left of it once its preset is resolved
	examples  []json.RawMessage
}

func newCodec[P any](d Declaration[P]) codec[P] {
	s := reflectSchema(d)
	c := codec[P]{defaults: d.Defaults, validator: compileSchema(d.Name, encodeSchema(d.Name, s))}
	s.Properties.Set("preset", presetSchema())
	c.schema = encodeSchema(d.Name, s)
	for _, e := range d.Examples {
		raw, err := json.Marshal(struct {
			Title  string `json:"title"`
			Params P      `json:"params"`
		}{e.Title, e.Params})
		if err != nil {
			panic(fmt.Sprintf("tasks: example of %s: %v", d.Name, err))
		}
		c.examples = append(c.examples, raw)
	}
	return c
}

func newReflector() *reflector.Reflector {
	return &reflector.Reflector{Anonymous: true, ExpandedStruct: true, RequiredFromJSONSchemaTags: true, DoNotReference: true}
}

// reflectSchema reads the schema off P's fields; the defaults come from the declaration's value, so that they are said once.
func reflectSchema[P any](d Declaration[P]) *reflector.Schema {
	s := newReflector().Reflect(new(P))
	s.Title, s.Description = d.Title, ""
	raw, err := json.Marshal(d.Defaults)
	if err != nil {
		panic(fmt.Sprintf("tasks: defaults of %s: %v", d.Name, err))
	}
	var defaults map[string]any
	if err := json.Unmarshal(raw, &defaults); err != nil {
		panic(fmt.Sprintf("tasks: params of %s are no object: %v", d.Name, err))
	}
	for name, value := range defaults {
		if p, ok := s.Properties.Get(name); ok && value != nil {
			p.Default = value
		}
	}
	return s
}

// presetSchema is of a param that every type has, and none sees: the dispatcher puts the preset's params in its place.
func presetSchema() *reflector.Schema {
	longest := uint64(64)
	return &reflector.Schema{Type: "string", Title: "Preset", Pattern: `^[A-Za-z0-9._\-]+$`, MaxLength: &longest,
		Description: "Name of a preset of this type. Its params count where the others here say nothing."}
}

func encodeSchema(name string, s *reflector.Schema) json.RawMessage {
	out, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("tasks: schema of %s: %v", name, err))
	}
	return out
}

func compileSchema(name string, raw json.RawMessage) *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		panic(fmt.Sprintf("tasks: schema of %s: %v", name, err))
	}
	compiler := jsonschema.NewCompiler()
	url := "millrace:///" + name
	if err := compiler.AddResource(url, doc); err != nil {
		panic(fmt.Sprintf("tasks: schema of %s: %v", name, err))
	}
	s, err := compiler.Compile(url)
	if err != nil {
		panic(fmt.Sprintf("tasks: schema of %s: %v", name, err))
	}
	return s
}

func (c codec[P]) decode(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	if len(raw) > MaxParams {
		return nil, millrace.InvalidField("/params", "must be at most %d bytes, is %d", MaxParams, len(raw))
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, millrace.InvalidField("/params", "must be a JSON object")
	}
	plain := plainer{}
	doc = plain.walk(doc)
	if len(plain.fields) > 0 {
		return nil, invalidFields(plain.fields)
	}
	if err := c.validator.Validate(doc); err != nil {
		return nil, schemaError(err)
	}
	if raw, err = json.Marshal(doc); err != nil {
		return nil, fmt.Errorf("encode checked params: %w", err)
	}
	p, err := c.fill(raw)
	if err != nil {
		return nil, misfit(err)
	}
	if v, ok := any(&p).(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, err
		}
	}
	if n, ok := any(&p).(nested[P]); ok {
		n.reduce(c.defaults)
	}
	return json.Marshal(p)
}

// nested are params that hold params, which stand in for what those leave out.
type nested[P any] interface {
	// inherit fills in what the params inside left out; given is what all was decoded from.
	inherit(given json.RawMessage) error
	// reduce brings checked params into the one form that all of the same meaning have.
	reduce(defaults P)
}

// fill decodes raw over a fresh copy of the defaults: the copy goes through JSON, so that no slice or map is shared.
func (c codec[P]) fill(raw json.RawMessage) (P, error) {
	var p P
	defaults, err := json.Marshal(c.defaults)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(defaults, &p); err != nil {
		return p, err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return p, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return p, fmt.Errorf("more than one JSON value")
	}
	if n, ok := any(&p).(nested[P]); ok {
		return p, n.inherit(raw)
	}
	return p, nil
}

// pointer joins the parts of a JSON pointer under /params.
func pointer(parts ...string) string {
	var b strings.Builder
	b.WriteString("/params")
	for _, part := range parts {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(part))
	}
	return b.String()
}
