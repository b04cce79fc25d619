package raster

import (
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/millrace/millrace/tasks"
)

// resized resizes the whole of a picture.
func resized(t *testing.T, m image.Image, w, h int, f filter) image.Image {
	t.Helper()
	size := m.Bounds().Size()
	g := geometry{source: box{0, 0, size.X, size.Y}, scaledW: w, scaledH: h, window: box{0, 0, w, h}, filter: f}
	out, err := resample(t.Context(), decoded{image: m, denom: 1}, g, false, func(float64) {})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// kindsOf gives the same grey picture as every kind that the decoders make.
func kindsOf(w, h int, at func(x, y int) byte) map[string]image.Image {
	rect := image.Rect(0, 0, w, h)
	kinds := map[string]image.Image{
		"Gray": image.NewGray(rect), "Gray16": image.NewGray16(rect), "NRGBA": image.NewNRGBA(rect), "NRGBA64": image.NewNRGBA64(rect), "RGBA": image.NewRGBA(rect),
		"RGBA64":   image.NewRGBA64(rect),
		"Paletted": image.NewPaletted(rect, color.Palette{color.Gray{at(0, 0)}, color.Gray{at(0, 1)}, color.Gray{at(1, 0)}, color.Gray{at(1, 1)}}),
	}
	for _, m := range kinds {
		for i := range w * h {
			m.(interface{ Set(x, y int, c color.Color) }).Set(i%w, i/w, color.Gray{at(i%w, i/w)})
		}
	}
	planes := image.NewYCbCr(rect, image.YCbCrSubsampleRatio420)
	copy(planes.Y, kinds["Gray"].(*image.Gray).Pix)
	for i := range planes.Cb {
		planes.Cb[i], planes.Cr[i] = 128, 128
	}
	kinds["YCbCr"] = planes
	return kinds
}

// One-pixel lines of black and white halve to the grey that has half of white's light, or half of its code.
func TestLinesHalved(t *testing.T) {
	t.Parallel()
	for kind, m := range kindsOf(64, 64, func(_, y int) byte { return byte(255 * (y % 2)) }) {
		for _, tt := range []struct {
			filter filter
			want   float64
		}{
			{filter{}, 127.5}, {filter{linear: true}, 187.5}, {filter{tasks.KernelLinear, true}, 187.5}, {filter{tasks.KernelMitchell, false}, 127.5},
		} {
			out := resized(t, m, 32, 32, tt.filter)
			if got := float64(toNRGBA(out).Pix[4*(16*32+16)]); math.Abs(got-tt.want) > 2 {
				t.Errorf("%s by %+v: %v, want %v", kind, tt.filter, got, tt.want)
			}
		}
		if linear := resized(t, m, 32, 32, filter{linear: true}); isGrey(linear) != isGrey(resized(t, m, 32, 32, filter{})) {
			t.Errorf("%s in linear light becomes %T", kind, linear)
		}
	}
}

// What is not resized goes through linear light unharmed, at every code and every alpha.
func TestLinearIsExact(t *testing.T) {
	t.Parallel()
	m := image.NewNRGBA(image.Rect(0, 0, 256, 256))
	for i := range 256 * 256 {
		v, a := byte(i), byte(i/256)
		m.SetNRGBA(i%256, i/256, color.NRGBA{v, 255 - v, v / 2, a})
	}
	out := resized(t, m, 256, 256, filter{linear: true}).(*image.NRGBA)
	for i := range 256 * 256 {
		in, got := m.NRGBAAt(i%256, i/256), out.NRGBAAt(i%256, i/256)
		if in.A == 0 {
			in = color.NRGBA{}
		}
		if got != in {
			t.Fatalf("%v becomes %v", in, got)
		}
	}
}

// A red disc on transparent blue keeps its red to the last pixel of its edge.
func TestNoFringe(t *testing.T) {
	t.Parallel()
	m := image.NewNRGBA(image.Rect(0, 0, 200, 200))
	for i := range 200 * 200 {
		c := color.NRGBA{0, 0, 255, 0}
		if math.Hypot(float64(i%200)-100, float64(i/200)-100) < 70 {
			c = color.NRGBA{255, 0, 0, 255}
		}
		m.SetNRGBA(i%200, i/200, c)
	}
	for _, kernel := range kernels {
		for _, linear := range []bool{false, true} {
			for _, size := range []int{31, 350} {
				out := resized(t, m, size, size, filter{kernel, linear}).(*image.NRGBA)
				for i := range size * size {
					if c := out.NRGBAAt(i%size, i/size); c.A > 8 && (c.B > 1 || c.R < 254) {
						t.Fatalf("%s, linear %v, to %d: %v at %d, %d", kernel, linear, size, c, i%size, i/size)
					}
				}
			}
		}
	}
}

// Chroma is taken from between its samples, so that a flat colour stays and a slope has no steps.
func TestPlanesToRows(t *testing.T) {
	t.Parallel()
	for _, ratio := range []image.YCbCrSubsampleRatio{
		image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
	} {
		m := image.NewYCbCr(image.Rect(0, 0, 61, 37), ratio)
		for i := range m.Y {
			m.Y[i] = 100
		}
		sx, _ := subsampling(ratio)
		for i := range m.Cb {
			m.Cb[i], m.Cr[i] = 128, byte(128+2*(float64(i%m.CStride)+0.5)*sx/4) // a slope of ½ a pixel
		}
		out := make([]float32, 4*61)
		for y := range 37 {
			if err := planesToRows(m, false)(y, 0, out); err != nil {
				t.Fatal(err)
			}
			for x := 4; x < 56; x++ {
				want := 100 + 1.402*(float64(x)+0.5)/2
				if got := float64(out[4*x]); math.Abs(got-want) > 1.5 {
					t.Fatalf("%v: red at %d, %d is %.1f, want %.1f", ratio, x, y, got, want)
				}
			}
		}
	}
}
