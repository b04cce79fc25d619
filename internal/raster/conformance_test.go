package raster_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vips"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// likeness is how alike the engines' pictures must be, by SSIM; and what a JPEG or AVIF of ordinary quality leaves of that where it rounds the noise of
// two pictures apart.
const (
	likeness      = 0.99
	lossyLikeness = 0.97
)

// withVips is the engine with libvips in front.
func withVips(t testing.TB) *raster.Engine {
	t.Helper()
	helpers := vips.New(vips.Config{Path: testenv.Vips(t), Helpers: 2, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(helpers.Close)
	return raster.New().With(helpers)
}

// native says whether libvips had a part in an output.
func native(o output) bool { return strings.HasPrefix(o.Engine, "vips/") }

// conforms holds the engines to each other: equal facts, equal sizes, pictures that nobody tells apart.
func conforms(t *testing.T, other *raster.Engine, data []byte, p tasks.ResizeParams, least float64) (ours, theirs output) {
	t.Helper()
	ours, err := resize(t.Context(), raster.New(), data, p)
	if err != nil {
		t.Fatalf("in Go: %v", err)
	}
	if theirs, err = resize(t.Context(), other, data, p); err != nil {
		t.Fatalf("by libvips: %v", err)
	}
	a, b := ours.Rendered, theirs.Rendered
	if a.Width != b.Width || a.Height != b.Height || a.Format != b.Format || a.HasAlpha != b.HasAlpha || a.Quality != b.Quality ||
		ours.extension != theirs.extension || ours.Source != theirs.Source {
		t.Errorf("in Go %+v of %+v as %s, by libvips %+v of %+v as %s", *a, ours.Source, ours.extension, *b, theirs.Source, theirs.extension)
	}
	if ours.Engine != raster.Name {
		t.Errorf("engine %q", ours.Engine)
	}
	m, n := decodeOutput(t, ours), decodeOutput(t, theirs)
	if got := ssim(m, n); got < least && m.Bounds().Dx() >= 8 && m.Bounds().Dy() >= 8 {
		t.Errorf("SSIM %.4f, want %v", got, least)
	}
	if ours.HasAlpha {
		if got := ssim(alphaOf(m), alphaOf(n)); got < least {
			t.Errorf("SSIM of the transparency %.4f, want %v", got, least)
		}
	}
	return ours, theirs
}

func alphaOf(m image.Image) image.Image {
	out := image.NewGray(m.Bounds())
	for i := range out.Pix {
		_, _, _, a := m.At(i%out.Rect.Dx(), i/out.Rect.Dx()).RGBA()
		out.Pix[i] = byte(a >> 8)
	}
	return out
}

// faded is a scene that becomes transparent to the right, with a hole.
func faded(w, h int) *image.NRGBA {
	m := scene(w, h)
	for y := range h {
		for x := range w {
			a := 255 - 255*x/w
			if (x-w/3)*(x-w/3)+(y-h/2)*(y-h/2) < h*h/16 {
				a = 0
			}
			m.Pix[m.PixOffset(x, y)+3] = byte(a)
		}
	}
	return m
}

func greyOf(m image.Image) *image.Gray {
	out := image.NewGray(m.Bounds())
	for i := range out.Pix {
		out.Set(i%out.Rect.Dx(), i/out.Rect.Dx(), m.At(i%out.Rect.Dx(), i/out.Rect.Dx()))
	}
	return out
}

func deep(m image.Image) *image.NRGBA64 {
	out := image.NewNRGBA64(m.Bounds())
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			c := color.NRGBA64Model.Convert(m.At(x, y)).(color.NRGBA64)
			c.G = uint16(min(65535, int(c.G)+x%256))
			out.SetNRGBA64(x, y, c)
		}
	}
	return out
}

func TestEnginesConform(t *testing.T) {
	t.Parallel()
	other := withVips(t)
	photo := encodeJPEG(t, scene(1201, 803), jpegn.EncodeOptions{Subsampling: jpegn.Subsample420})
	full := encodeJPEG(t, scene(600, 400), jpegn.EncodeOptions{Subsampling: jpegn.Subsample444})
	grey := encodeJPEG(t, greyOf(scene(640, 480)), jpegn.EncodeOptions{Subsampling: jpegn.SubsampleGray})
	flat := encodePNG(t, scene(500, 333))
	clear := encodePNG(t, faded(400, 300))
	type change = func(*tasks.ResizeParams)
	size := func(w, h int) change { return func(p *tasks.ResizeParams) { p.Width, p.Height = w, h } }
	also := func(all ...change) change {
		return func(p *tasks.ResizeParams) {
			for _, c := range all {
				c(p)
			}
		}
	}
	as := func(format string) change { return func(p *tasks.ResizeParams) { p.Format = format } }
	tests := []struct {
		name   string
		data   []byte
		change change
		native bool
	}{
		{"photo", photo, size(400, 0), true},
		{"photo to a thumbnail", photo, size(100, 0), true},
		{"photo to its half", photo, size(600, 0), true},
		{"photo a little smaller", photo, also(size(1100, 0), as(tasks.PNG)), true},
		{"photo as it is", photo, func(*tasks.ResizeParams) {}, true},
		{"photo to one row", photo, func(p *tasks.ResizeParams) { p.Width, p.Height, p.Fit = 300, 1, tasks.Fill }, true},
		{"photo to PNG", photo, also(size(400, 0), as(tasks.PNG)), true},
		{"photo to GIF", photo, also(size(200, 0), as(tasks.GIF)), true},
		{"photo to WebP", photo, also(size(400, 0), as(tasks.WebP)), true},
		{"photo to WebP without loss", photo, also(size(400, 0), as(tasks.WebP), func(p *tasks.ResizeParams) { p.Lossless = true }), true},
		{"photo to AVIF", photo, also(size(160, 0), as(tasks.AVIF)), true},
		{"photo to TIFF", photo, also(size(400, 0), as(tasks.TIFF)), true},
		{"transparency to WebP", clear, also(size(200, 0), as(tasks.WebP)), true},
		{"photo of best quality", photo, also(size(400, 0), func(p *tasks.ResizeParams) { p.Quality = 95 }), true},
		{"photo with all of its colours", full, size(300, 0), true},
		{"grey", grey, size(300, 0), true},
		{"PNG", flat, size(200, 0), true},
		{"PNG to JPEG", flat, also(size(200, 0), as(tasks.JPEG)), true},
		{"PNG of 16 bits", encodePNG(t, deep(scene(300, 200))), size(150, 0), true},
		{"grey PNG", encodePNG(t, greyOf(scene(300, 200))), size(150, 0), true},
		{"transparency", clear, size(200, 0), true},
		{"transparency as it is", clear, func(*tasks.ResizeParams) {}, true},
		{"transparency to JPEG", clear, also(size(200, 0), as(tasks.JPEG), func(p *tasks.ResizeParams) { p.Background = "#336699" }), true},

		{"outside", photo, also(size(300, 300), func(p *tasks.ResizeParams) { p.Fit = tasks.Outside }), true},
		{"cover", photo, also(size(300, 300), func(p *tasks.ResizeParams) { p.Fit = tasks.Cover }), true},
		{"cover in a corner", photo, also(size(301, 203), func(p *tasks.ResizeParams) { p.Fit, p.Gravity = tasks.Cover, "southeast" }), true},
		{"contain", photo, also(size(300, 300), func(p *tasks.ResizeParams) { p.Fit = tasks.Contain }), true},
		{"fill", photo, also(size(300, 300), func(p *tasks.ResizeParams) { p.Fit = tasks.Fill }), true},
		{"crop", photo, also(size(200, 0), func(p *tasks.ResizeParams) { p.Crop = &tasks.Crop{X: 333, Y: 177, Width: 501, Height: 401} }), true},
		{"crop between blocks", photo, also(size(50, 0), func(p *tasks.ResizeParams) { p.Crop = &tasks.Crop{X: 400, Y: 160, Width: 801, Height: 643} }), true},
		{"quarter turn", photo, also(size(300, 0), func(p *tasks.ResizeParams) { p.Rotate = 90 }), true},
		{"crop of a quarter turn", photo, also(size(201, 0), func(p *tasks.ResizeParams) {
			p.Rotate, p.Crop = 270, &tasks.Crop{X: 13, Y: 501, Width: 777, Height: 555}
		}), true},
		{"free turn", photo, also(size(300, 0), func(p *tasks.ResizeParams) { p.Rotate = 12.5 }), true},
		{"mirrors", photo, also(size(300, 0), func(p *tasks.ResizeParams) { p.Flip, p.Flop = true, true }), true},
		{"effects", photo, also(size(300, 0), func(p *tasks.ResizeParams) { p.Grayscale, p.Blur, p.Sharpen = true, 1, 1 }), true},
		{"linear kernel", photo, also(size(400, 0), func(p *tasks.ResizeParams) { p.Kernel = "linear" }), true},
		{"cubic kernel", photo, also(size(400, 0), func(p *tasks.ResizeParams) { p.Kernel = "cubic" }), true},
		{"Mitchell's kernel", photo, also(size(400, 0), func(p *tasks.ResizeParams) { p.Kernel = "mitchell" }), true},
		{"narrow Lanczos", photo, also(size(400, 0), func(p *tasks.ResizeParams) { p.Kernel = "lanczos2" }), true},

		{"enlarged", flat, also(size(800, 0), func(p *tasks.ResizeParams) { p.Enlarge = true }), false},
		{"nearest", photo, also(size(300, 0), func(p *tasks.ResizeParams) { p.Kernel = "nearest" }), false},
		{"linear light", photo, also(size(300, 0), func(p *tasks.ResizeParams) { p.Linear = true }), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			least := likeness
			if tt.name == "photo to AVIF" {
				least = lossyLikeness
			}
			if tt.name == "photo to GIF" {
				least = 0.75 // 256 colours, chosen and dithered anew: pixels that differ by one come out as different dots
			}
			if _, theirs := conforms(t, other, tt.data, params(tt.change), least); native(theirs) != tt.native {
				t.Errorf("done by %s, want by libvips %t", theirs.Engine, tt.native)
			}
		})
	}
}

func TestEnginesTurnAlike(t *testing.T) {
	t.Parallel()
	other := withVips(t)
	for orientation := uint16(1); orientation <= 8; orientation++ {
		for _, keep := range []bool{true, false} {
			t.Run(fmt.Sprint(orientation, keep), func(t *testing.T) {
				t.Parallel()
				data := encodeJPEG(t, quadrants(120, 80), jpegn.EncodeOptions{Subsampling: jpegn.Subsample444, Exif: exif(orientation)})
				for _, change := range []func(*tasks.ResizeParams){
					func(p *tasks.ResizeParams) { p.Width = 33 },
					func(p *tasks.ResizeParams) { p.Width, p.Height, p.Fit, p.Gravity = 30, 30, tasks.Cover, "northwest" },
					func(p *tasks.ResizeParams) { p.Flop, p.Rotate = true, 90 },
				} {
					p := params(change)
					p.AutoOrient, p.Format = keep, tasks.PNG
					ours, theirs := conforms(t, other, data, p, 0.98) // hard edges of pure colours through JPEG
					a, b := decodeOutput(t, ours), decodeOutput(t, theirs)
					for _, at := range [4][2]float64{{0.1, 0.1}, {0.9, 0.1}, {0.1, 0.9}, {0.9, 0.9}} {
						s := a.Bounds().Size()
						want := color.NRGBAModel.Convert(a.At(int(at[0]*float64(s.X)), int(at[1]*float64(s.Y)))).(color.NRGBA)
						if !near(b, at[0], at[1], want, 12) {
							t.Errorf("at %v: %v", at, want)
						}
					}
				}
			})
		}
	}
}

// TestEnginesSizeAlike looks for a size at which an engine rounds in its own way.
func TestEnginesSizeAlike(t *testing.T) {
	t.Parallel()
	other := withVips(t)
	seed := uint32(7)
	next := func(n int) int { seed = seed*1664525 + 1013904223; return int(seed>>8) % n }
	for range 60 {
		w, h := 1+next(400), 1+next(400)
		data := encodeJPEG(t, scene(w, h), jpegn.EncodeOptions{Subsampling: jpegn.Subsample420})
		p := params(func(p *tasks.ResizeParams) { p.Width, p.Fit = 1+next(w), tasks.Fill })
		if next(2) == 0 {
			p.Height = 1 + next(h)
		}
		if _, theirs := conforms(t, other, data, p, -1); !native(theirs) {
			t.Errorf("%d × %d to %d × %d: done by %s", w, h, p.Width, p.Height, theirs.Engine)
		}
	}
}

func TestEnginesMakeVariantsAlike(t *testing.T) {
	t.Parallel()
	other := withVips(t)
	data := encodeJPEG(t, scene(1000, 700), jpegn.EncodeOptions{Subsampling: jpegn.Subsample420, Exif: exif(6)})
	all := []tasks.Variant{
		variant("large.png", func(p *tasks.ResizeParams) { p.Width, p.Format = 500, tasks.PNG }),
		variant("grey.png", func(p *tasks.ResizeParams) { p.Width, p.Format, p.Grayscale = 240, tasks.PNG, true }),
		variant("small.png", func(p *tasks.ResizeParams) { p.Width, p.Height, p.Fit, p.Format = 60, 60, tasks.Cover, tasks.PNG }),
	}
	made := make(map[bool]map[string][]byte)
	for _, e := range []*raster.Engine{raster.New(), other} {
		host := new(taskstest.Host)
		result, err := resizeAll(t.Context(), host, e, data, all...)
		if err != nil {
			t.Fatal(err)
		}
		made[strings.HasPrefix(result.Engine, "vips/")] = host.Outputs()
	}
	if len(made[false]) != 3 || len(made[true]) != 3 {
		t.Fatalf("%d outputs in Go, %d by libvips", len(made[false]), len(made[true]))
	}
	for name, ours := range made[false] {
		a, errA := png.Decode(bytes.NewReader(ours))
		b, errB := png.Decode(bytes.NewReader(made[true][name]))
		if errA != nil || errB != nil {
			t.Fatalf("%s: %v, %v", name, errA, errB)
		}
		if got := ssim(a, b); got < likeness {
			t.Errorf("%s: SSIM %.4f", name, got)
		}
	}
}

// TestEnginesShare runs the collection by libvips and holds it to the manifest, and to what Go makes of it.
func TestEnginesShare(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(sharedDir, "manifest.json"))
	if err != nil {
		t.Skip("no collection of pictures beside the repository")
	}
	other := withVips(t)
	var manifest struct{ Images []sharedCase }
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatal(err)
	}
	for _, c := range manifest.Images {
		t.Run(c.File, func(t *testing.T) {
			t.Parallel()
			data := readFile(t, filepath.Join(sharedDir, c.File))
			p := params(func(p *tasks.ResizeParams) { p.Width = max(1, min(1000, c.Expect.Width/2)) })
			_, ourErr := resize(t.Context(), raster.New(), data, p)
			_, theirErr := resize(t.Context(), other, data, p)
			if c.Expect.Error != "" && codeOf(ourErr) != codeOf(theirErr) { // the manifest allows more than one end
				checkSharedError(t, c, theirErr)
				return
			}
			if ourErr != nil || theirErr != nil {
				if codeOf(ourErr) != codeOf(theirErr) {
					t.Errorf("in Go %v, by libvips %v", ourErr, theirErr)
				}
				return
			}
			conforms(t, other, data, p, lossyLikeness)
			if c.Expect.Format == tasks.JPEG {
				p.Format = tasks.PNG
				conforms(t, other, data, p, likeness)
			}
			if c.Expect.Width*c.Expect.Height > 4e6 {
				return
			}
			whole, err := resize(t.Context(), other, data, params(nil))
			if err != nil {
				t.Fatal(err)
			}
			checkSharedPixels(t, c, decodeOutput(t, whole))
		})
	}
}
