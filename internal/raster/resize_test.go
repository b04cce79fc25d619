package raster_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"testing"

	"github.com/disintegration/imaging"
	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
)

func TestFitsAndFormats(t *testing.T) {
	t.Parallel()
	data := encodePNG(t, quadrants(400, 200))
	for _, tt := range []struct {
		fit           string
		width, height int
		want          image.Point
	}{
		{tasks.Inside, 100, 100, image.Pt(100, 50)},
		{tasks.Outside, 100, 100, image.Pt(200, 100)},
		{tasks.Cover, 100, 100, image.Pt(100, 100)},
		{tasks.Contain, 100, 100, image.Pt(100, 100)},
		{tasks.Fill, 100, 100, image.Pt(100, 100)},
		{tasks.Inside, 0, 40, image.Pt(80, 40)},
		{tasks.Inside, 0, 0, image.Pt(400, 200)},
	} {
		for _, format := range []string{tasks.JPEG, tasks.PNG, tasks.GIF} {
			t.Run(fmt.Sprintf("%s %dx%d %s", tt.fit, tt.width, tt.height, format), func(t *testing.T) {
				t.Parallel()
				m, out := mustResize(t, data, params(func(p *tasks.ResizeParams) {
					p.Width, p.Height, p.Fit, p.Format = tt.width, tt.height, tt.fit, format
				}))
				if m.Bounds().Size() != tt.want {
					t.Errorf("size %v, want %v", m.Bounds().Size(), tt.want)
				}
				corners := [4]color.NRGBA{red, green, blue, yellow}
				if tt.fit == tasks.Contain {
					white := color.NRGBA{255, 255, 255, 255}
					corners = [4]color.NRGBA{white, white, white, white}
				}
				wantCorners(t, m, corners, 8)
				want := tasks.Rendered{Width: tt.want.X, Height: tt.want.Y, Format: format, Bytes: int64(len(out.data))}
				if format == tasks.JPEG {
					want.Quality = 80
				}
				if got := *out.Rendered; got != want || out.Engine != raster.Name || out.Source != (tasks.Source{Width: 400, Height: 200, Format: "png"}) {
					t.Errorf("result %+v of %+v by %s, want %+v", got, out.Source, out.Engine, want)
				}
			})
		}
	}
}

// TestOrientation shrinks pictures that are stored in all eight ways, in odd sizes and with every subsampling, so that planes and not only
// whole pixels have to be turned right.
func TestOrientation(t *testing.T) {
	t.Parallel()
	upright := quadrants(161, 95)
	for o := uint16(1); o <= 8; o++ {
		stored := lay(upright, o)
		for name, sub := range map[string]jpegn.Subsampling{
			"444": jpegn.Subsample444, "440": jpegn.Subsample440, "422": jpegn.Subsample422, "420": jpegn.Subsample420, "grey": jpegn.SubsampleGray,
		} {
			data := encodeJPEG(t, stored, jpegn.EncodeOptions{Subsampling: sub, Exif: exif(o)})
			for _, format := range []string{tasks.JPEG, tasks.PNG} {
				t.Run(fmt.Sprintf("%d %s %s", o, name, format), func(t *testing.T) {
					t.Parallel()
					m, out := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width, p.Format = 71, format }))
					if m.Bounds().Size() != image.Pt(71, 42) || out.Source.Width != 161 || out.Source.Height != 95 {
						t.Errorf("size %v of %+v", m.Bounds().Size(), out.Source)
					}
					corners := [4]color.NRGBA{red, green, blue, yellow}
					if name == "grey" {
						for i, c := range corners {
							g := color.GrayModel.Convert(c).(color.Gray).Y
							corners[i] = color.NRGBA{g, g, g, 255}
						}
					}
					wantCorners(t, m, corners, 12)
				})
			}
		}
		t.Run(fmt.Sprintf("%d png", o), func(t *testing.T) {
			t.Parallel()
			data := withChunk(encodePNG(t, stored), "eXIf", exif(o)[6:])
			m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width = 71 }))
			wantCorners(t, m, [4]color.NRGBA{red, green, blue, yellow}, 4)
		})
	}
}

// lay stores an upright picture so that orientation o puts it right again.
func lay(m image.Image, o uint16) image.Image {
	switch o {
	case 2:
		return imaging.FlipH(m)
	case 3:
		return imaging.Rotate180(m)
	case 4:
		return imaging.FlipV(m)
	case 5:
		return imaging.Transpose(m)
	case 6:
		return imaging.Rotate90(m) // counter-clockwise
	case 7:
		return imaging.Transverse(m)
	case 8:
		return imaging.Rotate270(m)
	}
	return m
}

// TestChromaStaysInPlace mirrors an edge of colour alone: it must come to lie where the pixels do, also where an odd side leaves half a chroma
// sample at one end.
func TestChromaStaysInPlace(t *testing.T) {
	t.Parallel()
	const w, h, edge = 203, 151, 102
	src := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	for i := range src.Y {
		src.Y[i] = 128
	}
	for i := range src.Cb {
		src.Cb[i], src.Cr[i] = 60, 128
		if i%src.CStride >= edge/2 {
			src.Cb[i] = 200
		}
	}
	data := encodeJPEG(t, src, jpegn.EncodeOptions{Subsampling: jpegn.Subsample420})
	for _, tt := range []struct {
		name   string
		change func(*tasks.ResizeParams)
		left   float64 // how many columns of the first row have the left colour
		level  float64 // of Cb on the left
	}{
		{"as it is", func(p *tasks.ResizeParams) {}, edge, 60},
		{"flop", func(p *tasks.ResizeParams) { p.Flop = true }, w - edge, 200},
		{"rotated by 180°", func(p *tasks.ResizeParams) { p.Rotate = 180 }, w - edge, 200},
		{"rotated by 90° and shrunk", func(p *tasks.ResizeParams) { p.Rotate, p.Height = 90, 101 }, 0, 0},
	} {
		m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Quality = 89; tt.change(p) }))
		c := m.(*image.YCbCr)
		if tt.level == 0 {
			// The edge lies across now: both halves of the rows must have their own colour.
			if top, bottom := c.YCbCrAt(30, 47).Cb, c.YCbCrAt(30, 58).Cb; top > 66 || bottom < 194 {
				t.Errorf("%s: Cb is %d above the edge and %d below", tt.name, top, bottom)
			}
			continue
		}
		row := c.Cb[c.COffset(0, h/2):][:c.CStride]
		left := 0.0
		for _, v := range row[:(w+1)/2] {
			left += 2 * (float64(v) - (260 - tt.level)) / (tt.level - (260 - tt.level))
		}
		if left < tt.left-0.4 || left > tt.left+0.4 {
			t.Errorf("%s: the left colour has %.2f columns, want %v", tt.name, left, tt.left)
		}
	}
}

func TestRotateFlipFlop(t *testing.T) {
	t.Parallel()
	data := encodePNG(t, quadrants(60, 40))
	for _, tt := range []struct {
		name   string
		change func(*tasks.ResizeParams)
		want   [4]color.NRGBA
	}{
		{"90", func(p *tasks.ResizeParams) { p.Rotate = 90 }, [4]color.NRGBA{blue, red, yellow, green}},
		{"180", func(p *tasks.ResizeParams) { p.Rotate = 180 }, [4]color.NRGBA{yellow, blue, green, red}},
		{"270", func(p *tasks.ResizeParams) { p.Rotate = 270 }, [4]color.NRGBA{green, yellow, red, blue}},
		{"flip", func(p *tasks.ResizeParams) { p.Flip = true }, [4]color.NRGBA{blue, yellow, red, green}},
		{"flop", func(p *tasks.ResizeParams) { p.Flop = true }, [4]color.NRGBA{green, red, yellow, blue}},
		{"90, then flip", func(p *tasks.ResizeParams) { p.Rotate, p.Flip = 90, true }, [4]color.NRGBA{yellow, green, blue, red}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, _ := mustResize(t, data, params(tt.change))
			wantCorners(t, m, tt.want, 0)
		})
	}
}

// TestCropOfATurnedPicture crops in coordinates of the upright picture.
func TestCropOfATurnedPicture(t *testing.T) {
	t.Parallel()
	data := encodeJPEG(t, lay(quadrants(160, 96), 6), jpegn.EncodeOptions{Subsampling: jpegn.Subsample444, Exif: exif(6)})
	m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) {
		p.Format, p.Crop, p.Width = tasks.PNG, &tasks.Crop{X: 80, Y: 0, Width: 80, Height: 48}, 20
	}))
	if m.Bounds().Size() != image.Pt(20, 12) {
		t.Errorf("size %v, want 20 × 12", m.Bounds().Size())
	}
	wantCorners(t, m, [4]color.NRGBA{green, green, green, green}, 6)
}

func TestSubsampledJPEGLikeAFullDecode(t *testing.T) {
	t.Parallel()
	src := scene(600, 450)
	for name, sub := range map[string]jpegn.Subsampling{
		"444": jpegn.Subsample444, "440": jpegn.Subsample440, "422": jpegn.Subsample422, "420": jpegn.Subsample420, "grey": jpegn.SubsampleGray,
	} {
		data := encodeJPEG(t, src, jpegn.EncodeOptions{Subsampling: sub})
		full, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		widths := []int{199}
		if sub == jpegn.Subsample420 {
			widths = []int{550, 199, 140, 70} // decoded whole, by halves, quarters and eighths
		}
		for _, width := range widths {
			t.Run(fmt.Sprint(name, " ", width), func(t *testing.T) {
				t.Parallel()
				want := imaging.Resize(full, width, 0, imaging.Lanczos)
				m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width, p.Format = width, tasks.PNG }))
				if got := ssim(want, m); got < 0.99 { // the decoder's own shrinking is a box, not a Lanczos
					t.Errorf("SSIM %.4f against imaging's Lanczos of the full picture", got)
				}
				// A JPEG must lose no more by our road than by the plain one.
				m, _ = mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width = width }))
				got, plain := ssim(want, m), ssim(want, throughJPEG(t, want))
				if got < plain-0.006 {
					t.Errorf("JPEG: SSIM %.4f, %.4f with imaging and the standard encoder", got, plain)
				}
			})
		}
	}
}

func throughJPEG(t *testing.T, m image.Image) image.Image {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 80}); err != nil {
		t.Fatal(err)
	}
	out, err := jpeg.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNRGBALikeImaging(t *testing.T) {
	t.Parallel()
	src := scene(320, 240)
	data := encodePNG(t, src)
	for _, width := range []int{319, 160, 47, 450} {
		m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width, p.Enlarge = width, true }))
		filter := imaging.Lanczos
		if width > 320 {
			filter = imaging.CatmullRom
		}
		if got := ssim(imaging.Resize(src, width, 0, filter), m); got < 0.998 {
			t.Errorf("width %d: SSIM %.5f against imaging", width, got)
		}
	}
}

// TestNoFringe shrinks a red disc on transparent blue: what cannot be seen must not bleed into what can.
func TestNoFringe(t *testing.T) {
	t.Parallel()
	src := image.NewNRGBA(image.Rect(0, 0, 200, 200))
	for y := range 200 {
		for x := range 200 {
			c := color.NRGBA{0, 0, 255, 0}
			if (x-100)*(x-100)+(y-100)*(y-100) < 80*80 {
				c = color.NRGBA{255, 0, 0, 255}
			}
			src.SetNRGBA(x, y, c)
		}
	}
	m, _ := mustResize(t, encodePNG(t, src), params(func(p *tasks.ResizeParams) { p.Width = 37 }))
	half := false
	for i := range 37 * 37 {
		c := m.(*image.NRGBA).NRGBAAt(i%37, i/37)
		half = half || c.A > 64 && c.A < 192
		if c.A > 8 && (c.B > 2 || c.R < 250) {
			t.Fatalf("(%d, %d) = %v", i%37, i/37, c)
		}
	}
	if !half {
		t.Error("the disc's edge is not smooth")
	}
}

func TestFlatten(t *testing.T) {
	t.Parallel()
	src := image.NewNRGBA(image.Rect(0, 0, 16, 16))
	for i := range 256 {
		src.SetNRGBA(i%16, i/16, color.NRGBA{255, 0, 0, 128})
	}
	data := encodePNG(t, src)
	for background, want := range map[string]color.NRGBA{
		"#ffffff": {255, 127, 127, 255}, "#000": {128, 0, 0, 255}, "transparent": {255, 127, 127, 255}, "#0000ff80": {191, 63, 127, 255},
	} {
		m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Format, p.Background, p.Quality = tasks.JPEG, background, 95 }))
		if !near(m, 0.5, 0.5, want, 4) {
			t.Errorf("on %s: %v, want %v", background, m.At(8, 8), want)
		}
	}
}

func TestKernelIsWideEnough(t *testing.T) {
	t.Parallel()
	lines := image.NewNRGBA(image.Rect(0, 0, 256, 256))
	for i := range 256 * 256 {
		v := byte(255 * (i % 2))
		copy(lines.Pix[4*i:], []byte{v, v, v, 255})
	}
	m, _ := mustResize(t, encodePNG(t, lines), params(func(p *tasks.ResizeParams) { p.Width = 128 }))
	for x := 8; x < 120; x++ {
		if got := luma(m, x, 60); got < 124 || got > 131 {
			t.Fatalf("lines of one pixel, halved, are %v at %d, want 127 or 128", got, x)
		}
	}
}

func TestEffects(t *testing.T) {
	t.Parallel()
	src := scene(160, 120)
	data := encodePNG(t, src)
	grey, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Grayscale = true }))
	if _, ok := grey.(*image.Gray); !ok {
		t.Errorf("grayscale gave a %T", grey)
	}
	if got := ssim(grey, src); got < 0.99 {
		t.Errorf("grayscale changed the brightness: SSIM %.4f", got)
	}
	for _, sigma := range []float64{0.5, 3, 12, 40} {
		m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Blur = sigma }))
		want := imaging.Blur(src, sigma)
		if got := ssim(m, want); got < 0.99 {
			t.Errorf("blur %v: SSIM %.4f against imaging", sigma, got)
		}
	}
	m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Sharpen = 1.5 }))
	if got := ssim(m, imaging.Sharpen(src, 1.5)); got < 0.999 {
		t.Errorf("sharpen: SSIM %.4f against imaging", got)
	}
	if got := ssim(m, src); got > 0.98 {
		t.Errorf("sharpen changed nothing: SSIM %.4f", got)
	}
}

func TestPNGKeepsItsTransparentCorners(t *testing.T) {
	t.Parallel()
	m, _ := mustResize(t, encodePNG(t, quadrants(20, 20)), params(func(p *tasks.ResizeParams) {
		p.Width, p.Height, p.Fit, p.Background = 40, 20, tasks.Contain, "transparent"
	}))
	if got := m.(*image.NRGBA).NRGBAAt(0, 10); got.A != 0 {
		t.Errorf("the canvas is %v, want transparent", got)
	}
	if !near(m, 0.5+1.0/40, 0.1, green, 0) {
		t.Errorf("the picture is not in the middle")
	}
}
