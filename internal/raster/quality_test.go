package raster_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/tasks"
)

// TestDeltaE holds the measure itself to figures of the published test data (Sharma, Wu, Dalal 2005).
func TestDeltaE(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		p, q [3]float64
		want float64
	}{
		{[3]float64{50, 2.6772, -79.7751}, [3]float64{50, 0, -82.7485}, 2.0425},
		{[3]float64{50, -1.3802, -84.2814}, [3]float64{50, 0, -82.7485}, 1},
		{[3]float64{50, 2.5, 0}, [3]float64{50, 0, -2.5}, 4.3065},
		{[3]float64{50, 2.5, 0}, [3]float64{73, 25, -18}, 27.1492},
		{[3]float64{60.2574, -34.0099, 36.2677}, [3]float64{60.4626, -34.1751, 39.4387}, 1.2644},
		{[3]float64{22.7233, 20.0904, -46.6940}, [3]float64{23.0331, 14.9730, -42.5619}, 2.0373},
		{[3]float64{90.8027, -2.0831, 1.4410}, [3]float64{91.1528, -1.6435, 0.0447}, 1.4441},
		{[3]float64{2.0776, 0.0795, -1.1350}, [3]float64{0.9033, -0.0636, -0.5514}, 0.9082},
	} {
		if got := deltaE(tt.p, tt.q); math.Abs(got-tt.want) > 1e-4 {
			t.Errorf("%v to %v: %.4f, want %.4f", tt.p, tt.q, got, tt.want)
		}
	}
}

// TestKernelsAgainstReference resizes by every kernel, in both kinds of light, smaller and larger, from every kind of picture: it is the
// reference, but for what rounding does.
func TestKernelsAgainstReference(t *testing.T) {
	t.Parallel()
	m := scene(240, 180)
	grey := image.NewGray(m.Rect)
	for i := range grey.Pix {
		grey.Pix[i] = m.Pix[4*i]
	}
	inputs := map[string]struct {
		data        []byte
		m           image.Image
		worst, like float64
	}{
		"PNG": {encodePNG(t, m), m, 1.5, 0.999}, "grey PNG": {encodePNG(t, grey), grey, 1.5, 0.999},
		// Planes are rounded as planes, and limited to what can be shown only after the resize.
		"JPEG, 4:4:4": {encodeJPEG(t, m, jpegn.EncodeOptions{Subsampling: jpegn.Subsample444}), nil, 9, 0.9975},
	}
	for kind, in := range inputs {
		if in.m == nil {
			var err error
			if in.m, err = jpeg.Decode(bytes.NewReader(in.data)); err != nil {
				t.Fatal(err)
			}
		}
		source := floatsOf(in.m)
		for _, kernel := range []string{"auto", "nearest", "linear", "cubic", "mitchell", "lanczos2", "lanczos3"} {
			for _, linear := range []bool{false, true} {
				t.Run(fmt.Sprint(kind, kernel, linear), func(t *testing.T) {
					t.Parallel()
					for _, width := range []int{200, 400} {
						height := width * 3 / 4
						got, _ := mustResize(t, in.data, params(func(p *tasks.ResizeParams) {
							p.Width, p.Enlarge, p.Kernel, p.Linear, p.Format = width, true, kernel, linear, tasks.PNG
						}))
						want, ours := source.resize(width, height, kernel, linear), floatsOf(got)
						worst := in.worst
						if linear {
							worst += 3 // where light is little, its rounding is wide
						}
						if off, like := ours.worst(want), ours.similarity(want); off > worst || like < in.like {
							t.Errorf("to %d: SSIM %.5f, off by up to %.2f", width, like, off)
						}
					}
				})
			}
		}
	}
}

// TestPatches measures the colours of wide gamuts against what littleCMS makes of them.
func TestPatches(t *testing.T) {
	t.Parallel()
	icc := profile("RGB ", sRGBCurve(), p3Primaries)
	for in, want := range map[color.NRGBA][]float64{
		{200, 100, 80, 255}: {215, 93, 73}, {60, 160, 90, 255}: {0, 163, 82}, {90, 90, 190, 255}: {90, 90, 197}, {230, 230, 230, 255}: {230, 230, 230},
	} {
		data := withChunk(encodePNG(t, solid(in)), "iCCP", append([]byte("x\x00\x00"), deflate(t, icc)...))
		m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width = 16 }))
		if got := floatsOf(m).pix[:3]; deltaE(labOf(got), labOf(want)) > 1 {
			t.Errorf("%v becomes %v, want %v: ΔE %.2f", in, got, want, deltaE(labOf(got), labOf(want)))
		}
	}
}

// TestInkPhotograph converts a photograph for print by its own profile: the colours are those that littleCMS makes of it. By the plain formula
// its grey-green parts are bright green.
func TestInkPhotograph(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(sharedDir, "cmyk-icc-swop.jpg"))
	if err != nil {
		t.Skip("no collection of pictures beside the repository")
	}
	m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Format = tasks.PNG }))
	got := floatsOf(m)
	for at, want := range map[image.Point][]float64{
		{X: 540, Y: 540}: {100, 98, 94},
		{X: 20, Y: 20}:   {255, 255, 255},
		{X: 330, Y: 500}: {114, 155, 142},
		{X: 540, Y: 620}: {44, 52, 48},
		{X: 400, Y: 560}: {124, 161, 147},
	} {
		if p := got.pix[3*(at.Y*got.w+at.X):][:3]; deltaE(labOf(p), labOf(want)) > 2 {
			t.Errorf("at %v: %v, want %v", at, p, want)
		}
	}
}

// photographs are those of the collection beside the repository.
func photographs(t testing.TB) map[string][]byte {
	t.Helper()
	out := make(map[string][]byte)
	for _, name := range []string{"photo-12mp.jpg", "photo-12mp-b.jpg", "smart-crop.jpg", "progressive.jpg"} {
		data, err := os.ReadFile(filepath.Join(sharedDir, name))
		if err != nil {
			t.Skip("no collection of pictures beside the repository")
		}
		out[name] = data
	}
	return out
}

// TestPhotographs compares the short way of photographs, where the decoder shrinks first, with the reference: on a part from the middle, which
// takes less memory than the whole in float64.
func TestPhotographs(t *testing.T) {
	t.Parallel()
	for name, data := range photographs(t) {
		full, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		size := full.Bounds().Size()
		w, h := min(1200, size.X), min(900, size.Y)
		cut := image.Rect(0, 0, w, h).Add(image.Pt((size.X-w)/32*16, (size.Y-h)/32*16))
		source := floatsOf(full.(*image.YCbCr).SubImage(cut))
		for _, part := range []int{3, 5} {
			got, out := mustResize(t, data, params(func(p *tasks.ResizeParams) {
				p.Width, p.Format, p.AutoOrient = w/part, tasks.PNG, false
				p.Crop = &tasks.Crop{X: cut.Min.X, Y: cut.Min.Y, Width: w, Height: h}
			}))
			want, ours := source.resize(out.Width, out.Height, "auto", false), floatsOf(got)
			if like := ours.similarity(want); like < 0.99 {
				t.Errorf("%s to %d × %d: SSIM %.4f, want 0.99", name, out.Width, out.Height, like)
			}
		}
	}
}
