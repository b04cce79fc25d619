package raster

import (
	"context"
	"image"
	"math"
)

// encodeSteps is how finely linear light is divided before it is encoded: fine enough that no step of the dark end is skipped.
const encodeSteps = 1 << 14

// colors converts pixels to sRGB. A nil *colors converts only what has to be: CMYK.
type colors struct {
	grey   bool
	curves [3][256]float64 // each channel to linear light
	matrix [9]float64      // to linear sRGB
	encode []byte          // linear sRGB, in encodeSteps, to 0…255
}

// encodeTable is sRGB's own curve, the other way round.
func encodeTable() []byte {
	out := make([]byte, encodeSteps+1)
	for i := range out {
		v := float64(i) / encodeSteps
		if v <= 0.0031308 {
			v *= 12.92
		} else {
			v = 1.055*math.Pow(v, 1/2.4) - 0.055
		}
		out[i] = byte(math.Round(255 * v))
	}
	return out
}

// fromXYZ turns XYZ under D50, in which profiles speak, into linear sRGB: the inverse of the primaries in sRGB's own profile.
func fromXYZ() [9]float64 {
	return [9]float64{
		3.1338561, -1.6168667, -0.4906146,
		-0.9787684, 1.9161415, 0.0334540,
		0.0719453, -0.2289914, 1.4052427,
	}
}

func multiply(a, b [9]float64) [9]float64 {
	var out [9]float64
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				out[3*i+j] += a[3*i+k] * b[3*k+j]
			}
		}
	}
	return out
}

func (c *colors) convert(r, g, b byte) (byte, byte, byte) {
	lr, lg, lb := c.curves[0][r], c.curves[1][g], c.curves[2][b]
	m := &c.matrix
	return c.encoded(m[0]*lr + m[1]*lg + m[2]*lb), c.encoded(m[3]*lr + m[4]*lg + m[5]*lb), c.encoded(m[6]*lr + m[7]*lg + m[8]*lb)
}

func (c *colors) encoded(v float64) byte {
	return c.encode[int(max(0, min(encodeSteps, v*encodeSteps+0.5)))]
}

// identity says that the profile is sRGB in all but name: no colour moves by more than rounding does.
func (c *colors) identity() bool {
	near := func(a, b byte) bool { return a-b <= 1 || b-a <= 1 }
	for r := 0; r < 256; r += 51 {
		for g := 0; g < 256; g += 51 {
			for b := 0; b < 256; b += 51 {
				x, y, z := c.convert(byte(r), byte(g), byte(b))
				if !near(x, byte(r)) || !near(y, byte(g)) || !near(z, byte(b)) {
					return false
				}
			}
		}
	}
	return true
}

// apply converts m, which it may change.
func (c *colors) apply(ctx context.Context, m image.Image) (image.Image, error) {
	if ink, ok := m.(*image.CMYK); ok {
		return fromInk(ink), nil
	}
	if c == nil {
		return m, nil
	}
	if grey, ok := m.(*image.Gray); ok && c.grey {
		for i, v := range grey.Pix {
			grey.Pix[i], _, _ = c.convert(v, v, v)
		}
		return grey, nil
	}
	if c.grey != isGrey(m) {
		return m, nil // a profile for another kind of picture
	}
	out := toNRGBA(m)
	for y := range out.Rect.Dy() {
		if y%64 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		row := out.Pix[y*out.Stride:][:4*out.Rect.Dx()]
		for i := 0; i+3 < len(row); i += 4 {
			row[i], row[i+1], row[i+2] = c.convert(row[i], row[i+1], row[i+2])
		}
	}
	return out, nil
}

func isGrey(m image.Image) bool {
	_, ok := m.(*image.Gray)
	return ok
}
