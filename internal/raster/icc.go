package raster

import (
	"encoding/binary"
	"math"
)

// Profiles of the matrix kind are read: three primaries and three curves, or one curve for grey. That is Display P3, Adobe RGB, ProPhoto and
// every camera's. Tables (CMYK, some scanners) are not; such a picture is taken as if it had no profile.

// profileSpace is the colour space that a profile says it is for, "" if it is none.
func profileSpace(icc []byte) string {
	if len(icc) < 132 || string(icc[36:40]) != "acsp" {
		return ""
	}
	return string(icc[16:20])
}

// parseProfile makes the conversion from a profile to sRGB, or nil where there is nothing to convert or nothing that can be.
func parseProfile(icc []byte) *colors {
	space := profileSpace(icc)
	if space == "" || string(icc[20:24]) != "XYZ " {
		return nil
	}
	tags := profileTags(icc)
	c := &colors{encode: encodeTable()}
	switch space {
	case "GRAY":
		grey, ok := parseCurve(tags["kTRC"])
		if !ok {
			return nil
		}
		c.grey = true
		c.matrix = [9]float64{0: 1, 4: 1, 8: 1}
		c.curves = [3][256]float64{tabulate(grey), tabulate(grey), tabulate(grey)}
	case "RGB ":
		var toXYZ [9]float64
		for i, name := range []string{"r", "g", "b"} {
			xyz, ok1 := parseXYZ(tags[name+"XYZ"])
			curve, ok2 := parseCurve(tags[name+"TRC"])
			if !ok1 || !ok2 {
				return nil
			}
			toXYZ[i], toXYZ[3+i], toXYZ[6+i] = xyz[0], xyz[1], xyz[2]
			c.curves[i] = tabulate(curve)
		}
		c.matrix = multiply(fromXYZ(), toXYZ)
	default:
		return nil
	}
	if c.identity() {
		return nil
	}
	return c
}

// profileTags finds the tags of a profile. Tags that reach beyond it are left out.
func profileTags(icc []byte) map[string][]byte {
	tags := make(map[string][]byte)
	n := int(min(binary.BigEndian.Uint32(icc[128:]), 100))
	for i := range n {
		at := 132 + 12*i
		if at+12 > len(icc) {
			break
		}
		from, size := int64(binary.BigEndian.Uint32(icc[at+4:])), int64(binary.BigEndian.Uint32(icc[at+8:]))
		if from+size <= int64(len(icc)) {
			tags[string(icc[at:at+4])] = icc[from : from+size]
		}
	}
	return tags
}

func s15Fixed16(b []byte) float64 { return float64(int32(binary.BigEndian.Uint32(b))) / 65536 }

func parseXYZ(b []byte) ([3]float64, bool) {
	if len(b) < 20 || string(b[:4]) != "XYZ " {
		return [3]float64{}, false
	}
	return [3]float64{s15Fixed16(b[8:]), s15Fixed16(b[12:]), s15Fixed16(b[16:])}, true
}

// parseCurve reads a tone curve, which maps 0…1 to linear light.
func parseCurve(b []byte) (func(float64) float64, bool) {
	if len(b) < 12 {
		return nil, false
	}
	switch string(b[:4]) {
	case "curv":
		return parseTable(b)
	case "para":
		return parseFormula(b)
	}
	return nil, false
}

func parseTable(b []byte) (func(float64) float64, bool) {
	n := int64(binary.BigEndian.Uint32(b[8:]))
	if n == 0 {
		return func(v float64) float64 { return v }, true
	}
	points := b[12:]
	if int64(len(points)) < 2*n {
		return nil, false
	}
	if n == 1 {
		gamma := float64(binary.BigEndian.Uint16(points)) / 256
		return func(v float64) float64 { return math.Pow(v, gamma) }, true
	}
	return func(v float64) float64 {
		at := v * float64(n-1)
		i := min(int(at), int(n)-2)
		low, high := float64(binary.BigEndian.Uint16(points[2*i:])), float64(binary.BigEndian.Uint16(points[2*i+2:]))
		return (low + (high-low)*(at-float64(i))) / 65535
	}, true
}

// parseFormula reads the parametric curves of ICC.1:2022, 10.18: y = (a·x + b)^g + e from d on, c·x + f below.
func parseFormula(b []byte) (func(float64) float64, bool) {
	kind := binary.BigEndian.Uint16(b[8:])
	counts := []int{1, 3, 4, 5, 7}
	if int(kind) >= len(counts) || len(b) < 12+4*counts[kind] {
		return nil, false
	}
	var v [7]float64
	for i := range counts[kind] {
		v[i] = s15Fixed16(b[12+4*i:])
	}
	g, a, bb, c, d, e, f := v[0], v[1], v[2], v[3], v[4], v[5], v[6]
	switch kind {
	case 0:
		a, d = 1, math.Inf(-1)
	case 1, 2:
		if a == 0 {
			return nil, false
		}
		// Below −b/a the curve is flat: at 0, or at c, which the fourth parameter is here.
		flat := 0.0
		if kind == 2 {
			flat = c
		}
		c, d, e, f = 0, -bb/a, flat, flat
	}
	return func(x float64) float64 {
		if x >= d {
			return math.Pow(max(0, a*x+bb), g) + e
		}
		return c*x + f
	}, true
}

func tabulate(curve func(float64) float64) [256]float64 {
	var out [256]float64
	for i := range out {
		v := curve(float64(i) / 255)
		if math.IsNaN(v) {
			v = 0
		}
		out[i] = max(0, min(1, v))
	}
	return out
}
