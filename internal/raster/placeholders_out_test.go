package raster_test

import (
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/tasks"
)

// TestPlaceholdersOfOutput takes them of what comes out, not of what came in: the part that was cut off is not in them.
func TestPlaceholdersOfOutput(t *testing.T) {
	t.Parallel()
	data := encodeJPEG(t, quadrants(800, 600), jpegn.EncodeOptions{})
	_, out := mustResize(t, data, params(func(p *tasks.ResizeParams) {
		p.Crop, p.Width = &tasks.Crop{X: 0, Y: 300, Width: 400, Height: 300}, 200
		p.Placeholders = []string{tasks.BlurHash, tasks.ThumbHash, tasks.DominantColor}
	}))
	if out.DominantColor != "#1414dc" && out.DominantColor != "#1514dc" && out.DominantColor != "#1414db" || out.BlurHash == "" || out.ThumbHash == "" {
		t.Errorf("%+v, want all three, of a blue picture", out.Placeholders)
	}
}
