package raster

import "math"

// fixedBits is how many fraction bits a weight has.
const fixedBits = 14

// tap is how one output sample is made: of the input samples from start on, by weights that sum to exactly 1<<fixedBits, so that flat areas
// stay flat.
type tap struct {
	start   int
	weights []int32
}

// axis maps output samples to positions in a row (or column) of input samples: the centre of sample j lies at origin + step·(j+½), where
// sample i covers i … i+1. A negative step mirrors. Only input samples lo … hi-1 may be used.
type axis struct {
	n            int
	origin, step float64
	lo, hi       int
}

// taps computes the weights: Lanczos3 stretched by the shrink factor, Catmull-Rom for enlarging. Beyond the edge there are no samples; the
// weights of the others are normalised.
func (a axis) taps() []tap {
	stretch := max(math.Abs(a.step), 1)
	kernel, radius := lanczos3, 3*stretch
	if math.Abs(a.step) < 1 {
		kernel, radius = catmullRom, 2.0
	}
	out := make([]tap, a.n)
	var weights []float64
	for j := range out {
		center := a.origin + a.step*(float64(j)+0.5) - 0.5
		lo := min(max(a.lo, int(math.Ceil(center-radius))), a.hi-1)
		hi := max(min(a.hi-1, int(math.Floor(center+radius))), lo)
		weights = weights[:0]
		sum := 0.0
		for i := lo; i <= hi; i++ {
			w := kernel((float64(i) - center) / stretch)
			weights = append(weights, w)
			sum += w
		}
		if sum == 0 {
			weights, sum = append(weights[:0], 1), 1
		}
		out[j] = fixed(lo, weights, sum)
	}
	return out
}

// fixed rounds weights and gives what rounding lost to the greatest of them. Zeros at the ends are dropped: an unscaled picture costs one
// multiplication per sample.
func fixed(start int, weights []float64, sum float64) tap {
	w := make([]int32, len(weights))
	left, peak := int32(1<<fixedBits), 0
	for k := range weights {
		w[k] = int32(math.Round(weights[k] / sum * (1 << fixedBits)))
		left -= w[k]
		if w[k] > w[peak] {
			peak = k
		}
	}
	w[peak] += left
	for len(w) > 1 && w[0] == 0 {
		w, start = w[1:], start+1
	}
	for len(w) > 1 && w[len(w)-1] == 0 {
		w = w[:len(w)-1]
	}
	return tap{start, w}
}

func lanczos3(x float64) float64 {
	if x == 0 {
		return 1
	}
	if math.Abs(x) >= 3 {
		return 0
	}
	p := math.Pi * x
	return 3 * math.Sin(p) * math.Sin(p/3) / (p * p)
}

func catmullRom(x float64) float64 {
	x = math.Abs(x)
	switch {
	case x < 1:
		return (1.5*x-2.5)*x*x + 1
	case x < 2:
		return ((-0.5*x+2.5)*x-4)*x + 2
	}
	return 0
}

// rows walks output rows in the order in which their input rows come, whether mirrored or not.
func rows(taps []tap, visit func(j int, t tap) error) error {
	n := len(taps)
	mirrored := n > 1 && taps[0].start > taps[n-1].start
	for i := range taps {
		j := i
		if mirrored {
			j = n - 1 - i
		}
		if err := visit(j, taps[j]); err != nil {
			return err
		}
	}
	return nil
}

// window is how many consecutive input rows must be kept so that every output row finds its own.
func window(taps []tap) int {
	size, end := 1, 0
	_ = rows(taps, func(_ int, t tap) error {
		end = max(end, t.start+len(t.weights))
		size = max(size, end-t.start)
		return nil
	})
	return size
}
