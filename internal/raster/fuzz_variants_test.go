package raster_test

import (
	"image"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// FuzzVariants lays arbitrary bytes as a watermark on outputs of arbitrary options, which are turned, cut, blurred and squeezed into few bytes. Either
// all outputs are there, sound and as the result says, or none is and the error is classified.
func FuzzVariants(f *testing.F) {
	f.Add(encodePNG(f, quadrants(9, 7)), uint64(0))
	f.Add(encodeJPEG(f, quadrants(20, 30), jpegn.EncodeOptions{Exif: exif(7)}), uint64(0x1234567890abcdef))
	f.Add([]byte("no picture"), uint64(0xffffffffffff))
	limits := raster.DefaultLimits()
	limits.Pixels, limits.OutPixels, limits.FileBytes = 1<<16, 1<<15, 1<<16
	e := engine().Limited(limits)
	data := encodeJPEG(f, scene(83, 61), jpegn.EncodeOptions{Exif: exif(6)})
	f.Fuzz(func(t *testing.T, mark []byte, options uint64) {
		p := params(func(p *tasks.ResizeParams) { p.Variants = variants64(options) })
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		host := &taskstest.Host{Budget: 256 << 20}
		out, err := marked(t.Context(), host, e, p, data, mark)
		if now, _ := host.Reserved(); now != 0 {
			t.Errorf("left %d bytes reserved", now)
		}
		if err != nil {
			if !codeOf(err).Permanent() {
				t.Errorf("Resize: %v, code %q, want a permanent one", err, codeOf(err))
			}
			return
		}
		for _, v := range out.Variants {
			m, err := decodeWith(v.Format, host.Outputs()["out"+v.Name])
			if err != nil || m.Bounds().Size() != image.Pt(v.Width, v.Height) {
				t.Errorf("variant %+v: %v", v, err)
			}
			if limit := p.Variants[0].MaxBytes; v.Name == "0" && limit > 0 && v.Bytes > limit {
				t.Errorf("%d bytes where %d are allowed", v.Bytes, limit)
			}
		}
		if len(out.Variants) != len(p.Variants) {
			t.Errorf("%d of %d variants", len(out.Variants), len(p.Variants))
		}
	})
}

// variants64 spreads the bits of a number over the options of up to three variants.
func variants64(bits uint64) []tasks.Variant {
	take := func(n uint64) int {
		v := bits % n
		bits = bits/n ^ bits<<57
		return int(v)
	}
	var out []tasks.Variant
	for i := range 1 + take(3) {
		out = append(out, variant(strconv.Itoa(i), func(p *tasks.ResizeParams) {
			p.Format = []string{"", tasks.JPEG, tasks.PNG, tasks.GIF}[take(4)]
			p.Rotate = []float64{0, 0.3, 30, 90, 135.5, 359.9}[take(6)]
			p.Width, p.Height = []int{0, 1, 7, 64}[take(4)], []int{0, 1, 9, 50}[take(4)]
			p.Fit = []string{tasks.Inside, tasks.Cover, tasks.Contain, tasks.Fill}[take(4)]
			p.Gravity = []string{"center", tasks.GravitySmart, "north"}[take(3)]
			p.Enlarge, p.Flip, p.Grayscale, p.Progressive = take(2) == 0, take(2) == 0, take(3) == 0, take(2) == 0
			p.Kernel = []string{tasks.KernelAuto, tasks.KernelNearest}[take(2)]
			p.Subsampling = []string{"auto", "4:4:4", "4:2:2", "4:2:0"}[take(4)]
			p.Background = []string{"#ffffff", "transparent", "#80402010"}[take(3)]
			p.Quality, p.MaxBytes = []int{0, 1, 95}[take(3)], []int64{0, 0, 300, 2000}[take(4)]
			p.Blur, p.Sharpen = []float64{0, 0.4, 9}[take(3)], []float64{0, 2}[take(2)]
			if take(3) == 0 {
				p.Crop = &tasks.Crop{X: take(9), Y: take(9), Width: 1 + take(40), Height: 1 + take(40)}
			}
			if take(2) == 0 {
				p.Watermark = &tasks.Watermark{
					File: "file-1", Gravity: []string{"", "center", "northwest"}[take(3)], Opacity: []float64{0, 0.5}[take(2)],
					Scale: []float64{0, 0.01, 1}[take(3)], Margin: []int{0, 3, 16384}[take(3)],
				}
			}
		}))
	}
	return out
}

// TestManyOptions goes through combinations of options as the fuzzer does, with pictures that are none the worse for them.
func TestManyOptions(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	data, mark := encodeJPEG(t, scene(83, 61), jpegn.EncodeOptions{Exif: exif(6)}), encodePNG(t, quadrants(9, 7))
	done := 0
	for range 300 {
		p := params(func(p *tasks.ResizeParams) { p.Variants = variants64(rng.Uint64()) })
		host := new(taskstest.Host)
		out, err := marked(t.Context(), host, engine(), p, data, mark)
		if err != nil {
			if code := codeOf(err); code != millrace.CodeTooLarge && code != millrace.CodeInvalidInput {
				t.Errorf("%+v: %v", p.Variants, err)
			}
			continue
		}
		for i, v := range out.Variants {
			m, err := decodeWith(v.Format, host.Outputs()["out"+v.Name])
			if err != nil || m.Bounds().Size() != image.Pt(v.Width, v.Height) || p.Variants[i].MaxBytes > 0 && v.Bytes > p.Variants[i].MaxBytes {
				t.Errorf("%+v: %+v, %v", p.Variants[i].ResizeParams, v, err)
			}
			done++
		}
	}
	if done < 200 {
		t.Errorf("only %d outputs were made", done)
	}
}
