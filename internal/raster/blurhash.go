package raster

import (
	"image"
	"math"
)

// blurHash is the BlurHash of an opaque picture: the first nx × ny terms of a cosine transform of its linear light, in digits of base 83. The
// layout is that of the published algorithm.
func blurHash(m *image.NRGBA, nx, ny int) string {
	terms := blurTerms(m, nx, ny)
	peak := 0.0
	for _, t := range terms[1:] {
		peak = max(peak, math.Abs(t[0]), math.Abs(t[1]), math.Abs(t[2]))
	}
	scale := max(0, min(82, int(math.Floor(166*peak-0.5))))
	hash := appendDigits(nil, nx-1+(ny-1)*9, 1)
	hash = appendDigits(hash, scale, 1)
	mean := 0
	for _, v := range terms[0] {
		mean = mean<<8 | int(math.Round(255*fromLinear(unit(v))))
	}
	hash = appendDigits(hash, mean, 4)
	for _, t := range terms[1:] {
		packed := 0
		for _, v := range t {
			v *= 166 / float64(scale+1)
			root := math.Copysign(math.Sqrt(math.Abs(v)), v)
			packed = packed*19 + max(0, min(18, int(math.Floor(9*root+9.5))))
		}
		hash = appendDigits(hash, packed, 2)
	}
	return string(hash)
}

// blurTerms are the terms, row by row.
func blurTerms(m *image.NRGBA, nx, ny int) [][3]float64 {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	light := make([][3]float64, 0, w*h)
	for i := 0; i+3 < len(m.Pix); i += 4 {
		light = append(light, [3]float64{toLinear(float64(m.Pix[i]) / 255), toLinear(float64(m.Pix[i+1]) / 255), toLinear(float64(m.Pix[i+2]) / 255)})
	}
	terms := make([][3]float64, nx*ny)
	for n := range terms {
		weight := 2 / float64(w*h)
		if n == 0 {
			weight /= 2
		}
		for i, c := range light {
			f := weight * math.Cos(math.Pi*float64(n%nx*(i%w))/float64(w)) * math.Cos(math.Pi*float64(n/nx*(i/w))/float64(h))
			for k := range c {
				terms[n][k] += f * c[k]
			}
		}
	}
	return terms
}

// appendDigits writes a number with n digits.
func appendDigits(b []byte, v, n int) []byte {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
	for div := int(math.Pow(83, float64(n-1))); div > 0; div /= 83 {
		b = append(b, digits[v/div%83])
	}
	return b
}

// fromLinear is sRGB's curve the other way round.
func fromLinear(v float64) float64 {
	if v <= 0.0031308 {
		return 12.92 * v
	}
	return 1.055*math.Pow(v, 1/2.4) - 0.055
}
