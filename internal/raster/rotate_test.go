package raster_test

import (
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
)

// tilted is the size of a picture turned by an angle, by the documented formula.
func tilted(w, h int, degrees float64) image.Point {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	side := func(a, b float64) int { return int(math.Round(math.Abs(a) + math.Abs(b))) }
	return image.Pt(side(float64(w)*cos, float64(h)*sin), side(float64(w)*sin, float64(h)*cos))
}

func TestRotateGrowsTheCanvas(t *testing.T) {
	t.Parallel()
	sizes := map[float64]image.Point{
		0: {400, 200}, 360: {400, 200}, 90: {200, 400}, 45: {424, 424}, 30: {446, 373}, 150: {446, 373}, 89.9: {201, 400}, 0.01: {400, 200}, 210.5: {446, 375}, 359.5: {402, 203},
	}
	data := encodePNG(t, quadrants(400, 200))
	for degrees, want := range sizes {
		if formula := tilted(400, 200, degrees); formula != want && math.Mod(degrees, 90) != 0 {
			t.Fatalf("%v degrees: the formula gives %v, the table %v", degrees, formula, want)
		}
		m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Rotate, p.Background = degrees, "#102030" }))
		if got := m.Bounds().Size(); got != want {
			t.Errorf("%v degrees: %v, want %v", degrees, got, want)
		}
		wantTurned(t, m, degrees, color.NRGBA{0x10, 0x20, 0x30, 255})
	}
	for _, size := range []image.Point{{1, 1}, {1, 100}, {333, 2}} {
		m, _ := mustResize(t, encodePNG(t, quadrants(size.X, size.Y)), params(func(p *tasks.ResizeParams) { p.Rotate = 33 }))
		if got, want := m.Bounds().Size(), tilted(size.X, size.Y, 33); got != want {
			t.Errorf("%v: %v, want %v", size, got, want)
		}
	}
}

// wantTurned looks for the middles of a 400 × 200 picture's quadrants where a clockwise turn around the middle puts them, and beyond its corners.
func wantTurned(t *testing.T, m image.Image, degrees float64, background color.NRGBA) {
	t.Helper()
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	size := m.Bounds().Size()
	at := func(dx, dy float64) color.Color {
		return m.At(int(float64(size.X)/2+dx*cos-dy*sin), int(float64(size.Y)/2+dx*sin+dy*cos))
	}
	colors := [4]color.NRGBA{red, green, blue, yellow}
	for i, c := range colors {
		dx, dy := []float64{-100, 100}[i%2], []float64{-50, 50}[i/2]
		for _, near := range [][2]float64{{0, 0}, {-90, -40}, {90, 40}, {-90, 40}, {90, -40}} {
			if got := color.NRGBAModel.Convert(at(dx+near[0], dy+near[1])); got != c {
				t.Errorf("%v degrees: %v at (%v, %v) from the middle, want %v", degrees, got, dx+near[0], dy+near[1], c)
			}
		}
	}
	if math.Mod(degrees, 90) > 1 && math.Mod(degrees, 90) < 89 {
		for _, x := range []int{0, size.X - 1} {
			for _, y := range []int{0, size.Y - 1} {
				if got := color.NRGBAModel.Convert(m.At(x, y)); got != background {
					t.Errorf("%v degrees: the corner %d, %d is %v", degrees, x, y, got)
				}
			}
		}
	}
}

// difference is the greatest and the mean difference between two pictures' channels.
func difference(t *testing.T, a, b image.Image) (greatest, mean float64) {
	t.Helper()
	size := a.Bounds().Size()
	if size != b.Bounds().Size() {
		t.Fatalf("%v and %v", size, b.Bounds().Size())
	}
	for y := range size.Y {
		for x := range size.X {
			p, q := color.NRGBAModel.Convert(a.At(x, y)).(color.NRGBA), color.NRGBAModel.Convert(b.At(x, y)).(color.NRGBA)
			for _, c := range [][2]uint8{{p.R, q.R}, {p.G, q.G}, {p.B, q.B}, {p.A, q.A}} {
				d := math.Abs(float64(c[0]) - float64(c[1]))
				greatest, mean = max(greatest, d), mean+d
			}
		}
	}
	return greatest, mean / float64(4*size.X*size.Y)
}

// TestRotateThenMirrorThenCrop: the order of things, each held against doing it afterwards to the rotated picture.
func TestRotateThenMirrorThenCrop(t *testing.T) {
	t.Parallel()
	data := encodePNG(t, scene(161, 95))
	turn := func(change func(*tasks.ResizeParams)) image.Image {
		m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) {
			p.Rotate = 25
			if change != nil {
				change(p)
			}
		}))
		return m
	}
	plain := encodePNG(t, turn(nil))
	again := func(change func(*tasks.ResizeParams)) image.Image {
		m, _ := mustResize(t, plain, params(change))
		return m
	}
	for name, change := range map[string]func(*tasks.ResizeParams){
		"flip":          func(p *tasks.ResizeParams) { p.Flip = true },
		"flop":          func(p *tasks.ResizeParams) { p.Flop = true },
		"both":          func(p *tasks.ResizeParams) { p.Flip, p.Flop = true, true },
		"crop":          func(p *tasks.ResizeParams) { p.Crop = &tasks.Crop{X: 50, Y: 40, Width: 71, Height: 33} },
		"crop of edges": func(p *tasks.ResizeParams) { p.Crop = &tasks.Crop{X: 0, Y: 0, Width: 186, Height: 12} },
		"contain": func(p *tasks.ResizeParams) {
			p.Width, p.Height, p.Fit, p.Background = 300, 300, tasks.Contain, "#ffffff"
		},
	} {
		if greatest, _ := difference(t, turn(change), again(change)); greatest > 2 {
			t.Errorf("%s: differs by %v from the same done to the rotated picture", name, greatest)
		}
	}
	for name, change := range map[string]func(*tasks.ResizeParams){
		"shrunk":   func(p *tasks.ResizeParams) { p.Width = 70 },
		"covering": func(p *tasks.ResizeParams) { p.Width, p.Height, p.Fit, p.Gravity = 40, 61, tasks.Cover, "east" },
		"filling":  func(p *tasks.ResizeParams) { p.Width, p.Height, p.Fit = 120, 50, tasks.Fill },
		"enlarged": func(p *tasks.ResizeParams) { p.Width, p.Enlarge = 400, true },
		"flopped crop": func(p *tasks.ResizeParams) {
			p.Flop, p.Crop, p.Height = true, &tasks.Crop{X: 20, Y: 20, Width: 100, Height: 100}, 40
		},
	} {
		a, b := turn(change), again(change)
		if _, mean := difference(t, a, b); mean > 2.5 || ssim(a, b) < 0.97 {
			t.Errorf("%s: SSIM %.4f and a mean difference of %.2f from the same done to the rotated picture", name, ssim(a, b), mean)
		}
	}
	if err := refuse(t, data, func(p *tasks.ResizeParams) { p.Rotate, p.Crop = 25, &tasks.Crop{X: 180, Width: 8, Height: 1} }); codeOf(err) != millrace.CodeInvalidInput {
		t.Errorf("a crop beyond the canvas of 186 columns: %v", err)
	}
}

func refuse(t *testing.T, data []byte, change func(*tasks.ResizeParams)) error {
	t.Helper()
	_, err := resize(t.Context(), raster.New(), data, params(change))
	return err
}

// TestRotateWhatLiesOnItsSide turns pictures that are stored in all eight ways.
func TestRotateWhatLiesOnItsSide(t *testing.T) {
	t.Parallel()
	upright := quadrants(160, 96)
	ask := func(p *tasks.ResizeParams) { p.Rotate, p.Width, p.Quality, p.Flop = 20, 90, 95, true }
	want, _ := mustResize(t, encodePNG(t, upright), params(func(p *tasks.ResizeParams) { ask(p); p.Format = tasks.PNG }))
	for o := uint16(1); o <= 8; o++ {
		data := encodeJPEG(t, lay(upright, o), jpegn.EncodeOptions{Subsampling: jpegn.Subsample444, Exif: exif(o)})
		m, out := mustResize(t, data, params(ask))
		if _, mean := difference(t, m, want); mean > 4 || out.Source.Width != 160 {
			t.Errorf("orientation %d: a mean difference of %.1f, source %+v", o, mean, out.Source)
		}
	}
}

// TestRotateKeepsColoursClean: nothing of what cannot be seen bleeds into the slanted edges, flat areas stay flat, and grey stays grey.
func TestRotateKeepsColoursClean(t *testing.T) {
	t.Parallel()
	m := image.NewNRGBA(image.Rect(0, 0, 60, 60))
	for i := range 3600 {
		c := color.NRGBA{0, 0, 255, 0}
		if x, y := i%60, i/60; x > 15 && x < 45 && y > 15 && y < 45 {
			c = color.NRGBA{200, 40, 0, 255}
		}
		m.SetNRGBA(i%60, i/60, c)
	}
	out, _ := mustResize(t, encodePNG(t, m), params(func(p *tasks.ResizeParams) { p.Rotate, p.Background = 37, "transparent" }))
	partly := 0
	for i := range out.Bounds().Dx() * out.Bounds().Dy() {
		c := color.NRGBAModel.Convert(out.At(i%out.Bounds().Dx(), i/out.Bounds().Dx())).(color.NRGBA)
		if c.A > 16 && (c.B > 4 || c.R < 190) {
			t.Fatalf("%v at an edge", c)
		}
		if c.A > 60 && c.A < 200 {
			partly++
		}
	}
	if c := out.At(0, 0).(color.NRGBA); c.A != 0 || partly < 30 {
		t.Errorf("the corner is %v, %d pixels of the edge are smooth", c, partly)
	}
	grey := image.NewGray(image.Rect(0, 0, 50, 30))
	for i := range grey.Pix {
		grey.Pix[i] = 128
	}
	out, _ = mustResize(t, encodePNG(t, grey), params(func(p *tasks.ResizeParams) { p.Rotate = 12 }))
	flat, ok := out.(*image.Gray)
	if !ok {
		t.Fatalf("grey on white became a %T", out)
	}
	for _, v := range flat.Pix {
		if v < 128 {
			t.Fatalf("a flat picture of 128 on white has a %d", v)
		}
	}
	if c := flat.GrayAt(flat.Rect.Dx()/2, flat.Rect.Dy()/2); c.Y != 128 {
		t.Errorf("the middle is %v", c)
	}
	out, _ = mustResize(t, encodePNG(t, grey), params(func(p *tasks.ResizeParams) { p.Rotate, p.Background = 12, "#f00" }))
	if got := color.NRGBAModel.Convert(out.At(0, 0)); got != (color.NRGBA{255, 0, 0, 255}) {
		t.Errorf("grey on red has a corner of %v", got)
	}
	jpg, _ := mustResize(t, encodePNG(t, m), params(func(p *tasks.ResizeParams) { p.Rotate, p.Format, p.Background = 37, tasks.JPEG, "transparent" }))
	if !near(jpg, 0, 0, color.NRGBA{255, 255, 255, 255}, 2) {
		t.Errorf("a transparent corner in a JPEG is %v", jpg.At(0, 0))
	}
}

func TestRotateEveryFormat(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"cmyk.jpg", "progressive.jpg", "lossy.webp", "lossless.webp", "lossy-alpha.webp"} {
		for _, kernel := range []string{tasks.KernelAuto, tasks.KernelNearest} {
			m, out := mustResize(t, readFile(t, "testdata/"+file), params(func(p *tasks.ResizeParams) { p.Rotate, p.Kernel, p.Width, p.Format = 300, kernel, 20, tasks.PNG }))
			if m.Bounds().Dx() != 20 || !near(m, 0, 0, color.NRGBA{255, 255, 255, 255}, 8) {
				t.Errorf("%s by %s: %+v, corner %v", file, kernel, *out.Rendered, m.At(0, 0))
			}
		}
	}
}
