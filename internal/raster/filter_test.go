package raster_test

import (
	"fmt"
	"image"
	"math"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/tasks"
)

// lines are columns of black and white, one pixel wide.
func lines(w, h int) image.Image {
	m := image.NewGray(image.Rect(0, 0, w, h))
	for i := range m.Pix {
		m.Pix[i] = byte(255 * (i % 2))
	}
	return m
}

// TestFilters asks the engine for kernels and linear light: also where a decoder would shrink before they see a pixel.
func TestFilters(t *testing.T) {
	t.Parallel()
	photo := encodeJPEG(t, toColor(lines(512, 128)), jpegn.EncodeOptions{Subsampling: jpegn.Subsample420})
	for _, tt := range []struct {
		kernel string
		linear bool
		width  int
		want   float64
	}{
		{tasks.KernelAuto, false, 64, 127.5}, {tasks.KernelAuto, true, 64, 187.5}, {tasks.KernelLinear, true, 32, 187.5},
		{tasks.KernelMitchell, false, 32, 127.5}, {tasks.KernelNearest, false, 64, 0}, {tasks.KernelNearest, true, 64, 0},
	} {
		t.Run(fmt.Sprint(tt.kernel, tt.linear), func(t *testing.T) {
			t.Parallel()
			for _, data := range [][]byte{photo, encodePNG(t, lines(512, 128))} {
				m, out := mustResize(t, data, params(func(p *tasks.ResizeParams) {
					p.Width, p.Kernel, p.Linear, p.Format = tt.width, tt.kernel, tt.linear, tasks.PNG
				}))
				got := luma(m, tt.width/2, tt.width/8)
				if tt.kernel == tasks.KernelNearest {
					got = min(got, 255-got) // whichever column it picks, it mixes none
				}
				if math.Abs(got-tt.want) > 3 {
					t.Errorf("%s: %v, want %v", out.Source.Format, got, tt.want)
				}
			}
		})
	}
}

// toColor makes planes of a grey picture, as a photograph has them.
func toColor(m image.Image) *image.YCbCr {
	out := image.NewYCbCr(m.Bounds(), image.YCbCrSubsampleRatio420)
	copy(out.Y, m.(*image.Gray).Pix)
	for i := range out.Cb {
		out.Cb[i], out.Cr[i] = 128, 128
	}
	return out
}
