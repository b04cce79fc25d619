package raster

import (
	"encoding/binary"
	"math"
)

// curve maps 0…1 to 0…1, or beyond where its profile is odd.
type curve struct {
	at     func(float64) float64
	length int // in the profile, in bytes
}

// parseCurve reads a curve from the beginning of b.
func parseCurve(b []byte) (curve, bool) {
	if len(b) < 12 {
		return curve{}, false
	}
	switch string(b[:4]) {
	case "curv":
		return parsePoints(b)
	case "para":
		return parseFormula(b)
	}
	return curve{}, false
}

func parsePoints(b []byte) (curve, bool) {
	n := int64(binary.BigEndian.Uint32(b[8:]))
	points := b[12:]
	if int64(len(points)) < 2*n {
		return curve{}, false
	}
	c := curve{length: 12 + 2*int(n)}
	switch n {
	case 0:
		c.at = func(v float64) float64 { return v }
	case 1:
		gamma := float64(binary.BigEndian.Uint16(points)) / 256
		c.at = func(v float64) float64 { return math.Pow(v, gamma) }
	default:
		c.at = wide(points[:2*n])
	}
	return c, true
}

// wide is a curve through points of 16 bits, at least two.
func wide(points []byte) func(float64) float64 {
	n := len(points) / 2
	return func(v float64) float64 {
		at := unit(v) * float64(n-1)
		i := min(int(at), n-2)
		low, high := float64(binary.BigEndian.Uint16(points[2*i:])), float64(binary.BigEndian.Uint16(points[2*i+2:]))
		return (low + (high-low)*(at-float64(i))) / 65535
	}
}

// narrow is a curve through points of 8 bits, at least two.
func narrow(points []byte) func(float64) float64 {
	n := len(points)
	return func(v float64) float64 {
		at := unit(v) * float64(n-1)
		i := min(int(at), n-2)
		low, high := float64(points[i]), float64(points[i+1])
		return (low + (high-low)*(at-float64(i))) / 255
	}
}

// parseFormula reads the parametric curves of ICC.1:2022, 10.18: y = (a·x + b)^g + e from d on, c·x + f below.
func parseFormula(in []byte) (curve, bool) {
	kind := binary.BigEndian.Uint16(in[8:])
	counts := []int{1, 3, 4, 5, 7}
	if int(kind) >= len(counts) || len(in) < 12+4*counts[kind] {
		return curve{}, false
	}
	var v [7]float64
	for i := range counts[kind] {
		v[i] = s15Fixed16(in[12+4*i:])
	}
	g, a, b, c, d, e, f := v[0], v[1], v[2], v[3], v[4], v[5], v[6]
	switch kind {
	case 0:
		a, d = 1, math.Inf(-1)
	case 1, 2:
		if a == 0 {
			return curve{}, false
		}
		// Below −b/a the curve is flat: at 0, or at c, which the fourth parameter is here.
		flat := 0.0
		if kind == 2 {
			flat = c
		}
		c, d, e, f = 0, -b/a, flat, flat
	}
	return curve{length: 12 + 4*counts[kind], at: func(x float64) float64 {
		if x >= d {
			return math.Pow(max(0, a*x+b), g) + e
		}
		return c*x + f
	}}, true
}

// tabulate is a curve at the 256 values that a sample can have.
func tabulate(c curve) [256]float64 {
	var out [256]float64
	for i := range out {
		out[i] = unit(c.at(float64(i) / 255))
	}
	return out
}

// number is v, or 0 where it is none.
func number(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// unit is v within 0…1, and 0 where it is no number.
func unit(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return max(0, min(1, v))
}
