package tasks_test

import (
	"context"
	"encoding/json"
	"errors"
	"image/color"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

func TestResizeParams(t *testing.T) {
	t.Parallel()
	typ := tasks.Bind(tasks.Resize(), func(context.Context, *tasks.Call, tasks.ResizeParams) (any, error) { return nil, nil })
	for _, tt := range []struct {
		params  string
		pointer string // "": accepted
		code    millrace.Code
	}{
		{`{}`, "", ""},
		{`{"width":800,"height":600,"fit":"cover","gravity":"northeast","format":"png","quality":90}`, "", ""},
		{`{"crop":{"x":0,"y":10,"width":20,"height":30},"rotate":270,"flip":true,"flop":true}`, "", ""},
		{`{"background":"#0f0"}`, "", ""},
		{`{"format":"webp","lossless":true,"frame":2,"pages":3}`, "", ""},
		{`{"format":"avif"}`, "", ""},
		{`{"format":"tiff"}`, "", ""},
		{`{"width":0}`, "/params/width", ""},
		{`{"width":16385}`, "/params/width", ""},
		{`{"height":"tall"}`, "/params/height", ""},
		{`{"fit":"stretch"}`, "/params/fit", ""},
		{`{"format":"bmp"}`, "/params/format", ""},
		{`{"background":"red"}`, "/params/background", ""},
		{`{"background":"#12345"}`, "/params/background", ""},
		{`{"quality":101}`, "/params/quality", ""},
		{`{"blur":-1}`, "/params/blur", ""},
		{`{"crop":{"x":0,"y":10,"width":20}}`, "/params/crop/height", ""},
		{`{"crop":{"x":-1,"y":10,"width":20,"height":1}}`, "/params/crop/x", ""},
		{`{"colour":"red"}`, "/params/colour", ""},
		{`{"gravity":"smart"}`, "", ""},
		{`{"rotate":12.5}`, "", ""},
		{`{"rotate":-90}`, "/params/rotate", ""},
		{`{"watermark":{"file":"f","gravity":"north","opacity":0.5,"scale":0.2,"margin":8}}`, "", ""},
		{`{"watermark":{"file":"f","gravity":"smart"}}`, "/params/watermark/gravity", ""},
		{`{"watermark":{"file":"f","opacity":1.5}}`, "/params/watermark/opacity", ""},
		{`{"watermark":{"opacity":0.5}}`, "/params/watermark/file", ""},
		{`{"progressive":true,"subsampling":"4:2:2"}`, "", ""},
		{`{"subsampling":"4:1:1"}`, "/params/subsampling", ""},
		{`{"kernel":"box"}`, "/params/kernel", ""},
		{`{"kernel":"cubic"}`, "", ""},
		{`{"linear_light":true}`, "", ""},
		{`{"placeholders":["blurhash","thumbhash","dominant_color"]}`, "", ""},
		{`{"placeholders":["hash"]}`, "/params/placeholders/0", ""},
		{`{"max_bytes":99}`, "/params/max_bytes", ""},
		{`{"preset":"thumb"}`, "/params/preset", ""},
	} {
		t.Run(tt.params, func(t *testing.T) {
			t.Parallel()
			_, err := typ.Decode(json.RawMessage(tt.params))
			if tt.pointer == "" {
				if err != nil {
					t.Errorf("Decode = %v", err)
				}
				return
			}
			e, ok := errors.AsType[*millrace.Error](err)
			if !ok || e.Kind != millrace.Invalid || len(e.Fields) != 1 || e.Fields[0].Pointer != tt.pointer || e.Code != tt.code {
				t.Errorf("Decode = %#v, want a pointer to %s and code %q", err, tt.pointer, tt.code)
			}
		})
	}
}

func TestParseColor(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]color.NRGBA{
		"#fff": {255, 255, 255, 255}, "#1a2": {0x11, 0xaa, 0x22, 255}, "#102030": {16, 32, 48, 255}, "#10203040": {16, 32, 48, 64}, "transparent": {},
	} {
		if got, ok := tasks.ParseColor(s); !ok || got != want {
			t.Errorf("ParseColor(%q) = %v, %v, want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "#", "fff", "#ffff", "#ggg", "#1234567", "white", "#ffffff "} {
		if got, ok := tasks.ParseColor(s); ok {
			t.Errorf("ParseColor(%q) = %v, want a refusal", s, got)
		}
	}
}
