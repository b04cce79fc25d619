package tasks

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// What params may hold before a schema sees them. Schemas compare numbers exactly, so a literal of a few bytes such as 1e999999 would cost
// megabytes, and one beyond what math/big accepts would be compared as nil.
const (
	maxDepth       = 64  // of arrays and objects, as for request bodies
	maxNumber      = 64  // characters of a number
	maxExponent    = 400 // of a number, either way: more than a float64 holds
	maxFieldErrors = 20  // reported at once
)

// plainer walks decoded JSON and keeps the first errors it finds.
type plainer struct{ fields []millrace.FieldError }

// walk returns v with whole numbers written as digits: 1e3 and 2.0 are integers for JSON Schema, but not for encoding/json.
func (p *plainer) walk(v any, at ...string) any {
	if len(at) > maxDepth {
		p.fail(at[:1], "must not be nested deeper than "+strconv.Itoa(maxDepth)+" levels")
		return v
	}
	at = at[:len(at):len(at)] // siblings must not share a backing array
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = p.walk(member, append(at, name)...)
		}
	case []any:
		for i, item := range v {
			v[i] = p.walk(item, append(at, strconv.Itoa(i))...)
		}
	case json.Number:
		return p.number(v, at)
	}
	return v
}

func (p *plainer) number(n json.Number, at []string) json.Number {
	literal := string(n)
	if !strings.ContainsAny(literal, ".eE") && len(literal) <= maxNumber {
		return n
	}
	if i := strings.IndexAny(literal, "eE"); i >= 0 {
		exponent, err := strconv.Atoi(literal[i+1:])
		if err != nil || exponent > maxExponent || exponent < -maxExponent {
			p.fail(at, "is out of the range of numbers")
			return n
		}
	}
	r, ok := new(big.Rat).SetString(literal)
	if !ok || len(literal) > maxNumber {
		p.fail(at, "must be a number of at most "+strconv.Itoa(maxNumber)+" characters")
		return n
	}
	if f, err := strconv.ParseFloat(literal, 64); err != nil || f == 0 && r.Sign() != 0 {
		p.fail(at, "is out of the range of numbers") // as a float64 it would become infinite, or nothing
		return n
	}
	if r.IsInt() {
		return json.Number(r.Num().String())
	}
	return n
}

func (p *plainer) fail(at []string, detail string) {
	if len(p.fields) < maxFieldErrors {
		p.fields = append(p.fields, millrace.FieldError{Pointer: pointer(at...), Detail: detail})
	}
}
