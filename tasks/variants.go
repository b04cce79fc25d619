package tasks

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	reflector "github.com/invopop/jsonschema"
)

// Variant is one of several outputs of image.resize. Its params are whole: what a client left out is as beside the list. It has no variants.
type Variant struct {
	Name string `json:"name" jsonschema:"required,title=Name,maxLength=64,pattern=^[A-Za-z0-9._-]+$" jsonschema_description:"The output's name: a plain file name that no other variant has."`
	ResizeParams
}

// JSONSchema describes a variant: a name, and what image.resize takes but variants.
func (Variant) JSONSchema() *reflector.Schema {
	type variant Variant // without this method
	r := newReflector()
	r.Mapper = func(t reflect.Type) *reflector.Schema {
		if t == reflect.TypeFor[Variant]() {
			return &reflector.Schema{}
		}
		return nil
	}
	s := r.Reflect(new(variant))
	s.Version = ""
	s.Properties.Delete("variants")
	return s
}

// watermarks are the files that params lay on pictures.
func watermarks(p ResizeParams) []FileRef {
	var refs []FileRef
	add := func(w *Watermark, at string) {
		if w != nil && !slices.ContainsFunc(refs, func(r FileRef) bool { return r.File == w.File }) {
			refs = append(refs, FileRef{File: w.File, Pointer: at + "/watermark/file"})
		}
	}
	add(p.Watermark, pointer())
	for i, v := range p.Variants {
		add(v.Watermark, pointer("variants", strconv.Itoa(i)))
	}
	return refs
}

// reduce sets the params beside variants, which have done their work, back to the defaults: equal outputs have equal params then, however they
// were written down, and params that are sent again as they were returned mean the same.
func (p *ResizeParams) reduce(defaults ResizeParams) {
	if variants := p.Variants; len(variants) > 0 {
		*p = defaults
		p.Variants = variants
	}
}

// inherit fills in what variants left out: it is as beside the list.
func (p *ResizeParams) inherit(given json.RawMessage) error {
	if len(p.Variants) == 0 {
		return nil
	}
	var own struct{ Variants []map[string]json.RawMessage }
	if err := json.Unmarshal(given, &own); err != nil {
		return err
	}
	single := *p
	single.Variants = nil
	beside, err := json.Marshal(single)
	if err != nil {
		return err
	}
	var common map[string]json.RawMessage
	if err := json.Unmarshal(beside, &common); err != nil {
		return err
	}
	for i := range p.Variants {
		whole := maps.Clone(common)
		maps.Copy(whole, own.Variants[i])
		raw, err := json.Marshal(whole)
		if err != nil {
			return err
		}
		p.Variants[i] = Variant{}
		if err := json.Unmarshal(raw, &p.Variants[i]); err != nil {
			return fmt.Errorf("variant %d: %w", i, err)
		}
	}
	return nil
}
