package raster

import (
	"math"

	"github.com/millrace/millrace/tasks"
)

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
	kernel       string
	sigma        float64 // of a Gaussian in place of the kernel, in input samples; 0: none
}

// kernel is a filter: the weight of a sample at a distance, in samples, and the distance from which on it is 0.
type kernel struct {
	weight func(float64) float64
	radius float64
}

// kernelFor is the filter of a name. What is not named is chosen by what is done: the sharpest for shrinking, and for enlarging one that rings
// less.
func kernelFor(name string, shrinks bool) kernel {
	switch name {
	case tasks.KernelLinear:
		return kernel{triangle, 1}
	case tasks.KernelCubic:
		return kernel{catmullRom, 2}
	case tasks.KernelMitchell:
		return kernel{mitchell, 2}
	case tasks.KernelLanczos2:
		return kernel{lanczos(2), 2}
	case tasks.KernelLanczos3:
		return kernel{lanczos(3), 3}
	}
	if shrinks {
		return kernel{lanczos(3), 3}
	}
	return kernel{catmullRom, 2}
}

// taps computes the weights. The kernel is stretched by the shrink factor. Beyond the edge the outermost sample is repeated.
func (a axis) taps() []tap {
	if a.kernel == tasks.KernelNearest {
		return a.nearest()
	}
	stretch := max(math.Abs(a.step), 1)
	k := kernelFor(a.kernel, math.Abs(a.step) >= 1)
	if a.sigma > 0 {
		k = gaussian(a.sigma)
	}
	radius := k.radius * stretch
	out := make([]tap, a.n)
	var weights []float64
	for j := range out {
		center := a.origin + a.step*(float64(j)+0.5) - 0.5
		from, to := int(math.Ceil(center-radius)), int(math.Floor(center+radius))
		lo := min(max(a.lo, from), a.hi-1)
		hi := max(min(a.hi-1, to), lo)
		weights = append(weights[:0], make([]float64, hi-lo+1)...)
		sum := 0.0
		for i := from; i <= to; i++ {
			w := k.weight((float64(i) - center) / stretch)
			weights[min(max(i, lo), hi)-lo] += w
			sum += w
		}
		if sum == 0 {
			weights[0], sum = 1, 1
		}
		out[j] = fixed(lo, weights, sum)
	}
	return out
}

// gaussian is the bell curve as far as three sigma.
func gaussian(sigma float64) kernel {
	return kernel{func(x float64) float64 { return math.Exp(-x * x / (2 * sigma * sigma)) }, math.Ceil(3 * sigma)}
}

// nearest takes the one sample that the centre lies in.
func (a axis) nearest() []tap {
	out := make([]tap, a.n)
	one := []int32{1 << fixedBits}
	for j := range out {
		at := int(math.Floor(a.origin + a.step*(float64(j)+0.5)))
		out[j] = tap{min(max(a.lo, at), a.hi-1), one}
	}
	return out
}

// fixed rounds the running sum of the weights, not each of them: however many there are, what rounding takes from one goes to its neighbour.
// Zeros at the ends are dropped: an unscaled picture costs one multiplication per sample.
func fixed(start int, weights []float64, sum float64) tap {
	w := make([]int32, len(weights))
	running, before := 0.0, int32(0)
	for k := range weights {
		running += weights[k] / sum
		now := int32(math.Round(running * (1 << fixedBits)))
		w[k], before = now-before, now
	}
	for len(w) > 1 && w[0] == 0 {
		w, start = w[1:], start+1
	}
	for len(w) > 1 && w[len(w)-1] == 0 {
		w = w[:len(w)-1]
	}
	return tap{start, w}
}

func lanczos(lobes float64) func(float64) float64 {
	return func(x float64) float64 {
		if x == 0 {
			return 1
		}
		if math.Abs(x) >= lobes {
			return 0
		}
		p := math.Pi * x
		return lobes * math.Sin(p) * math.Sin(p/lobes) / (p * p)
	}
}

func triangle(x float64) float64 { return max(0, 1-math.Abs(x)) }

func catmullRom(x float64) float64 { return cubic(x, 0, 0.5) }

func mitchell(x float64) float64 { return cubic(x, 1.0/3, 1.0/3) }

// cubic is Mitchell's and Netravali's family of piecewise cubics.
func cubic(x, b, c float64) float64 {
	x = math.Abs(x)
	switch {
	case x < 1:
		return ((12-9*b-6*c)*x*x*x + (-18+12*b+6*c)*x*x + (6 - 2*b)) / 6
	case x < 2:
		return ((-b-6*c)*x*x*x + (6*b+30*c)*x*x + (-12*b-48*c)*x + (8*b + 24*c)) / 6
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
