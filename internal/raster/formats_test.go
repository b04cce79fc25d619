package raster_test

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/tasks"
)

func TestOtherEncoders(t *testing.T) {
	t.Parallel()
	top, bottom := color.NRGBA{0xC0, 0x30, 0x20, 255}, color.NRGBA{0x20, 0x40, 0xC0, 255}
	for _, tt := range []struct {
		file      string
		tolerance int
	}{{"cmyk.jpg", 12}, {"lossy.webp", 12}, {"lossless.webp", 2}} {
		m, out := mustResize(t, readFile(t, "testdata/"+tt.file), params(func(p *tasks.ResizeParams) { p.Width, p.Quality, p.Format = 24, 95, tasks.JPEG }))
		if out.Width != 24 || out.Height != 16 || out.Format != "jpeg" || out.extension != "jpg" {
			t.Errorf("%s: %+v, .%s", tt.file, out.ResizeResult, out.extension)
		}
		if !near(m, 0.5, 0, top, tt.tolerance+12) || !near(m, 0.5, 0.99, bottom, tt.tolerance+12) {
			t.Errorf("%s: %v above and %v below", tt.file, m.At(12, 0), m.At(12, 15))
		}
	}
	m, _ := mustResize(t, readFile(t, "testdata/progressive.jpg"), params(func(p *tasks.ResizeParams) { p.Width = 12 }))
	if !near(m, 0.5, 0.05, color.NRGBA{235, 0, 16, 255}, 24) || !near(m, 0.5, 0.95, color.NRGBA{16, 0, 235, 255}, 24) {
		t.Errorf("progressive: %v above and %v below", m.At(6, 0), m.At(6, 7))
	}
}

// TestWhiteWebPIsWhite: lossy WebP stores white as a luma of 235.
func TestWhiteWebPIsWhite(t *testing.T) {
	t.Parallel()
	m, _ := mustResize(t, readFile(t, "testdata/white.webp"), params(nil))
	if !near(m, 0.5, 0.5, color.NRGBA{255, 255, 255, 255}, 1) {
		t.Errorf("%v, want white", m.At(8, 8))
	}
	m, _ = mustResize(t, readFile(t, "testdata/white-alpha.webp"), params(nil))
	if !near(m, 0.5, 0.5, color.NRGBA{255, 255, 255, 128}, 2) {
		t.Errorf("half transparent: %v, want white", m.At(8, 8))
	}
}

// TestExtendedJPEG goes to the standard decoder, which reads what the scaling one does not.
func TestExtendedJPEG(t *testing.T) {
	t.Parallel()
	data := patch(encodeJPEG(t, quadrants(160, 96), jpegn.EncodeOptions{}), 0xC1, 0)
	m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width = 40 }))
	wantCorners(t, m, [4]color.NRGBA{red, green, blue, yellow}, 8)
}

func TestWebPStaysWebP(t *testing.T) {
	t.Parallel()
	for _, lossless := range []bool{false, true} {
		m, out := mustResize(t, readFile(t, "testdata/lossy-alpha.webp"), params(func(p *tasks.ResizeParams) { p.Lossless = lossless }))
		if out.Format != "webp" || out.extension != "webp" || !out.HasAlpha || (out.Quality == 0) != lossless {
			t.Errorf("%+v, .%s", out.ResizeResult, out.extension)
		}
		_, _, _, a := m.At(24, 31).RGBA()
		if !near(m, 0.5, 0, color.NRGBA{0xC0, 0x30, 0x20, 255}, 24) || a>>8 > 20 {
			t.Errorf("lossless %v: %v above, %v below", lossless, m.At(24, 0), m.At(24, 31))
		}
	}
}

func TestGIFFrameOnItsCanvas(t *testing.T) {
	t.Parallel()
	palette := color.Palette{color.NRGBA{}, red, blue}
	frame := image.NewPaletted(image.Rect(10, 5, 20, 15), palette)
	for i := range frame.Pix {
		frame.Pix[i] = 1
	}
	second := image.NewPaletted(image.Rect(0, 0, 40, 30), palette)
	data := encodeGIF(t, &gif.GIF{Image: []*image.Paletted{frame, second}, Delay: []int{1, 1}, Config: image.Config{Width: 40, Height: 30, ColorModel: palette}})
	m, out := mustResize(t, data, params(nil))
	if out.Width != 40 || out.Height != 30 || out.Format != "gif" || out.Source.Frames != 2 {
		t.Fatalf("%+v", out.ResizeResult)
	}
	for _, tt := range []struct {
		x, y int
		want color.NRGBA
	}{{0, 0, color.NRGBA{}}, {9, 5, color.NRGBA{}}, {10, 5, red}, {19, 14, red}, {20, 14, color.NRGBA{}}, {39, 29, color.NRGBA{}}} {
		if got := color.NRGBAModel.Convert(m.At(tt.x, tt.y)); got != tt.want {
			t.Errorf("(%d, %d) = %v, want %v", tt.x, tt.y, got, tt.want)
		}
	}
}

func TestDeepPNG(t *testing.T) {
	t.Parallel()
	deep := image.NewGray16(image.Rect(0, 0, 40, 40))
	for i := range 1600 {
		deep.SetGray16(i%40, i/40, color.Gray16{Y: 0x8000})
	}
	m, _ := mustResize(t, encodePNG(t, deep), params(func(p *tasks.ResizeParams) { p.Width = 10 }))
	if got := m.At(5, 5); got != (color.Gray{Y: 128}) {
		t.Errorf("a 16-bit grey of one half became %#v", got)
	}
	alpha := image.NewNRGBA64(image.Rect(0, 0, 40, 40))
	for i := range 1600 {
		alpha.SetNRGBA64(i%40, i/40, color.NRGBA64{0xFFFF, 0x8080, 0, 0x4040})
	}
	m, _ = mustResize(t, encodePNG(t, alpha), params(func(p *tasks.ResizeParams) { p.Width = 10 }))
	if got := m.At(5, 5); got != (color.NRGBA{255, 128, 0, 64}) {
		t.Errorf("16-bit colour with transparency became %v", got)
	}
}

func TestGIFColours(t *testing.T) {
	t.Parallel()
	few := quadrants(64, 64)
	m, _ := mustResize(t, encodePNG(t, few), params(func(p *tasks.ResizeParams) { p.Format = tasks.GIF }))
	wantCorners(t, m, [4]color.NRGBA{red, green, blue, yellow}, 0)
	many := scene(320, 240)
	m, _ = mustResize(t, encodePNG(t, many), params(func(p *tasks.ResizeParams) { p.Format = tasks.GIF }))
	if got := ssim(m, many); got < 0.75 {
		t.Errorf("256 colours: SSIM %.4f", got)
	}
}

// TestEveryPNGKind resizes each kind of picture that the PNG decoder makes.
func TestEveryPNGKind(t *testing.T) {
	t.Parallel()
	src := quadrants(64, 48)
	rect := src.Rect
	paletted := image.NewPaletted(rect, color.Palette{red, green, blue, yellow})
	rgba64, nrgba64 := image.NewRGBA64(rect), image.NewNRGBA64(rect)
	for y := range 48 {
		for x := range 64 {
			for _, m := range []interface{ Set(int, int, color.Color) }{paletted, rgba64, nrgba64} {
				m.Set(x, y, src.At(x, y))
			}
		}
	}
	for _, m := range []image.Image{paletted, rgba64, nrgba64, src} {
		var b bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		got, _ := mustResize(t, b.Bytes(), params(func(p *tasks.ResizeParams) { p.Width = 31 }))
		wantCorners(t, got, [4]color.NRGBA{red, green, blue, yellow}, 1)
	}
}
