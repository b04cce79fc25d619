package raster

import (
	"image"
	"math/rand/v2"
	"testing"
)

func TestTapsSumToOne(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		length, scaled := 1+rng.IntN(3000), 1+rng.IntN(500)
		source, mirror := rng.IntN(50), rng.IntN(2) == 0
		n := 1 + rng.IntN(scaled)
		a := mapAxis(source, length, scaled, rng.IntN(scaled-n+1), n, mirror, 1+rng.IntN(2), float64(int(1)<<rng.IntN(4)))
		for j, tap := range a.taps() {
			var sum int32
			for _, w := range tap.weights {
				sum += w
			}
			if sum != 1<<fixedBits || tap.start < a.lo || tap.start+len(tap.weights) > a.hi {
				t.Fatalf("%+v: sample %d takes %d … %d with weights of %d", a, j, tap.start, tap.start+len(tap.weights), sum)
			}
		}
	}
}

func TestUnscaledIsExact(t *testing.T) {
	t.Parallel()
	src := image.NewGray(image.Rect(0, 0, 7, 5))
	for i := range src.Pix {
		src.Pix[i] = byte(i * 37)
	}
	g := geometry{source: box{1, 1, 5, 3}, scaledW: 5, scaledH: 3, window: box{0, 0, 5, 3}, turn: turn{flipX: true}}
	out, err := resample(t.Context(), decoded{image: src, denom: 1}, g, false, func(float64) {})
	if err != nil {
		t.Fatal(err)
	}
	for y := range 3 {
		for x := range 5 {
			if got, want := out.(*image.Gray).GrayAt(x, y), src.GrayAt(5-x, 1+y); got != want {
				t.Errorf("(%d, %d) = %v, want %v", x, y, got, want)
			}
		}
	}
}

func TestFlatStaysFlat(t *testing.T) {
	t.Parallel()
	for _, value := range []byte{0, 1, 128, 254, 255} {
		grey := image.NewGray(image.Rect(0, 0, 301, 203))
		color := image.NewNRGBA(grey.Rect)
		for i := range grey.Pix {
			grey.Pix[i] = value
			copy(color.Pix[4*i:], []byte{value, value, value, 255})
		}
		for _, size := range [][2]int{{300, 202}, {97, 55}, {1, 1}, {640, 444}} {
			g := geometry{source: box{0, 0, 301, 203}, scaledW: size[0], scaledH: size[1], window: box{0, 0, size[0], size[1]}}
			for _, src := range []image.Image{grey, color} {
				out, err := resample(t.Context(), decoded{image: src, denom: 1}, g, false, func(float64) {})
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range toNRGBA(out).Pix {
					if want := value; i%4 != 3 && v != want {
						t.Fatalf("%T of %d to %v: byte %d is %d", src, value, size, i, v)
					}
				}
			}
		}
	}
}

// TestWindow cuts windows out of a scaled picture: they must be the very pixels of the whole, whether mirrored or not.
func TestWindow(t *testing.T) {
	t.Parallel()
	src := image.NewGray(image.Rect(0, 0, 120, 90))
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range src.Pix {
		src.Pix[i] = byte(rng.IntN(256))
	}
	run := func(window box, u turn) *image.Gray {
		g := geometry{source: box{0, 0, 120, 90}, scaledW: 47, scaledH: 31, window: window, turn: u}
		out, err := resample(t.Context(), decoded{image: src, denom: 1}, g, false, func(float64) {})
		if err != nil {
			t.Fatal(err)
		}
		return out.(*image.Gray)
	}
	whole := run(box{0, 0, 47, 31}, turn{})
	w := box{5, 7, 20, 11}
	for _, u := range []turn{{}, {flipX: true}, {flipY: true}, {flipX: true, flipY: true}, {flipY: true, swap: true}} {
		part := run(w, u)
		for y := range w.h {
			for x := range w.w {
				px, py := x, y
				if u.flipX {
					px = w.w - 1 - x
				}
				if u.flipY {
					py = w.h - 1 - y
				}
				if u.swap {
					px, py = py, px
				}
				if got, want := part.GrayAt(px, py), whole.GrayAt(w.x+x, w.y+y); got != want {
					t.Fatalf("%+v: (%d, %d) = %v, want %v", u, px, py, got, want)
				}
			}
		}
	}
}
