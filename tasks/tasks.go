// Package tasks says what work exists: one file per task type with its name, typed params, validation and documentation.
//
// How the work is done is the business of package handlers; Bind ties the two together. From the resulting list of Types the product derives
// the JSON Schema in /v1/task-types and the OpenAPI document, strict decoding and validation, the web form, the queue and the cache key.
package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/millrace/millrace"
)

// Declaration describes a task type whose params are a P. P is a struct of JSON fields with jsonschema tags; when *P has a method
// Validate() error, it checks what a schema cannot say and answers with millrace.InvalidField (pointers start at /params).
type Declaration[P any] struct {
	Name        string // "image.resize"
	Title       string // "Resize an image"
	Description string // a sentence or two, Markdown
	Version     string // of what the handler computes: part of the cache key, raised when equal params give other bytes
	Pool        millrace.Pool
	Pure        bool // equal params and input bytes give equal results: they may come from the cache
	MinInputs   int  // 0 means 1
	MaxInputs   int  // 0 means MinInputs
	Engine      Engine
	// Refs names the files that params speak of, each once. They become inputs of the job after the client's own, so that they are the tenant's,
	// are kept while the job lives, and count for the cache key. nil: params speak of none.
	Refs     func(P) []FileRef
	Defaults P // what an absent field means
	Examples []Example[P]
}

// FileRef is a file that params speak of, and where they do.
type FileRef struct {
	File    string
	Pointer string // "/params/watermark/file"
}

// Example is a use of a task type that a reader can send as it stands.
type Example[P any] struct {
	Title  string
	Params P
}

// Handler does the work of one attempt. It reads and writes through call, stops soon after ctx ends and returns ctx's error then, and returns
// the job's result, which is encoded as JSON. A millrace.Error with a permanent code fails the job at once; any other error is tried again.
type Handler[P any] func(ctx context.Context, call *Call, params P) (any, error)

// Type is a declaration bound to its handler, with the params' type erased.
type Type struct {
	Name, Title, Description, Version string

	Pool      millrace.Pool
	Pure      bool
	MinInputs int
	MaxInputs int
	Engine    Engine
	Schema    json.RawMessage   // JSON Schema 2020-12 of the params
	Examples  []json.RawMessage // {"title", "params"}

	decode func(raw json.RawMessage) (json.RawMessage, error)
	refs   func(canonical json.RawMessage) ([]FileRef, error)
	run    func(ctx context.Context, call *Call, canonical json.RawMessage) (json.RawMessage, error)
}

// Decode checks params as a client sent them and returns their canonical form: defaults filled in, fields in the declaration's order.
// Errors are millrace.Errors of kind Invalid with a pointer for each wrong value; unknown fields are refused.
func (t Type) Decode(raw json.RawMessage) (json.RawMessage, error) { return t.decode(raw) }

// Refs names the files that canonical params speak of, each once.
func (t Type) Refs(params json.RawMessage) ([]FileRef, error) { return t.refs(params) }

// Run does the work of one attempt. params are canonical, as Decode returned them.
func (t Type) Run(ctx context.Context, call *Call, params json.RawMessage) (json.RawMessage, error) {
	return t.run(ctx, call, params)
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9]*\.[a-z][a-z0-9_]*$`)

// typed reads canonical params, which need no check any more.
func typed[P any](name string, canonical json.RawMessage) (p P, err error) {
	if err := json.Unmarshal(canonical, &p); err != nil {
		return p, fmt.Errorf("decode params of %s: %w", name, err)
	}
	return p, nil
}

// Bind ties a declaration to its handler. It panics when the declaration is wrong in itself, which a test of the list finds.
func Bind[P any](d Declaration[P], h Handler[P]) Type {
	if !namePattern.MatchString(d.Name) {
		panic(fmt.Sprintf("tasks: %q is no task type name", d.Name))
	}
	c := newCodec(d)
	minInputs := max(d.MinInputs, 1)
	return Type{
		Name: d.Name, Title: d.Title, Description: d.Description, Version: d.version(), Engine: d.Engine,
		Pool: d.Pool, Pure: d.Pure, MinInputs: minInputs, MaxInputs: max(d.MaxInputs, minInputs),
		Schema: c.schema, Examples: c.examples,
		decode: c.decode,
		refs: func(canonical json.RawMessage) ([]FileRef, error) {
			if d.Refs == nil {
				return nil, nil
			}
			p, err := typed[P](d.Name, canonical)
			if err != nil {
				return nil, err
			}
			return d.Refs(p), nil
		},
		run: func(ctx context.Context, call *Call, canonical json.RawMessage) (json.RawMessage, error) {
			p, err := typed[P](d.Name, canonical)
			if err != nil {
				return nil, err
			}
			result, err := h(ctx, call, p)
			if err != nil || result == nil {
				return nil, err
			}
			return json.Marshal(result)
		},
	}
}

// version is what the cache key holds: another engine may compute other bytes.
func (d Declaration[P]) version() string {
	if d.Engine.Name == "" {
		return d.Version
	}
	return d.Version + "+" + d.Engine.Name
}

// Engine is what does the work of a type, where that depends on the installation. The zero value is for types that have no choice.
type Engine struct {
	Name   string   // with its version, as results state it
	Reads  []string // formats of inputs
	Writes []string // formats of outputs
}

// List is every task type a process knows, by name.
type List struct {
	types  []Type
	byName map[string]Type
}

// NewList makes a List. A name bound twice is an error.
func NewList(types ...Type) (List, error) {
	l := List{types: types, byName: make(map[string]Type, len(types))}
	for _, t := range types {
		if _, ok := l.byName[t.Name]; ok {
			return List{}, fmt.Errorf("task type %s is bound twice", t.Name)
		}
		l.byName[t.Name] = t
	}
	return l, nil
}

// All returns the types in the order they were bound.
func (l List) All() []Type { return l.types }

// Get finds a type by name.
func (l List) Get(name string) (Type, bool) {
	t, ok := l.byName[name]
	return t, ok
}

// Names lists the names in the order they were bound.
func (l List) Names() []string {
	names := make([]string, 0, len(l.types))
	for _, t := range l.types {
		names = append(names, t.Name)
	}
	return names
}
