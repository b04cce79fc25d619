package raster_test

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"testing"

	"github.com/millrace/millrace/tasks"
)

// TestInkWithoutMarker takes CMYK as it stands where Adobe's marker does not say that it is inverted.
func TestInkWithoutMarker(t *testing.T) {
	t.Parallel()
	data := readFile(t, "testdata/cmyk.jpg")
	at := bytes.Index(data, []byte("\xff\xee\x00\x0eAdobe"))
	if at < 0 {
		t.Fatal("the picture has no marker to begin with")
	}
	inverted := bytes.Clone(data)
	inverted[at+15] = 0 // CMYK, not YCCK
	plain := append(bytes.Clone(data[:at]), data[at+16:]...)
	ink, err := jpeg.Decode(bytes.NewReader(inverted))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := mustResize(t, plain, params(func(p *tasks.ResizeParams) { p.Format = tasks.PNG }))
	for _, y := range []int{4, 28} {
		c := ink.(*image.CMYK).CMYKAt(20, y)
		r, g, b := color.CMYKToRGB(255-c.C, 255-c.M, 255-c.Y, 255-c.K)
		if want := (color.NRGBA{r, g, b, 255}); color.NRGBAModel.Convert(got.At(20, y)) != want {
			t.Errorf("at 20, %d: %v, want %v", y, got.At(20, y), want)
		}
	}
}
