package raster

import (
	"bytes"
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/tasks"
)

var kernels = []string{
	tasks.KernelAuto, tasks.KernelNearest, tasks.KernelLinear, tasks.KernelCubic, tasks.KernelMitchell, tasks.KernelLanczos2, tasks.KernelLanczos3,
}

// TestKernels compares weights with those of the published formulas.
func TestKernels(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kernel  string
		shrinks bool
		radius  float64
		at      map[float64]float64
	}{
		{tasks.KernelAuto, true, 3, map[float64]float64{0: 1, 0.5: 0.607927, 1: 0, 1.5: -0.135095, 2.5: 0.024317, 3: 0}},
		{tasks.KernelAuto, false, 2, map[float64]float64{0: 1, 0.5: 0.5625, 1: 0, 1.5: -0.0625, 2: 0}},
		{tasks.KernelLinear, true, 1, map[float64]float64{0: 1, 0.25: 0.75, 1: 0}},
		{tasks.KernelCubic, true, 2, map[float64]float64{0: 1, 0.5: 0.5625, 1.5: -0.0625}},
		{tasks.KernelMitchell, true, 2, map[float64]float64{0: 8.0 / 9, 1: 1.0 / 18, 1.5: -0.034722, 2: 0}},
		{tasks.KernelLanczos2, false, 2, map[float64]float64{0: 1, 0.5: 0.573159, 1.5: -0.063684, 2: 0}},
		{tasks.KernelLanczos3, false, 3, map[float64]float64{0.5: 0.607927}},
	} {
		k := kernelFor(tt.kernel, tt.shrinks)
		if k.radius != tt.radius {
			t.Errorf("%s reaches %v, want %v", tt.kernel, k.radius, tt.radius)
		}
		for x, want := range tt.at {
			if math.Abs(k.weight(x)-want) > 1e-6 || math.Abs(k.weight(-x)-want) > 1e-6 {
				t.Errorf("%s at ±%v: %v, %v, want %v", tt.kernel, x, k.weight(x), k.weight(-x), want)
			}
		}
	}
}

// TestStep checks where samples come from: a picture of two halves, enlarged and shrunk, has its step where it had it, by every kernel.
func TestStep(t *testing.T) {
	t.Parallel()
	src := image.NewGray(image.Rect(0, 0, 40, 6))
	for i := range src.Pix {
		src.Pix[i] = byte(i % 40 / 20 * 200)
	}
	for _, kernel := range kernels {
		for _, w := range []int{10, 20, 80, 200} {
			out := resized(t, src, w, 6, filter{kernel: kernel}).(*image.Gray)
			for x := range w / 2 {
				left, right := int(out.Pix[x]), int(out.Pix[w-1-x])
				if x < w/4 && kernel != tasks.KernelNearest && w >= 80 && (left > 4 || right < 196) || left >= 100 || right <= 100 || max(left+right-200, 200-left-right) > 30 {
					t.Fatalf("%s to %d: %d and %d at %d from either side", kernel, w, left, right, x)
				}
			}
		}
	}
}

func TestNearestPicks(t *testing.T) {
	t.Parallel()
	src := image.NewGray(image.Rect(0, 0, 9, 1))
	for i := range src.Pix {
		src.Pix[i] = byte(10 * i)
	}
	for w, want := range map[int][]byte{3: {10, 40, 70}, 9: {0, 10, 20, 30, 40, 50, 60, 70, 80}, 18: {0, 0, 10, 10, 20, 20, 30, 30, 40, 40, 50, 50, 60, 60, 70, 70, 80, 80}} {
		if out := resized(t, src, w, 1, filter{kernel: tasks.KernelNearest}).(*image.Gray); !bytes.Equal(out.Pix, want) {
			t.Errorf("to %d: %v, want %v", w, out.Pix, want)
		}
	}
}

// TestManyTaps shrinks so far that a weight is less than its last bit: the sum of all is still their mean.
func TestManyTaps(t *testing.T) {
	t.Parallel()
	src := image.NewGray(image.Rect(0, 0, 60000, 1))
	for i := range src.Pix {
		src.Pix[i] = byte(i * 200 / 60000)
	}
	for _, kernel := range kernels {
		out := resized(t, src, 4, 1, filter{kernel: kernel}).(*image.Gray)
		for x, want := range []int{25, 75, 125, 175} {
			if got := int(out.Pix[x]); max(got-want, want-got) > 6 {
				t.Errorf("%s: %v, want about 25, 75, 125, 175", kernel, out.Pix)
			}
		}
	}
}

func TestTapsSumToOne(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		length, scaled := 1+rng.IntN(3000), 1+rng.IntN(500)
		source, mirror := rng.IntN(50), rng.IntN(2) == 0
		n := 1 + rng.IntN(scaled)
		a := mapAxis(source, length, scaled, rng.IntN(scaled-n+1), n, mirror, 1+rng.IntN(2), float64(int(1)<<rng.IntN(4)))
		a.kernel = kernels[rng.IntN(len(kernels))]
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
		for _, size := range [][2]int{{300, 202}, {97, 55}, {1, 1}, {340, 244}} {
			for n := range 2 * len(kernels) {
				f := filter{kernels[n/2], n%2 == 1}
				for _, src := range []image.Image{grey, color} {
					for i, v := range toNRGBA(resized(t, src, size[0], size[1], f)).Pix {
						if want := value; i%4 != 3 && v != want {
							t.Fatalf("%T of %d to %v by %+v: byte %d is %d", src, value, size, f, i, v)
						}
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
