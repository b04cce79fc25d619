package raster

import (
	"encoding/binary"
	"image"
	"math"
	"testing"
)

// tagged makes a profile of one tag.
func tagged(space, pcs string, version byte, tag string, data []byte) []byte {
	head := make([]byte, 144)
	head[8] = version
	copy(head[16:], space+pcs)
	copy(head[36:], "acsp")
	head[131] = 1
	copy(head[132:], tag)
	binary.BigEndian.PutUint32(head[136:], 144)
	binary.BigEndian.PutUint32(head[140:], uint32(len(data)))
	out := append(head, data...)
	binary.BigEndian.PutUint32(out, uint32(len(out)))
	return out
}

// sampled is a grid of a function, in 8 or 16 bits.
func sampled(channels, side, width int, f func(v [4]float64) [3]float64) []byte {
	var out []byte
	for n := range int(math.Pow(float64(side), float64(channels)) + 0.5) {
		var v [4]float64
		for i := channels - 1; i >= 0; i-- {
			v[i] = float64(n%side) / float64(side-1)
			n /= side
		}
		for _, x := range f(v) {
			if width == 1 {
				out = append(out, byte(math.Round(255*x)))
			} else {
				out = binary.BigEndian.AppendUint16(out, uint16(math.Round(65535*x)))
			}
		}
	}
	return out
}

// oldTable is lut8Type or lut16Type: straight curves around a grid.
func oldTable(kind string, channels, side int, f func(v [4]float64) [3]float64) []byte {
	b := append([]byte(kind+"\x00\x00\x00\x00"), byte(channels), 3, byte(side), 0)
	for i := range 9 {
		b = binary.BigEndian.AppendUint32(b, map[bool]uint32{true: 65536}[i%4 == 0])
	}
	straight := func(n int) {
		for range n {
			if kind == "mft2" {
				b = append(b, 0, 0, 255, 255)
				continue
			}
			for v := range 256 {
				b = append(b, byte(v))
			}
		}
	}
	width := 1
	if kind == "mft2" {
		width = 2
		b = append(b, 0, 2, 0, 2)
	}
	straight(channels)
	b = append(b, sampled(channels, side, width, f)...)
	straight(3)
	return b
}

// newTable is lutAToBType of a grid between straight curves, or, with no side, of curves and a matrix.
func newTable(channels, side, width int, f func(v [4]float64) [3]float64, middle []byte, matrix []float64) []byte {
	b := append([]byte("mAB \x00\x00\x00\x00"), byte(channels), 3, 0, 0)
	b = append(b, make([]byte, 20)...)
	part := func(at int, data []byte) {
		binary.BigEndian.PutUint32(b[at:], uint32(len(b)))
		b = append(b, data...)
	}
	straight := []byte("curv\x00\x00\x00\x00\x00\x00\x00\x00")
	part(12, append(append(append([]byte(nil), straight...), straight...), straight...))
	if side > 0 {
		head := make([]byte, 20)
		for i := range channels {
			head[i] = byte(side)
		}
		head[16] = byte(width)
		part(24, append(head, sampled(channels, side, width, f)...))
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		part(28, append(append(append(append([]byte(nil), straight...), straight...), straight...), straight...))
		return b
	}
	part(20, append(append(append([]byte(nil), middle...), middle...), middle...))
	var m []byte
	for _, v := range matrix {
		m = binary.BigEndian.AppendUint32(m, uint32(int32(math.Round(v*65536))))
	}
	part(16, m)
	return b
}

// wideGamut is Display P3 to XYZ.
func wideGamut(v [4]float64) [3]float64 {
	r, g, b := toLinear(v[0]), toLinear(v[1]), toLinear(v[2])
	return [3]float64{0.51512*r + 0.29198*g + 0.15710*b, 0.24120*r + 0.69225*g + 0.06657*b, -0.00105*r + 0.04189*g + 0.78407*b}
}

// encodedXYZ is XYZ as tables have it.
func encodedXYZ(xyz [3]float64) [3]float64 {
	for i := range xyz {
		xyz[i] = max(0, xyz[i]) * 32768 / 65535
	}
	return xyz
}

// encodedLab is L*a*b* as tables have it.
func encodedLab(xyz [3]float64, old bool) [3]float64 {
	f := func(v float64) float64 {
		if v > 216.0/24389 {
			return math.Cbrt(v)
		}
		return v*841/108 + 4.0/29
	}
	w := white()
	x, y, z := f(xyz[0]/w[0]), f(xyz[1]/w[1]), f(xyz[2]/w[2])
	lab := [3]float64{(116*y - 16) / 100, (500*(x-y) + 128) / 255, (200*(y-z) + 128) / 255}
	if old {
		for i := range lab {
			lab[i] *= 65280.0 / 65535
		}
	}
	return lab
}

// TestTables writes one wide gamut in every way that a profile can, and wants the same sRGB of all.
func TestTables(t *testing.T) {
	t.Parallel()
	xyz := func(v [4]float64) [3]float64 { return encodedXYZ(wideGamut(v)) }
	lab := func(v [4]float64) [3]float64 { return encodedLab(wideGamut(v), false) }
	oldLab := func(v [4]float64) [3]float64 { return encodedLab(wideGamut(v), true) }
	const half = 32768.0 / 65535
	matrix := []float64{0.51512 * half, 0.29198 * half, 0.15710 * half, 0.24120 * half, 0.69225 * half, 0.06657 * half, -0.00105 * half, 0.04189 * half, 0.78407 * half, 0, 0, 0}
	formula := []byte("para\x00\x00\x00\x00\x00\x03\x00\x00")
	for _, v := range []float64{2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045} {
		formula = binary.BigEndian.AppendUint32(formula, uint32(math.Round(v*65536)))
	}
	for _, tt := range []struct {
		name, pcs string
		data      []byte
		tolerance int
	}{
		{"mft1 Lab", "Lab ", oldTable("mft1", 3, 33, lab), 5},
		{"mft2 Lab", "Lab ", oldTable("mft2", 3, 33, oldLab), 2},
		{"mft2 XYZ", "XYZ ", oldTable("mft2", 3, 33, xyz), 4},
		{"mAB Lab", "Lab ", newTable(3, 33, 2, lab, nil, nil), 2},
		{"mAB Lab, 8 bits", "Lab ", newTable(3, 33, 1, lab, nil, nil), 5},
		{"mAB XYZ by matrix", "XYZ ", newTable(3, 0, 0, nil, formula, matrix), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := parseProfile(tagged("RGB ", tt.pcs, 2, "A2B0", tt.data))
			if c == nil || c.table == nil {
				t.Fatal("not read")
			}
			// By littleCMS, relative colorimetric.
			for in, want := range map[[4]byte][3]int{{200, 100, 80}: {215, 93, 73}, {230, 230, 230}: {230, 230, 230}, {128, 128, 128}: {128, 128, 128}, {90, 90, 190}: {90, 90, 197}} {
				r, g, b := c.convert(in)
				for i, got := range []byte{r, g, b} {
					if off := int(got) - want[i]; max(off, -off) > tt.tolerance {
						t.Errorf("%v becomes %d, %d, %d, want %v", in[:3], r, g, b, want)
					}
				}
			}
		})
	}
}

// TestInk converts inks by a profile whose darkest colour is a dark grey: it must become black, and paper white.
func TestInk(t *testing.T) {
	t.Parallel()
	paper := func(v [4]float64) [3]float64 { // inks that take away light, down to a twentieth
		var rgb [4]float64
		for i := range 3 {
			rgb[i] = 0.05 + 0.95*(1-v[i])*(1-v[3])
		}
		srgb := [9]float64{0.43607, 0.38515, 0.14307, 0.22249, 0.71687, 0.06061, 0.01392, 0.09708, 0.71410}
		var xyz [3]float64
		for i := range 3 {
			xyz[i] = srgb[3*i]*rgb[0] + srgb[3*i+1]*rgb[1] + srgb[3*i+2]*rgb[2]
		}
		return encodedLab(xyz, true)
	}
	c := parseProfile(tagged("CMYK", "Lab ", 2, "A2B0", oldTable("mft2", 4, 9, paper)))
	if c == nil {
		t.Fatal("not read")
	}
	ink := image.NewCMYK(image.Rect(0, 0, 5, 1))
	copy(ink.Pix, []byte{0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 128})
	out, err := c.apply(t.Context(), ink)
	if err != nil {
		t.Fatal(err)
	}
	want := []byte{255, 255, 255, 255, 0, 0, 0, 255, 0, 255, 255, 255, 255, 0, 0, 255, 188, 188, 188, 255}
	for i, got := range out.(*image.NRGBA).Pix {
		if off := int(got) - int(want[i]); max(off, -off) > 4 {
			t.Fatalf("%v, want %v", out.(*image.NRGBA).Pix, want)
		}
	}
	// A profile of inks says nothing of a picture in light, and the other way round.
	grey, light := image.NewGray(ink.Rect), image.NewNRGBA(ink.Rect)
	for _, m := range []image.Image{grey, light} {
		if out, err := c.apply(t.Context(), m); err != nil || out != m {
			t.Errorf("%T is converted by a profile of inks: %v", m, err)
		}
	}
	rgb := parseProfile(tagged("RGB ", "Lab ", 2, "A2B0", oldTable("mft2", 3, 3, paper)))
	if out, err := rgb.apply(t.Context(), ink); err != nil || out.(*image.NRGBA).NRGBAAt(1, 0).R != 0 {
		t.Errorf("ink by a profile of light: %v, %v", out, err)
	}
}

// TestGreyInLab reads the profile of a grey scale in lightness.
func TestGreyInLab(t *testing.T) {
	t.Parallel()
	c := parseProfile(tagged("GRAY", "Lab ", 2, "kTRC", []byte("curv\x00\x00\x00\x00\x00\x00\x00\x00")))
	if c == nil {
		t.Fatal("not read")
	}
	// A lightness of 50 is 18.4 % of white's light, in sRGB 119.
	if r, g, b := c.convert([4]byte{128, 128, 128}); r != 119 || g != 119 || b != 119 {
		t.Errorf("half becomes %d, %d, %d, want 119", r, g, b)
	}
}

// TestBrokenTables cuts and bends profiles: each is read or not, and never more than that.
func TestBrokenTables(t *testing.T) {
	t.Parallel()
	lab := func(v [4]float64) [3]float64 { return encodedLab(wideGamut(v), true) }
	for _, whole := range [][]byte{
		tagged("RGB ", "Lab ", 2, "A2B0", oldTable("mft2", 3, 3, lab)), tagged("RGB ", "Lab ", 2, "A2B0", oldTable("mft1", 3, 3, lab)),
		tagged("RGB ", "Lab ", 4, "A2B0", newTable(3, 3, 2, lab, nil, nil)), tagged("CMYK", "Lab ", 2, "A2B0", oldTable("mft2", 4, 2, lab)),
	} {
		for n := range whole {
			tryProfile(t, whole[:n])
			if n > 200 {
				continue // points of a curve or a grid: any will do
			}
			bent := append([]byte(nil), whole...)
			for _, v := range []byte{0, 3, 255} {
				bent[n] = v
				tryProfile(t, bent)
			}
		}
	}
}

func tryProfile(t *testing.T, icc []byte) {
	t.Helper()
	c := parseProfile(icc)
	if c == nil {
		return
	}
	for _, m := range []image.Image{image.NewCMYK(image.Rect(0, 0, 2, 2)), image.NewNRGBA(image.Rect(0, 0, 2, 2)), image.NewGray(image.Rect(0, 0, 2, 2))} {
		if _, err := c.apply(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	c.convert([4]byte{255, 128, 3, 77})
}

// FuzzProfile reads profiles from strangers.
func FuzzProfile(f *testing.F) {
	lab := func(v [4]float64) [3]float64 { return encodedLab(wideGamut(v), true) }
	f.Add(tagged("RGB ", "Lab ", 2, "A2B0", oldTable("mft2", 3, 2, lab)))
	f.Add(tagged("CMYK", "XYZ ", 4, "A2B0", newTable(4, 2, 1, lab, nil, nil)))
	f.Add([]byte("acsp"))
	f.Add(tagged("GRAY", "Lab ", 2, "kTRC", []byte("curv\x00\x00\x00\x00\x00\x00\x00\x01\x02\x00")))
	f.Fuzz(func(t *testing.T, icc []byte) {
		if len(icc) < 1<<16 {
			tryProfile(t, icc)
		}
	})
}
