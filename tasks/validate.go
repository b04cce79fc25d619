package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/millrace/millrace"
)

// schemaError turns a validator's tree of causes into one millrace.Error with a pointer and a sentence for each wrong value.
func schemaError(err error) error {
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return millrace.InvalidField("/params", "cannot be checked")
	}
	var fields []millrace.FieldError
	collect(invalid, &fields)
	return invalidFields(fields)
}

// invalidFields makes one error of several wrong values. A caller who sent thousands hears of the first few.
func invalidFields(fields []millrace.FieldError) error {
	slices.SortStableFunc(fields, func(a, b millrace.FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
	fields = fields[:min(len(fields), maxFieldErrors)]
	details := make([]string, 0, len(fields))
	for _, f := range fields {
		details = append(details, f.Pointer+" "+f.Detail)
	}
	return &millrace.Error{Kind: millrace.Invalid, Detail: strings.Join(details, "; "), Fields: fields}
}

// misfit words the failure of a value that its schema admits and its Go type cannot hold, without naming Go types.
func misfit(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && e.Field != "" {
		return millrace.InvalidField(pointer(strings.Split(e.Field, ".")...), "is a %s that this field cannot hold", e.Value)
	}
	return millrace.Wrap(millrace.Invalid, err, "/params cannot be read")
}

func collect(e *jsonschema.ValidationError, fields *[]millrace.FieldError) {
	if len(e.Causes) > 0 {
		for _, cause := range e.Causes {
			collect(cause, fields)
		}
		return
	}
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			*fields = append(*fields, millrace.FieldError{
				Pointer: pointer(append(append([]string{}, e.InstanceLocation...), name)...), Detail: "is not a parameter of this type"})
		}
	case *kind.Required:
		for _, name := range k.Missing {
			*fields = append(*fields, millrace.FieldError{
				Pointer: pointer(append(append([]string{}, e.InstanceLocation...), name)...), Detail: "is required"})
		}
	default:
		*fields = append(*fields, millrace.FieldError{Pointer: pointer(e.InstanceLocation...), Detail: sentence(e.ErrorKind)})
	}
}

func sentence(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Minimum:
		return "must be at least " + number(k.Want)
	case *kind.Maximum:
		return "must be at most " + number(k.Want)
	case *kind.Enum:
		return "must be one of " + list(k.Want)
	case *kind.Type:
		return fmt.Sprintf("must be of type %s, not %s", strings.Join(k.Want, " or "), k.Got)
	case *kind.MaxLength:
		return fmt.Sprintf("must be at most %d characters long", k.Want)
	case *kind.MinLength:
		return fmt.Sprintf("must be at least %d characters long", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d items", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d items", k.Want)
	case *kind.Pattern:
		return "must match the pattern " + k.Want
	case *kind.ExclusiveMinimum:
		return "must be more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + number(k.Want)
	case *kind.UniqueItems:
		return fmt.Sprintf("must not hold the same item twice (items %d and %d)", k.Duplicates[0], k.Duplicates[1])
	}
	return k.LocalizedString(message.NewPrinter(language.English))
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return fmt.Sprint(f)
}

func list(values []any) string {
	words := make([]string, 0, len(values))
	for _, v := range values {
		words = append(words, fmt.Sprint(v))
	}
	return strings.Join(words, ", ")
}
