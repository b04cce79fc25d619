package handlers_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

func picture(t *testing.T, w, h int) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		m.SetNRGBA(i%w, i/w, color.NRGBA{200, 100, 50, 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestResize(t *testing.T) {
	t.Parallel()
	in := taskstest.Input{Name: "beach.PNG", Data: picture(t, 120, 80)}
	result, host, err := run[tasks.ResizeResult](t, "image.resize", `{"width":60,"format":"jpeg"}`, in)
	if err != nil {
		t.Fatal(err)
	}
	if result.Width != 60 || result.Height != 40 || result.Format != "jpeg" || result.Engine == "" || result.Source != (tasks.Source{Width: 120, Height: 80, Format: "png"}) {
		t.Errorf("result %+v", result)
	}
	name, data := onlyOutput(t, host)
	if name != "beach.jpg" || !bytes.HasPrefix(data, []byte("\xff\xd8\xff")) {
		t.Errorf("output %q begins with % x", name, data[:4])
	}
	reported := host.Reported()
	if last := reported[len(reported)-1]; last.Percent() != 100 {
		t.Errorf("the last progress is %+v", last)
	}
	for i := 1; i < len(reported); i++ {
		if reported[i].Done < reported[i-1].Done {
			t.Errorf("progress falls from %d to %d", reported[i-1].Done, reported[i].Done)
		}
	}
}

func TestResizeNamesItsOutput(t *testing.T) {
	t.Parallel()
	data := picture(t, 4, 4)
	for name, want := range map[string]string{
		"a.b.png": "a.b.gif", "picture": "picture.gif", ".png": "image.gif", "": "image.gif", "a .png": "a.gif", ". .png": "image.gif",
		strings.Repeat("ä", 127) + ".png": strings.Repeat("ä", 125) + ".gif",
	} {
		_, host, err := run[tasks.ResizeResult](t, "image.resize", `{"format":"gif"}`, taskstest.Input{Name: name, Data: data})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := onlyOutput(t, host); got != want {
			t.Errorf("of %q: %q, want %q", name, got, want)
		}
	}
}

func TestResizeNamesVariantsAsAsked(t *testing.T) {
	t.Parallel()
	in := taskstest.Input{Name: "beach.png", Data: picture(t, 120, 80)}
	result, host, err := run[tasks.ResizeResult](t, "image.resize", `{"format":"jpeg","variants":[{"name":"small.JPG","width":12},{"name":"x.png"},{"name":".c","format":"gif"}]}`, in)
	if err != nil {
		t.Fatal(err)
	}
	if result.Rendered != nil || len(result.Variants) != 3 || result.Variants[0].Name != "small.JPG" || result.Variants[0].Height != 8 || result.Variants[2].Format != "gif" {
		t.Errorf("result %+v", result)
	}
	for name, magic := range map[string]string{"small.JPG": "\xff\xd8\xff", "x.png": "\xff\xd8\xff", ".c": "GIF8"} {
		if data := host.Outputs()[name]; !bytes.HasPrefix(data, []byte(magic)) {
			t.Errorf("output %q has %d bytes, want one that begins with % x", name, len(data), magic)
		}
	}
}

func TestResizeRefusesWhatIsNoPicture(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		data string
		code millrace.Code
	}{{"no picture", millrace.CodeUnsupportedFormat}, {"\x89PNG\r\n\x1a\nbroken", millrace.CodeCorrupt}} {
		_, _, err := run[tasks.ResizeResult](t, "image.resize", `{}`, taskstest.Input{Name: "x.png", Data: []byte(tt.data)})
		if codeOf(err) != tt.code {
			t.Errorf("%q: %v, want %s", tt.data, err, tt.code)
		}
	}
}
