package raster

import (
	"errors"
	"image"
	"testing"

	"github.com/millrace/millrace/tasks"
)

// TestHalve averages what can be counted on fingers: odd sides, planes of all subsamplings, and colours that nobody sees.
func TestHalve(t *testing.T) {
	t.Parallel()
	grey := &image.Gray{Pix: []byte{10, 20, 30, 30, 40, 50, 100, 101, 7}, Stride: 3, Rect: image.Rect(0, 0, 3, 3)}
	half, err := halve(t.Context(), decoded{image: grey, denom: 2})
	if err != nil {
		t.Fatal(err)
	}
	if m := half.image.(*image.Gray); half.denom != 4 || m.Rect != image.Rect(0, 0, 2, 2) || string(m.Pix) != string([]byte{25, 40, 101, 7}) {
		t.Errorf("%+v", half)
	}
	for _, ratio := range []image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410} {
		for _, size := range []image.Point{{1, 1}, {7, 5}, {16, 16}, {33, 2}} {
			m := image.NewYCbCr(image.Rectangle{Max: size}, ratio)
			for i := range m.Y {
				m.Y[i] = 77
			}
			for i := range m.Cb {
				m.Cb[i], m.Cr[i] = 55, 200
			}
			half, err := halve(t.Context(), decoded{image: m, denom: 1})
			if err != nil {
				t.Fatal(err)
			}
			out := half.image.(*image.YCbCr)
			for i := range size.X / 2 * (size.Y / 2) {
				x, y := i%(size.X/2), i/(size.X/2)
				if c := out.COffset(x, y); out.Y[out.YOffset(x, y)] != 77 || out.Cb[c] != 55 || out.Cr[c] != 200 {
					t.Fatalf("%v of %v: (%d, %d) is not as flat as it was", ratio, size, x, y)
				}
			}
		}
	}
	clear := &image.NRGBA{Pix: []byte{200, 0, 0, 255, 0, 0, 255, 0, 100, 0, 0, 255, 0, 0, 255, 0}, Stride: 8, Rect: image.Rect(0, 0, 2, 2)}
	half, err = halve(t.Context(), decoded{image: clear, denom: 1})
	if got := half.image.(*image.NRGBA).Pix; err != nil || string(got) != string([]byte{150, 0, 0, 128}) {
		t.Errorf("with transparency: %v, %v", got, err)
	}
	if _, err := halve(&looks{Context: t.Context(), err: errors.New("stop")}, decoded{image: clear, denom: 1}); err == nil {
		t.Error("it goes on after the end of its context")
	}
}

// TestHalvesAreEnough: never less than what averages need is left.
func TestHalvesAreEnough(t *testing.T) {
	t.Parallel()
	h := newHalves(decoded{image: image.NewGray(image.Rect(0, 0, 1600, 1200)), denom: 1})
	for _, tt := range []struct {
		params tasks.ResizeParams
		want   int
	}{
		{tasks.ResizeParams{Width: 1600}, 1}, {tasks.ResizeParams{Width: 501}, 1}, {tasks.ResizeParams{Width: 500}, 2}, {tasks.ResizeParams{Width: 201}, 2}, {tasks.ResizeParams{Width: 200}, 4}, {tasks.ResizeParams{Width: 1}, 512},
		{tasks.ResizeParams{Width: 100, Height: 600, Fit: tasks.Fill}, 1}, {tasks.ResizeParams{Width: 100, Kernel: tasks.KernelNearest}, 1},
		{tasks.ResizeParams{Width: 100, Crop: &tasks.Crop{Width: 400, Height: 400}}, 2}, {tasks.ResizeParams{Width: 100, Rotate: 45}, 8},
	} {
		g, err := plan(1600, 1200, turn{}, tt.params)
		if err != nil {
			t.Fatal(err)
		}
		d, err := h.enough(t.Context(), g)
		if err != nil || d.denom != tt.want || d.denom > 1 && g.leaves(d.denom) < restOnce {
			t.Errorf("%+v: by %d, %v, want %d", tt.params, d.denom, err, tt.want)
		}
	}
}
