package tasks_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// millParams has a field of every shape that the schema's sentences speak of.
type millParams struct {
	Width  int      `json:"width" jsonschema:"minimum=1,maximum=16384"`
	Small  int8     `json:"small"`
	Ratio  float64  `json:"ratio" jsonschema:"exclusiveMinimum=0,exclusiveMaximum=1.5"`
	Mode   string   `json:"mode" jsonschema:"enum=slow,enum=fast"`
	Name   string   `json:"name,omitempty" jsonschema:"minLength=2,maxLength=4,pattern=^[a-z]*$"`
	Tags   []string `json:"tags" jsonschema:"minItems=1,maxItems=3,uniqueItems=true"`
	Stone  *stone   `json:"stone,omitempty"`
	Slash  bool     `json:"a/b~c,omitempty"`
	Forced bool     `json:"-"`
}

type stone struct {
	Weight int `json:"weight" jsonschema:"required,minimum=1"`
}

func (p *millParams) Validate() error {
	if p.Mode == "fast" && p.Width > 100 {
		return millrace.InvalidField("/params/width", "must be at most 100 when mode is fast")
	}
	return nil
}

func mill(name string) tasks.Declaration[millParams] {
	return tasks.Declaration[millParams]{
		Name: name, Title: "Mill", Pool: millrace.CPU,
		Defaults: millParams{Width: 7, Ratio: 0.5, Mode: "slow", Tags: []string{"flour"}},
		Examples: []tasks.Example[millParams]{{Title: "One", Params: millParams{Width: 1, Ratio: 0.5, Mode: "slow", Tags: []string{"rye"}}}},
	}
}

func echo(_ context.Context, _ *tasks.Call, p millParams) (any, error) { return p, nil }

func TestDecodeCanonical(t *testing.T) {
	t.Parallel()
	typ := tasks.Bind(mill("grain.mill"), echo)
	for _, tc := range []struct{ name, raw, want string }{
		{"nothing", ``, `{"width":7,"small":0,"ratio":0.5,"mode":"slow","tags":["flour"]}`},
		{"empty object", `{}`, `{"width":7,"small":0,"ratio":0.5,"mode":"slow","tags":["flour"]}`},
		{"order and blanks", ` { "mode":"fast", "width": 9 } `, `{"width":9,"small":0,"ratio":0.5,"mode":"fast","tags":["flour"]}`},
		{"a list replaces the default", `{"tags":["a","b"]}`, `{"width":7,"small":0,"ratio":0.5,"mode":"slow","tags":["a","b"]}`},
		{"whole numbers in other clothes", `{"width":1e3,"small":-2.0}`, `{"width":1000,"small":-2,"ratio":0.5,"mode":"slow","tags":["flour"]}`},
		{"nested", `{"stone":{"weight":3}}`, `{"width":7,"small":0,"ratio":0.5,"mode":"slow","tags":["flour"],"stone":{"weight":3}}`},
		{"the last of equal names", `{"width":1,"width":2}`, `{"width":2,"small":0,"ratio":0.5,"mode":"slow","tags":["flour"]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := typ.Decode(json.RawMessage(tc.raw))
			if err != nil {
				t.Fatalf("Decode(%s): %v", tc.raw, err)
			}
			if string(got) != tc.want {
				t.Errorf("Decode(%s) = %s, want %s", tc.raw, got, tc.want)
			}
			again, err := typ.Decode(got)
			if err != nil || string(again) != string(got) {
				t.Errorf("Decode(Decode(%s)) = %s, %v, want the same", tc.raw, again, err)
			}
		})
	}
}

func TestDecodeDoesNotShareDefaults(t *testing.T) {
	t.Parallel()
	typ := tasks.Bind(mill("grain.mill"), echo)
	if _, err := typ.Decode(json.RawMessage(`{"tags":["spoiled"]}`)); err != nil {
		t.Fatal(err)
	}
	got, err := typ.Decode(nil)
	if err != nil || !strings.Contains(string(got), `"flour"`) {
		t.Errorf("Decode(nil) after another Decode = %s, %v, want the declared default", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	typ := tasks.Bind(mill("grain.mill"), echo)
	for _, tc := range []struct {
		name, raw string
		want      []millrace.FieldError
	}{
		{"no JSON", `{`, fields("/params", "must be a JSON object")},
		{"two values", `{} {}`, fields("/params", "must be a JSON object")},
		{"array", `[]`, fields("/params", "must be of type object, not array")},
		{"null", `null`, fields("/params", "must be of type object, not null")},
		{"unknown", `{"wdith":1}`, fields("/params/wdith", "is not a parameter of this type")},
		{"other case", `{"Width":1}`, fields("/params/Width", "is not a parameter of this type")},
		{"not for JSON", `{"Forced":true}`, fields("/params/Forced", "is not a parameter of this type")},
		{"unknown nested", `{"stone":{"weight":1,"age":2}}`, fields("/params/stone/age", "is not a parameter of this type")},
		{"missing nested", `{"stone":{}}`, fields("/params/stone/weight", "is required")},
		{"too small", `{"width":0}`, fields("/params/width", "must be at least 1")},
		{"too large", `{"width":16385}`, fields("/params/width", "must be at most 16384")},
		{"no integer", `{"width":1.5}`, fields("/params/width", "must be of type integer, not number")},
		{"text for number", `{"width":"1"}`, fields("/params/width", "must be of type integer, not string")},
		{"null for number", `{"width":null}`, fields("/params/width", "must be of type integer, not null")},
		{"beyond the Go type", `{"small":128}`, fields("/params/small", "is a number 128 that this field cannot hold")},
		{"exclusive bounds", `{"ratio":0}`, fields("/params/ratio", "must be more than 0")},
		{"exclusive bounds above", `{"ratio":1.5}`, fields("/params/ratio", "must be less than 1.5")},
		{"enum", `{"mode":"lazy"}`, fields("/params/mode", "must be one of slow, fast")},
		{"short", `{"name":"a"}`, fields("/params/name", "must be at least 2 characters long")},
		{"long and of other letters", `{"name":"ABCDE"}`, fields("/params/name", "must be at most 4 characters long", "/params/name", "must match the pattern ^[a-z]*$")},
		{"no items", `{"tags":[]}`, fields("/params/tags", "must have at least 1 items")},
		{"many items", `{"tags":["a","b","c","d"]}`, fields("/params/tags", "must have at most 3 items")},
		{"item twice", `{"tags":["a","b","a"]}`, fields("/params/tags", "must not hold the same item twice (items 0 and 2)")},
		{"wrong item", `{"tags":["a",1]}`, fields("/params/tags/1", "must be of type string, not number")},
		{"escaped pointer", `{"a/b~c":1}`, fields("/params/a~1b~0c", "must be of type boolean, not number")},
		{"several", `{"zeal":1,"width":0,"mode":""}`, fields("/params/mode", "must be one of slow, fast", "/params/width", "must be at least 1", "/params/zeal", "is not a parameter of this type")},
		{"Validate", `{"mode":"fast","width":101}`, fields("/params/width", "must be at most 100 when mode is fast")},
		{"endless exponent", `{"ratio":1e999999999}`, fields("/params/ratio", "is out of the range of numbers")},
		{"exponent beyond an int", `{"ratio":1e99999999999999999999}`, fields("/params/ratio", "is out of the range of numbers")},
		{"endless fraction", `{"ratio":1e-999999}`, fields("/params/ratio", "is out of the range of numbers")},
		{"endless digits", `{"ratio":` + strings.Repeat("1", 1000) + `}`, fields("/params/ratio", "must be a number of at most 64 characters")},
		{"deep", `{"stone":` + strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100) + `}`, fields("/params/stone", "must not be nested deeper than 64 levels")},
		{"deeper than the decoder goes", strings.Repeat(`[`, 30_000) + strings.Repeat(`]`, 30_000), fields("/params", "must be a JSON object")},
		{"large", `{"name":"` + strings.Repeat("x", tasks.MaxParams) + `"}`, fields("/params", "must be at most 65536 bytes, is 65547")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := typ.Decode(json.RawMessage(tc.raw))
			e, ok := errors.AsType[*millrace.Error](err)
			if !ok || e.Kind != millrace.Invalid {
				t.Fatalf("Decode(%.100s) = %s, %v, want an error of kind Invalid", tc.raw, got, err)
			}
			if diff := cmp.Diff(tc.want, e.Fields); diff != "" {
				t.Errorf("Decode(%.100s) fields (-want +got):\n%s", tc.raw, diff)
			}
			if strings.Contains(e.Detail, "millParams") {
				t.Errorf("Decode(%.100s) speaks of Go types: %s", tc.raw, e.Detail)
			}
		})
	}
}

// fields makes a list from pointer, detail, pointer, detail …
func fields(words ...string) []millrace.FieldError {
	var list []millrace.FieldError
	for i := 0; i < len(words); i += 2 {
		list = append(list, millrace.FieldError{Pointer: words[i], Detail: words[i+1]})
	}
	return list
}

func TestDecodeReportsAFewOfManyErrors(t *testing.T) {
	t.Parallel()
	typ := tasks.Bind(mill("grain.mill"), echo)
	_, err := typ.Decode(json.RawMessage(`{"tags":[` + strings.TrimSuffix(strings.Repeat("1,", 5000), ",") + `]}`))
	e, ok := errors.AsType[*millrace.Error](err)
	if !ok || len(e.Fields) != 20 || len(e.Detail) > 4000 {
		t.Errorf("Decode of 5000 wrong items: %d fields and %d bytes of detail, want 20 fields and little text", len(e.Fields), len(e.Detail))
	}
}

func TestSchemaSaysTheDefaults(t *testing.T) {
	t.Parallel()
	var schema struct {
		Schema     string `json:"$schema"`
		Additional *bool  `json:"additionalProperties"`
		Properties map[string]struct {
			Default json.RawMessage `json:"default"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(tasks.Bind(mill("grain.mill"), echo).Schema, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Schema != "https://json-schema.org/draft/2020-12/schema" || schema.Additional == nil || *schema.Additional {
		t.Errorf("$schema = %q, additionalProperties = %v, want 2020-12 and false", schema.Schema, schema.Additional)
	}
	for name, want := range map[string]string{"width": "7", "mode": `"slow"`, "tags": `["flour"]`, "stone": ""} {
		if got := string(schema.Properties[name].Default); got != want {
			t.Errorf("default of %s = %s, want %s", name, got, want)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	boom := millrace.BadInput(millrace.CodeCorrupt, "broken")
	for _, tc := range []struct {
		name    string
		handler tasks.Handler[millParams]
		want    string
		err     error
	}{
		{"result", echo, `{"width":9,"small":0,"ratio":0.5,"mode":"slow","tags":["flour"]}`, nil},
		{"no result", func(context.Context, *tasks.Call, millParams) (any, error) { return nil, nil }, ``, nil},
		{"error", func(context.Context, *tasks.Call, millParams) (any, error) { return 1, boom }, ``, boom},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			typ := tasks.Bind(mill("grain.mill"), tc.handler)
			params, err := typ.Decode(json.RawMessage(`{"width":9}`))
			if err != nil {
				t.Fatal(err)
			}
			got, err := typ.Run(t.Context(), new(taskstest.Host).Call(), params)
			if string(got) != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("Run = %s, %v, want %s, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestBindPanicsOnAWrongName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "mill", "Grain.mill", "grain.mill.fine", "grain.", "grain mill.x"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Bind of a type called %q did not panic", name)
				}
			}()
			tasks.Bind(mill(name), echo)
		}()
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	l, err := tasks.NewList(tasks.Bind(mill("grain.mill"), echo), tasks.Bind(mill("grain.sift"), echo))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"grain.mill", "grain.sift"}, l.Names()); diff != "" {
		t.Errorf("Names (-want +got):\n%s", diff)
	}
	if typ, ok := l.Get("grain.sift"); !ok || typ.Name != "grain.sift" || typ.MinInputs != 1 || typ.MaxInputs != 1 {
		t.Errorf("Get = %+v, %v", typ, ok)
	}
	if _, ok := l.Get("grain.bake"); ok {
		t.Error("Get of an unknown name succeeded")
	}
	if _, err := tasks.NewList(tasks.Bind(mill("grain.mill"), echo), tasks.Bind(mill("grain.mill"), echo)); err == nil {
		t.Error("NewList took a name that is bound twice")
	}
}

// FuzzDecode holds that params from anywhere give canonical params or an Invalid error, and that canonical params are their own canonical form.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{}`, `{"width":1e3}`, `{"tags":["a"]}`, `{"stone":{"weight":1}}`, `{"ratio":1e-400}`, `{"a/b~c":true}`, `[[[`, `"\ud800"`} {
		f.Add([]byte(seed))
	}
	typ := tasks.Bind(mill("grain.mill"), echo)
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := typ.Decode(raw)
		if err != nil {
			if millrace.KindOf(err) != millrace.Invalid {
				t.Fatalf("Decode(%q): %v, want kind Invalid", raw, err)
			}
			return
		}
		again, err := typ.Decode(got)
		if err != nil || string(again) != string(got) {
			t.Fatalf("Decode(%q) = %s, and again = %s, %v", raw, got, again, err)
		}
	})
}
