package handlers_test

import (
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

func TestInfo(t *testing.T) {
	t.Parallel()
	in := taskstest.Input{Name: "beach.PNG", Data: picture(t, 120, 80)}
	for params, color := range map[string]string{`{}`: "", `{"placeholders":["dominant_color"]}`: "#c86432"} {
		result, host, err := run[tasks.InfoResult](t, "image.info", params, in)
		if err != nil {
			t.Fatal(err)
		}
		want := tasks.InfoResult{
			Width: 120, Height: 80, Format: "png", Bytes: int64(len(in.Data)), Frames: 1, Orientation: 1, ColorSpace: "rgb", Depth: 8,
			Placeholders: tasks.Placeholders{DominantColor: color},
		}
		if result != want {
			t.Errorf("%s: %+v, want %+v", params, result, want)
		}
		if len(host.Outputs()) != 0 {
			t.Errorf("%s: made outputs", params)
		}
	}
	_, _, err := run[tasks.InfoResult](t, "image.info", `{}`, taskstest.Input{Name: "beach.png", Data: []byte("text")})
	if codeOf(err) != millrace.CodeUnsupportedFormat {
		t.Errorf("text: %v, want unsupported_format", err)
	}
}
