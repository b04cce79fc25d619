package raster

import "encoding/binary"

// table is the conversion of a profile with tables: curves, a grid of colours, and more curves and a matrix, one after the other.
type table struct {
	channels int
	first    [4][256]float64 // the curves that come first, at the values that a sample can have
	stages   []stage
	pcs      func([4]float64) [3]float64 // to XYZ
	black    [3]float64                  // the darkest colour, which becomes black
}

// stage changes the channels in place.
type stage func(v *[4]float64)

// parseTables reads an A2B tag: lut8Type, lut16Type or lutAToBType of ICC.1:2022, 10.10 to 10.12.
func parseTables(b []byte, space, pcs string) (*table, bool) {
	channels := map[string]int{"GRAY": 1, "RGB ": 3, "CMYK": 4}[space]
	if channels == 0 || len(b) < 32 || int(b[8]) != channels || b[9] != 3 {
		return nil, false
	}
	t := &table{channels: channels}
	kind := string(b[:4])
	ok := false
	switch kind {
	case "mft1":
		ok = t.parseOld(b, 1, 256, 256, 48)
	case "mft2":
		if len(b) >= 52 {
			ok = t.parseOld(b, 2, int(binary.BigEndian.Uint16(b[48:])), int(binary.BigEndian.Uint16(b[50:])), 52)
		}
	case "mAB ":
		ok = t.parseNew(b)
	}
	t.pcs = decodeXYZ
	if pcs == "Lab " {
		t.pcs = decodeLab(kind == "mft2")
	}
	return t, ok
}

// parseOld reads the types of profiles before version 4: points and grid have one width in bytes. The matrix in front is for XYZ alone.
func (t *table) parseOld(b []byte, width, before, after, at int) bool {
	grid := int(b[10])
	nodes, ok := gridNodes(slicesOf(grid, t.channels))
	end := at + width*(before*t.channels+3*nodes+after*3)
	if !ok || before < 2 || after < 2 || end > len(b) {
		return false
	}
	points := func(n int) curve {
		p := b[at : at+n*width]
		at += n * width
		if width == 1 {
			return curve{at: narrow(p)}
		}
		return curve{at: wide(p)}
	}
	for i := range t.channels {
		t.first[i] = tabulate(points(before))
	}
	t.stages = append(t.stages, newGrid(slicesOf(grid, t.channels), b[at:], width, nodes).stage)
	at += 3 * nodes * width
	t.stages = append(t.stages, curves([]curve{points(after), points(after), points(after)}))
	return true
}

// parseNew reads the type of version 4: each part is where its offset says, or missing.
func (t *table) parseNew(b []byte) bool {
	offset := func(at int) []byte {
		if n := binary.BigEndian.Uint32(b[at:]); n >= 32 && int64(n) < int64(len(b)) {
			return b[n:]
		}
		return nil
	}
	last, matrix, middle, grid, front := offset(12), offset(16), offset(20), offset(24), offset(28)
	if last == nil || (grid == nil) != (front == nil) || grid == nil && t.channels != 3 {
		return false
	}
	for i := range t.first {
		t.first[i] = tabulate(curve{at: func(v float64) float64 { return v }})
	}
	if grid != nil {
		first, ok := parseCurves(front, t.channels)
		if !ok {
			return false
		}
		for i, c := range first {
			t.first[i] = tabulate(c)
		}
		if !t.parseGrid(grid) {
			return false
		}
	}
	if middle != nil && matrix != nil {
		if !t.addCurves(middle) || len(matrix) < 48 {
			return false
		}
		t.stages = append(t.stages, matrixStage(matrix))
	}
	return t.addCurves(last)
}

func (t *table) addCurves(b []byte) bool {
	c, ok := parseCurves(b, 3)
	if ok {
		t.stages = append(t.stages, curves(c))
	}
	return ok
}

func (t *table) parseGrid(b []byte) bool {
	if len(b) < 20 || b[16] != 1 && b[16] != 2 {
		return false
	}
	var sides []int
	for _, side := range b[:t.channels] {
		sides = append(sides, int(side))
	}
	nodes, ok := gridNodes(sides)
	if !ok || len(b)-20 < 3*nodes*int(b[16]) {
		return false
	}
	t.stages = append(t.stages, newGrid(sides, b[20:], int(b[16]), nodes).stage)
	return true
}

// parseCurves reads curves that stand one behind the other, each from a multiple of four bytes on.
func parseCurves(b []byte, n int) ([]curve, bool) {
	var out []curve
	for range n {
		c, ok := parseCurve(b)
		if !ok {
			return nil, false
		}
		out = append(out, c)
		b = b[min(len(b), (c.length+3)&^3):]
	}
	return out, true
}

// fine is how finely a curve is tabulated that pixels go through.
const fine = 4096

func curves(c []curve) stage {
	var points [3][fine + 2]float64
	for i := range points {
		for k := range points[i] {
			points[i][k] = number(c[i].at(min(1, float64(k)/fine)))
		}
	}
	return func(v *[4]float64) {
		for i := range points {
			at := v[i] * fine
			if !(at >= 0 && at <= fine) {
				v[i] = number(c[i].at(v[i]))
				continue
			}
			k := int(at)
			v[i] = points[i][k] + (points[i][k+1]-points[i][k])*(at-float64(k))
		}
	}
}

func matrixStage(b []byte) stage {
	var m [12]float64
	for i := range m {
		m[i] = s15Fixed16(b[4*i:])
	}
	return func(v *[4]float64) {
		x, y, z := v[0], v[1], v[2]
		for i := range 3 {
			v[i] = m[3*i]*x + m[3*i+1]*y + m[3*i+2]*z + m[9+i]
		}
	}
}

// xyz is the colour of a sample.
func (t *table) xyz(sample [4]byte) [3]float64 {
	var v [4]float64
	for i := range t.channels {
		v[i] = t.first[i][sample[i]]
	}
	for _, s := range t.stages {
		s(&v)
	}
	return t.pcs(v)
}
