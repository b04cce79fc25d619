package tasks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

func resizeType() tasks.Type {
	return tasks.Bind(tasks.Resize(), func(context.Context, *tasks.Call, tasks.ResizeParams) (any, error) { return nil, nil })
}

// canonical decodes params as a client sends them.
func canonical(t *testing.T, params string) (tasks.ResizeParams, string) {
	t.Helper()
	raw, err := resizeType().Decode(json.RawMessage(params))
	if err != nil {
		t.Fatalf("Decode(%s): %v", params, err)
	}
	var p tasks.ResizeParams
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	return p, string(raw)
}

// TestVariantsInherit: what a variant leaves out is as beside the list, and what stands there in vain is as if it had not been sent.
func TestVariantsInherit(t *testing.T) {
	t.Parallel()
	p, raw := canonical(t, `{"width":800,"quality":70,"rotate":90,"crop":{"x":1,"y":2,"width":30,"height":40},"auto_orient":false,"variants":[
		{"name":"large.jpg"},
		{"name":"small.png","width":100,"format":"png","auto_orient":true},
		{"name":"cut","crop":{"x":5,"y":6,"width":7,"height":8},"rotate":0,"quality":90}]}`)
	if len(p.Variants) != 3 || p.Width != 0 || p.Quality != 0 || !p.AutoOrient {
		t.Fatalf("beside the variants: %+v", p)
	}
	large, small, cut := p.Variants[0], p.Variants[1], p.Variants[2]
	if large.Name != "large.jpg" || large.Width != 800 || large.Quality != 70 || large.Rotate != 90 || *large.Crop != (tasks.Crop{X: 1, Y: 2, Width: 30, Height: 40}) ||
		large.AutoOrient || !large.Strip || large.Fit != tasks.Inside || large.Background != "#ffffff" {
		t.Errorf("a variant of nothing but a name: %+v", large)
	}
	if small.Width != 100 || small.Format != tasks.PNG || small.Quality != 70 || !small.AutoOrient {
		t.Errorf("small: %+v", small)
	}
	if *cut.Crop != (tasks.Crop{X: 5, Y: 6, Width: 7, Height: 8}) || cut.Rotate != 0 || cut.Quality != 90 || cut.Width != 800 {
		t.Errorf("cut: %+v, crop %+v", cut, cut.Crop)
	}
	// Sent again as it was returned, it means the same: also where a variant went back to what is usual.
	if _, again := canonical(t, raw); again != raw {
		t.Errorf("decoded again:\n%s, was\n%s", again, raw)
	}
	_, want := canonical(t, `{"variants":[{"name":"a","width":10,"quality":80},{"name":"b","width":20,"quality":80}]}`)
	for params, same := range map[string]bool{
		`{"quality":80,"variants":[{"width":10,"name":"a"},{"name":"b","width":20,"fit":"inside"}]}`:                              true,
		`{"quality":80,"width":20,"fit":"cover","variants":[{"name":"a","width":10,"fit":"inside"},{"name":"b","fit":"inside"}]}`: true,
		`{"quality":80,"width":20,"fit":"cover","variants":[{"name":"a","width":10,"fit":"inside"},{"name":"b"}]}`:                false,
		`{"quality":80,"variants":[{"name":"b","width":20},{"name":"a","width":10}]}`:                                             false,
	} {
		if _, got := canonical(t, params); (got == want) != same {
			t.Errorf("%s became\n%s, want the same as below: %v\n%s", params, got, same, want)
		}
	}
}

func TestVariantsThatAreWrong(t *testing.T) {
	t.Parallel()
	many := make([]string, 33)
	for i := range many {
		many[i] = fmt.Sprintf(`{"name":"v%d"}`, i)
	}
	for _, tt := range []struct{ params, pointer string }{
		{`{"variants":[{"width":10}]}`, "/params/variants/0/name"},
		{`{"variants":[{"name":""}]}`, "/params/variants/0/name"},
		{`{"variants":[{"name":".."}]}`, "/params/variants/0/name"},
		{`{"variants":[{"name":"a/b"}]}`, "/params/variants/0/name"},
		{`{"variants":[{"name":"a b"}]}`, "/params/variants/0/name"},
		{`{"variants":[{"name":"` + strings.Repeat("a", 65) + `"}]}`, "/params/variants/0/name"},
		{`{"variants":[{"name":"a"},{"name":"b"},{"name":"a"}]}`, "/params/variants/2/name"},
		{`{"variants":[{"name":"a","width":0}]}`, "/params/variants/0/width"},
		{`{"variants":[{"name":"a"},{"name":"b","fit":"stretch"}]}`, "/params/variants/1/fit"},
		{`{"variants":[{"name":"a"},{"name":"b","background":"red"}]}`, "/params/variants/1/background"},
		{`{"background":"red","variants":[{"name":"a"}]}`, "/params/background"},
		{`{"variants":[{"name":"a","colour":1}]}`, "/params/variants/0/colour"},
		{`{"variants":[{"name":"a","crop":{"x":0,"y":0,"width":1}}]}`, "/params/variants/0/crop/height"},
		{`{"variants":[{"name":"a","variants":[{"name":"b"}]}]}`, "/params/variants/0/variants"},
		{`{"variants":[{"name":"a","preset":"p"}]}`, "/params/variants/0/preset"},
		{`{"variants":["a"]}`, "/params/variants/0"},
		{`{"variants":{"name":"a"}}`, "/params/variants"},
		{`{"variants":[` + strings.Join(many, ",") + `]}`, "/params/variants"},
	} {
		_, err := resizeType().Decode(json.RawMessage(tt.params))
		e, ok := errors.AsType[*millrace.Error](err)
		if !ok || e.Kind != millrace.Invalid || len(e.Fields) != 1 || e.Fields[0].Pointer != tt.pointer {
			t.Errorf("Decode(%s) = %v, want a pointer to %s", tt.params, err, tt.pointer)
		}
	}
	if _, raw := canonical(t, `{"variants":[`+strings.Join(many[:32], ",")+`]}`); len(raw) > tasks.MaxParams {
		t.Errorf("32 variants have %d bytes", len(raw))
	}
}
