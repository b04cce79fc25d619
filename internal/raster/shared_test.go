package raster_test

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

// sharedDir holds a large collection of pictures beside the repository, where somebody has put one.
const sharedDir = "../../../shared/testdata/images"

type sharedCase struct {
	File   string
	Kind   string
	Expect struct {
		Width, Height, Frames int
		Format, Error         string
	}
	Check struct {
		Corners   map[string][3]uint8
		Tolerance int
		Pixels    [][3]json.RawMessage
		AlphaAt   [][3]float64 `json:"alpha_at"`
		Gray      bool
		Alpha     bool
		NoFringe  bool     `json:"no_blue_fringe"`
		Flat      []int    `json:"flat_after_half"`
		Absent    []string `json:"absent_in_output"`
	}
}

// TestShared runs the collection and holds each picture to what its manifest says.
func TestShared(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(sharedDir, "manifest.json"))
	if err != nil {
		t.Skip("no collection of pictures beside the repository")
	}
	var manifest struct{ Images []sharedCase }
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatal(err)
	}
	for _, c := range manifest.Images {
		t.Run(c.File, func(t *testing.T) {
			t.Parallel()
			runShared(t, c, readFile(t, filepath.Join(sharedDir, c.File)))
		})
	}
}

func runShared(t *testing.T, c sharedCase, data []byte) {
	p := params(nil)
	if c.Expect.Width*c.Expect.Height > 4e6 {
		p.Width = 1000
	}
	out, err := resize(t.Context(), engine(), data, p)
	if err != nil || c.Expect.Error != "" {
		checkSharedError(t, c, err)
		return
	}
	m := decodeOutput(t, out)
	if out.Source.Width != c.Expect.Width || out.Source.Height != c.Expect.Height || out.Source.Format != c.Expect.Format {
		t.Errorf("source %+v, want %+v", out.Source, c.Expect)
	}
	for _, secret := range c.Check.Absent {
		if bytes.Contains(out.data, []byte(secret)) {
			t.Errorf("the output contains %q", secret)
		}
	}
	checkSharedPixels(t, c, m)
	if len(c.Check.Flat) > 0 {
		half, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width = c.Expect.Width / 2 }))
		if got := luma(half, 100, 100); math.Abs(got-float64(c.Check.Flat[0])) > 4 {
			t.Errorf("halved it is %v, want %d", got, c.Check.Flat[0])
		}
	}
	if c.Check.NoFringe {
		small, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width, p.Format = 61, tasks.PNG }))
		for i := range 61 * 61 {
			if c := color.NRGBAModel.Convert(small.At(i%61, i/61)).(color.NRGBA); c.A > 8 && c.B > 8 {
				t.Fatalf("(%d, %d) = %v is bluish", i%61, i/61, c)
			}
		}
	}
}

// checkSharedError compares codes; the manifest joins those of which each is right by "_or_".
func checkSharedError(t *testing.T, c sharedCase, err error) {
	t.Helper()
	allowed := strings.Split(c.Expect.Error, "_or_")
	for _, a := range allowed {
		if a == "ok" && err == nil || a == "unsupported" && codeOf(err) == millrace.CodeUnsupportedFormat || err != nil && string(codeOf(err)) == a {
			return
		}
	}
	t.Errorf("%s: %v (%s), want %q", c.Kind, err, codeOf(err), c.Expect.Error)
}

func checkSharedPixels(t *testing.T, c sharedCase, m image.Image) {
	t.Helper()
	at := func(x, y float64, want [3]uint8) {
		t.Helper()
		if !near(m, x, y, color.NRGBA{want[0], want[1], want[2], 255}, c.Check.Tolerance) {
			b := m.Bounds().Size()
			t.Errorf("at %v, %v: %v, want %v", x, y, m.At(int(x*float64(b.X)), int(y*float64(b.Y))), want)
		}
	}
	places := map[string][2]float64{"top_left": {0.05, 0.05}, "top_right": {0.95, 0.05}, "bottom_left": {0.05, 0.95}, "bottom_right": {0.95, 0.95}}
	for name, want := range c.Check.Corners {
		at(places[name][0], places[name][1], want)
	}
	for _, p := range c.Check.Pixels {
		var x, y float64
		var want [3]uint8
		for i, into := range []any{&x, &y, &want} {
			if err := json.Unmarshal(p[i], into); err != nil {
				t.Fatal(err)
			}
		}
		at(x, y, want)
	}
	size := m.Bounds().Size()
	for _, p := range c.Check.AlphaAt {
		_, _, _, a := m.At(int(p[0]*float64(size.X)), int(p[1]*float64(size.Y))).RGBA()
		if math.Abs(float64(a>>8)-p[2]) > 2 {
			t.Errorf("alpha at %v, %v is %d, want %v", p[0], p[1], a>>8, p[2])
		}
	}
	if c.Check.Gray {
		for i := range 100 {
			v := color.NRGBAModel.Convert(m.At(i*size.X/100, i*size.Y/100)).(color.NRGBA)
			if v.R != v.G || v.G != v.B {
				t.Fatalf("%v is not grey", v)
			}
		}
	}
	if o, ok := m.(interface{ Opaque() bool }); c.Check.Alpha && (!ok || o.Opaque()) {
		t.Error("the transparency is gone")
	}
}

// TestSharedPhotos compares our road for photographs with the plain one: all pixels decoded, one Lanczos over them.
func TestSharedPhotos(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"photo-12mp.jpg", "smart-crop.jpg", "progressive.jpg"} {
		data, err := os.ReadFile(filepath.Join(sharedDir, name))
		if err != nil {
			t.Skip("no collection of pictures beside the repository")
		}
		full, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		width := min(800, full.Bounds().Dx()/3)
		want := imaging.Resize(full, width, 0, imaging.Lanczos)
		m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width, p.AutoOrient = width, false }))
		if ours, plain := ssim(want, m), ssim(want, throughJPEG(t, want)); ours < plain-0.005 {
			t.Errorf("%s at %d: SSIM %.4f, the plain road has %.4f", name, width, ours, plain)
		}
	}
}
