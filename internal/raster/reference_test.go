package raster_test

import (
	"image"
	"math"
)

// This is what quality is measured against: the plain formulas in float64, on all pixels, with nothing rounded on the way.

// floats is a picture of three channels in 0…255.
type floats struct {
	w, h int
	pix  []float64
}

func newFloats(w, h int) floats { return floats{w, h, make([]float64, 3*w*h)} }

// floatsOf reads any picture. Subsampled chroma is interpolated between its samples, as good decoders do.
func floatsOf(m image.Image) floats {
	size := m.Bounds().Size()
	out := newFloats(size.X, size.Y)
	planes, ok := m.(*image.YCbCr)
	if !ok {
		for i := range size.X * size.Y {
			r, g, b, _ := m.At(m.Bounds().Min.X+i%size.X, m.Bounds().Min.Y+i/size.X).RGBA()
			out.pix[3*i], out.pix[3*i+1], out.pix[3*i+2] = float64(r)/257, float64(g)/257, float64(b)/257
		}
		return out
	}
	sx, sy := 1, 1
	switch planes.SubsampleRatio {
	case image.YCbCrSubsampleRatio420:
		sx, sy = 2, 2
	case image.YCbCrSubsampleRatio422:
		sx = 2
	}
	cb, cr := chromaOf(planes.Cb, planes.CStride, size, sx, sy), chromaOf(planes.Cr, planes.CStride, size, sx, sy)
	for i := range size.X * size.Y {
		y, b, r := float64(planes.Y[i/size.X*planes.YStride+i%size.X]), cb[i]-128, cr[i]-128
		for k, v := range [3]float64{y + 1.402*r, y - 0.344136*b - 0.714136*r, y + 1.772*b} {
			out.pix[3*i+k] = max(0, min(255, v))
		}
	}
	return out
}

// chromaOf is a chroma plane in full size, linearly interpolated.
func chromaOf(pix []byte, stride int, size image.Point, sx, sy int) []float64 {
	w, h := (size.X+sx-1)/sx, (size.Y+sy-1)/sy
	place := func(x, sub, n int) (int, int, float64) {
		c := max(0, (float64(x)+0.5)/float64(sub)-0.5)
		i := min(int(c), n-1)
		return i, min(i+1, n-1), c - float64(i)
	}
	out := make([]float64, 0, size.X*size.Y)
	for y := range size.Y {
		y0, y1, fy := place(y, sy, h)
		for x := range size.X {
			x0, x1, fx := place(x, sx, w)
			at := func(x, y int) float64 { return float64(pix[y*stride+x]) }
			out = append(out, (1-fy)*((1-fx)*at(x0, y0)+fx*at(x1, y0))+fy*((1-fx)*at(x0, y1)+fx*at(x1, y1)))
		}
	}
	return out
}

// referenceKernel is a kernel by its name, and its radius.
func referenceKernel(name string, shrinks bool) (func(float64) float64, float64) {
	sinc := func(x float64) float64 {
		if x == 0 {
			return 1
		}
		return math.Sin(math.Pi*x) / (math.Pi * x)
	}
	windowed := func(n float64) func(float64) float64 {
		return func(x float64) float64 { return sinc(x) * sinc(x/n) }
	}
	bicubic := func(b, c float64) func(float64) float64 {
		return func(x float64) float64 {
			x = math.Abs(x)
			if x < 1 {
				return ((12-9*b-6*c)*x*x*x + (-18+12*b+6*c)*x*x + 6 - 2*b) / 6
			}
			return ((-b-6*c)*x*x*x + (6*b+30*c)*x*x + (-12*b-48*c)*x + 8*b + 24*c) / 6
		}
	}
	if name == "auto" {
		name = map[bool]string{true: "lanczos3", false: "cubic"}[shrinks]
	}
	switch name {
	case "linear":
		return func(x float64) float64 { return 1 - math.Abs(x) }, 1
	case "cubic":
		return bicubic(0, 0.5), 2
	case "mitchell":
		return bicubic(1.0/3, 1.0/3), 2
	case "lanczos2":
		return windowed(2), 2
	}
	return windowed(3), 3
}

// weighted is how an output sample is made: of samples from first on.
type weighted struct {
	first   int
	weights []float64
}

// weightsOf are the weights for resizing n samples to a number of them.
func weightsOf(n, to int, name string) []weighted {
	scale := float64(n) / float64(to)
	stretch := max(1, scale)
	k, radius := referenceKernel(name, scale >= 1)
	out := make([]weighted, to)
	for j := range out {
		center := scale * (float64(j) + 0.5)
		if name == "nearest" {
			out[j] = weighted{int(center), []float64{1}}
			continue
		}
		from, end := max(0, int(math.Floor(center-radius*stretch))), min(n-1, int(math.Ceil(center+radius*stretch)))
		w := make([]float64, end-from+1)
		sum := 0.0
		for i := int(math.Floor(center - radius*stretch)); i <= int(math.Ceil(center+radius*stretch)); i++ {
			if x := (float64(i) + 0.5 - center) / stretch; math.Abs(x) < radius {
				w[max(from, min(end, i))-from] += k(x)
				sum += k(x)
			}
		}
		for i := range w {
			w[i] /= sum
		}
		out[j] = weighted{from, w}
	}
	return out
}

// line resizes one line of samples that lie stride apart.
func line(src, dst []float64, taps []weighted, stride int) {
	for j, t := range taps {
		sum := 0.0
		for i, w := range t.weights {
			sum += w * src[(t.first+i)*stride]
		}
		dst[j*stride] = sum
	}
}

// resize is the reference itself, on codes or in linear light.
func (f floats) resize(w, h int, kernel string, linear bool) floats {
	src := f
	if linear {
		src = f.mapped(func(v float64) float64 { return 255 * linearOf(v/255) })
	}
	middle, out := newFloats(w, f.h), newFloats(w, h)
	across, down := weightsOf(f.w, w, kernel), weightsOf(f.h, h, kernel)
	for y := range f.h {
		for k := range 3 {
			line(src.pix[3*y*f.w+k:], middle.pix[3*y*w+k:], across, 3)
		}
	}
	for x := range 3 * w {
		line(middle.pix[x:], out.pix[x:], down, 3*w)
	}
	if linear {
		out = out.mapped(func(v float64) float64 { return 255 * encodedOf(max(0, min(1, v/255))) })
	}
	return out.mapped(func(v float64) float64 { return max(0, min(255, v)) })
}

func (f floats) mapped(to func(float64) float64) floats {
	out := newFloats(f.w, f.h)
	for i, v := range f.pix {
		out.pix[i] = to(v)
	}
	return out
}

func linearOf(v float64) float64 {
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

func encodedOf(v float64) float64 {
	if v <= 0.0031308 {
		return 12.92 * v
	}
	return 1.055*math.Pow(v, 1/2.4) - 0.055
}

func (f floats) luma() []float64 {
	out := make([]float64, f.w*f.h)
	for i := range out {
		out[i] = 0.299*f.pix[3*i] + 0.587*f.pix[3*i+1] + 0.114*f.pix[3*i+2]
	}
	return out
}

// worst is the greatest difference of two samples.
func (f floats) worst(g floats) float64 {
	worst := 0.0
	for i, v := range f.pix {
		worst = max(worst, math.Abs(v-g.pix[i]))
	}
	return worst
}

// similarity is the structural similarity of brightness, as ssim measures it.
func (f floats) similarity(g floats) float64 { return ssimOf(f.luma(), g.luma(), f.w, f.h) }

// difference is the mean colour difference by CIEDE2000.
func (f floats) difference(g floats) float64 {
	total := 0.0
	for i := 0; i < len(f.pix); i += 3 {
		total += deltaE(labOf(f.pix[i:]), labOf(g.pix[i:]))
	}
	return total / float64(f.w*f.h)
}

// labOf is L*a*b* under D65 of an sRGB colour.
func labOf(rgb []float64) [3]float64 {
	r, g, b := linearOf(rgb[0]/255), linearOf(rgb[1]/255), linearOf(rgb[2]/255)
	f := func(v float64) float64 {
		if v > 216.0/24389 {
			return math.Cbrt(v)
		}
		return v*841/108 + 4.0/29
	}
	x, y, z := f((0.4124564*r+0.3575761*g+0.1804375*b)/0.95047), f(0.2126729*r+0.7151522*g+0.0721750*b), f((0.0193339*r+0.1191920*g+0.9503041*b)/1.08883)
	return [3]float64{116*y - 16, 500 * (x - y), 200 * (y - z)}
}

// deltaE is CIEDE2000 (CIE 142-2001).
func deltaE(p, q [3]float64) float64 {
	c := (math.Hypot(p[1], p[2]) + math.Hypot(q[1], q[2])) / 2
	g := 1.5 - 0.5*math.Sqrt(math.Pow(c, 7)/(math.Pow(c, 7)+math.Pow(25, 7)))
	a1, a2 := p[1]*g, q[1]*g
	c1, c2 := math.Hypot(a1, p[2]), math.Hypot(a2, q[2])
	angle := func(b, a float64) float64 {
		if a == 0 && b == 0 {
			return 0
		}
		return math.Mod(math.Atan2(b, a)+2*math.Pi, 2*math.Pi)
	}
	h1, h2 := angle(p[2], a1), angle(q[2], a2)
	dl, dc, dh, sum := q[0]-p[0], c2-c1, h2-h1, h1+h2
	switch {
	case c1*c2 == 0:
		dh = 0
	case math.Abs(dh) > math.Pi:
		if dh > 0 {
			dh -= 2 * math.Pi
		} else {
			dh += 2 * math.Pi
		}
		if sum += 2 * math.Pi; h1+h2 >= 2*math.Pi {
			sum -= 4 * math.Pi
		}
	}
	if c1*c2 != 0 {
		sum /= 2
	}
	dH := 2 * math.Sqrt(c1*c2) * math.Sin(dh/2)
	l, m := (p[0]+q[0])/2, (c1+c2)/2
	deg := math.Pi / 180
	t := 1 - 0.17*math.Cos(sum-30*deg) + 0.24*math.Cos(2*sum) + 0.32*math.Cos(3*sum+6*deg) - 0.20*math.Cos(4*sum-63*deg)
	sl := 1 + 0.015*(l-50)*(l-50)/math.Sqrt(20+(l-50)*(l-50))
	sc, sh := 1+0.045*m, 1+0.015*m*t
	turn := 30 * deg * math.Exp(-math.Pow((sum/deg-275)/25, 2))
	rt := -2 * math.Sqrt(math.Pow(m, 7)/(math.Pow(m, 7)+math.Pow(25, 7))) * math.Sin(2*turn)
	x, y, z := dl/sl, dc/sc, dH/sh
	return math.Sqrt(x*x + y*y + z*z + rt*y*z)
}
