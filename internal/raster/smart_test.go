package raster_test

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// something is a grey picture with a disc of stripes in it.
func something(w, h int, at image.Point, radius float64) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{120, 122, 121, 255}
			if d := math.Hypot(float64(x-at.X), float64(y-at.Y)); d < radius {
				c = [2]color.NRGBA{{225, 160, 120, 255}, {180, 20, 20, 255}}[int(d/6)%2]
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return m
}

// discArea is how many pixels the disc has in a picture of another size.
func discArea(scale float64) float64 { return math.Pi * 60 * 60 * scale * scale }

// stripes counts the pixels of the disc.
func stripes(m image.Image) int {
	n, size := 0, m.Bounds().Size()
	for i := range size.X * size.Y {
		c := color.NRGBAModel.Convert(m.At(i%size.X, i/size.X)).(color.NRGBA)
		if int(c.R)-int(c.G) > 30 {
			n++
		}
	}
	return n
}

func TestSmartCropKeepsWhatCatchesTheEye(t *testing.T) {
	t.Parallel()
	first := uint16(1)
	for _, tt := range []struct {
		w, h, boxW, boxH int
		at               image.Point
	}{ // the first one lies in all eight ways
		{900, 300, 150, 150, image.Pt(700, 140)},
		{900, 300, 150, 150, image.Pt(120, 140)},
		{300, 900, 150, 150, image.Pt(150, 800)},
		{301, 907, 77, 90, image.Pt(150, 95)},
		{1200, 900, 200, 600, image.Pt(1000, 300)},
	} {
		src := something(tt.w, tt.h, tt.at, 60)
		scale := max(float64(tt.boxW)/float64(tt.w), float64(tt.boxH)/float64(tt.h))
		want := discArea(scale)
		for o := first; o <= 8; o++ {
			data := encodeJPEG(t, lay(src, o), jpegn.EncodeOptions{Exif: exif(o), Subsampling: jpegn.Subsample444})
			m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) {
				p.Width, p.Height, p.Fit, p.Gravity, p.Quality = tt.boxW, tt.boxH, tasks.Cover, "smart", 95
			}))
			if m.Bounds().Size() != image.Pt(tt.boxW, tt.boxH) {
				t.Errorf("%+v as %d: size %v", tt, o, m.Bounds().Size())
			}
			if got := float64(stripes(m)); got < 0.9*want {
				t.Errorf("%+v as %d: %v pixels of the disc are left, want %.0f", tt, o, got, want)
			}
		}
		first = 6
	}
}

// TestSmartCropOfChangedPictures looks where the picture is cropped and tilted already.
func TestSmartCropOfChangedPictures(t *testing.T) {
	t.Parallel()
	data := encodePNG(t, something(900, 600, image.Pt(780, 300), 60))
	for name, tt := range map[string]struct {
		scale  float64
		change func(*tasks.ResizeParams)
	}{
		"crop":    {200. / 220, func(p *tasks.ResizeParams) { p.Crop = &tasks.Crop{X: 300, Y: 150, Width: 600, Height: 220} }},
		"tilt":    {200. / 872, func(p *tasks.ResizeParams) { p.Rotate, p.Background = 20, "#787a79" }},
		"flop":    {200. / 600, func(p *tasks.ResizeParams) { p.Flop = true }},
		"rotate":  {180. / 600, func(p *tasks.ResizeParams) { p.Rotate = 90 }},
		"linear":  {200. / 600, func(p *tasks.ResizeParams) { p.Linear = true }},
		"enlarge": {700. / 600, func(p *tasks.ResizeParams) { p.Width, p.Height, p.Enlarge = 700, 700, true }},
	} {
		m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) {
			p.Width, p.Height, p.Fit, p.Gravity = 180, 200, tasks.Cover, "smart"
			tt.change(p)
		}))
		if got, want := float64(stripes(m)), discArea(tt.scale); got < 0.9*want {
			t.Errorf("%s: %v pixels of the disc are left, want %.0f", name, got, want)
		}
	}
}

// TestSmartCropOfNothing keeps the middle where nothing is better than anything else, and leaves pictures alone of which nothing is cut off.
func TestSmartCropOfNothing(t *testing.T) {
	t.Parallel()
	flat := image.NewNRGBA(image.Rect(0, 0, 400, 200))
	for i := range 400 * 200 {
		flat.SetNRGBA(i%400, i/400, color.NRGBA{90, 92, uint8(88 + i%400/50), 255})
	}
	for name, m := range map[string]image.Image{"flat": flat, "thin": scene(400, 8), "tiny": scene(3, 2)} {
		for _, size := range []image.Point{{8, 8}, {1, 7}} {
			ask := func(gravity string) image.Image {
				out, _ := mustResize(t, encodePNG(t, m), params(func(p *tasks.ResizeParams) {
					p.Width, p.Height, p.Fit, p.Gravity = size.X, size.Y, tasks.Cover, gravity
				}))
				return out
			}
			if greatest, _ := difference(t, ask("smart"), ask("center")); greatest != 0 {
				t.Errorf("%s to %v: not the middle", name, size)
			}
		}
	}
	for _, fit := range []string{tasks.Inside, tasks.Contain, tasks.Fill} {
		ask := func(gravity string) image.Image {
			out, _ := mustResize(t, encodePNG(t, quadrants(90, 50)), params(func(p *tasks.ResizeParams) {
				p.Width, p.Height, p.Fit, p.Gravity = 40, 40, fit, gravity
			}))
			return out
		}
		if greatest, _ := difference(t, ask("smart"), ask("center")); greatest != 0 {
			t.Errorf("%s: smart differs from center", fit)
		}
	}
}

// TestSmartVariants: each variant finds the same thing, whatever its shape.
func TestSmartVariants(t *testing.T) {
	t.Parallel()
	data := encodePNG(t, something(900, 300, image.Pt(640, 140), 60))
	var variants []tasks.Variant
	for _, size := range []image.Point{{150, 150}, {80, 150}, {20, 30}, {300, 130}} {
		variants = append(variants, variant(fmt.Sprintf("%dx%d", size.X, size.Y), func(p *tasks.ResizeParams) {
			p.Width, p.Height, p.Fit, p.Gravity = size.X, size.Y, tasks.Cover, "smart"
		}))
	}
	host := new(taskstest.Host)
	if _, err := resizeAll(t.Context(), host, raster.New(), data, variants...); err != nil {
		t.Fatal(err)
	}
	for name, scale := range map[string]float64{"150x150|png": 0.5, "80x150|png": 0.5, "20x30|png": 0.1, "300x130|png": 130. / 300} {
		got, want := float64(stripes(decodeAs(t, tasks.PNG, host.Outputs()[name]))), discArea(scale)
		if got < 0.85*want {
			t.Errorf("%s: %v pixels of the disc are left, want %.0f", name, got, want)
		}
	}
}
