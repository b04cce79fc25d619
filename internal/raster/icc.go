package raster

import "encoding/binary"

// Profiles say how device values become XYZ or L*a*b* under D50. Those of the matrix kind have three primaries and three curves, or one curve
// for grey: Display P3, Adobe RGB, ProPhoto and every camera's. Those with tables (icctable.go) are for inks, scanners and some monitors. A profile
// that cannot be read is as if it were not there.

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
	if space == "" {
		return nil
	}
	pcs := string(icc[20:24])
	if pcs != "XYZ " && pcs != "Lab " {
		return nil
	}
	tags := profileTags(icc)
	c := &colors{space: space, encode: encodeTable()}
	if t, ok := parseTables(tags["A2B0"], space, pcs); ok {
		c.table = t
		t.black = t.darkest()
		if icc[8] >= 4 {
			t.black = perceptualBlack()
		}
	} else if !c.parseMatrix(tags, pcs) {
		return nil
	}
	if space != "CMYK" && c.identity() {
		return nil
	}
	return c
}

// parseMatrix reads curves and primaries.
func (c *colors) parseMatrix(tags map[string][]byte, pcs string) bool {
	switch {
	case c.space == "GRAY":
		grey, ok := parseCurve(tags["kTRC"])
		if !ok {
			return false
		}
		if pcs == "Lab " {
			lightness := grey.at
			grey.at = func(v float64) float64 { return fromLightness(100 * lightness(v)) }
		}
		c.matrix = [9]float64{0: 1, 4: 1, 8: 1}
		c.curves = [3][256]float64{tabulate(grey), tabulate(grey), tabulate(grey)}
		return true
	case c.space == "RGB " && pcs == "XYZ ":
		var toXYZ [9]float64
		for i, name := range []string{"r", "g", "b"} {
			xyz, ok1 := parseXYZ(tags[name+"XYZ"])
			curve, ok2 := parseCurve(tags[name+"TRC"])
			if !ok1 || !ok2 {
				return false
			}
			toXYZ[i], toXYZ[3+i], toXYZ[6+i] = xyz[0], xyz[1], xyz[2]
			c.curves[i] = tabulate(curve)
		}
		c.matrix = multiply(fromXYZ(), toXYZ)
		return true
	}
	return false
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
