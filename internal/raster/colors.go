package raster

import (
	"context"
	"image"
)

// encodeSteps is how finely linear light is divided before it is encoded: fine enough that no step of the dark end is skipped.
const encodeSteps = 1 << 14

// colors converts pixels to sRGB. A nil *colors converts only what has to be: CMYK.
type colors struct {
	space  string          // of the profile
	curves [3][256]float64 // each channel to linear light
	matrix [9]float64      // to linear sRGB
	table  *table          // in place of curves and matrix
	encode []byte          // linear sRGB, in encodeSteps, to 0…255
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

// convert converts a sample, of as many channels as the profile has. A grey one has its value in all of them.
func (c *colors) convert(sample [4]byte) (r, g, b byte) {
	if c.table != nil {
		v := c.table.linear(sample)
		return c.encoded(v[0]), c.encoded(v[1]), c.encoded(v[2])
	}
	lr, lg, lb := c.curves[0][sample[0]], c.curves[1][sample[1]], c.curves[2][sample[2]]
	m := &c.matrix
	return c.encoded(m[0]*lr + m[1]*lg + m[2]*lb), c.encoded(m[3]*lr + m[4]*lg + m[5]*lb), c.encoded(m[6]*lr + m[7]*lg + m[8]*lb)
}

func (c *colors) encoded(v float64) byte {
	return c.encode[int(unit(v)*encodeSteps+0.5)]
}

// identity says that the profile is sRGB in all but name: no colour moves by more than rounding does.
func (c *colors) identity() bool {
	near := func(a, b byte) bool { return a-b <= 1 || b-a <= 1 }
	for r := 0; r < 256; r += 51 {
		for g := 0; g < 256; g += 51 {
			for b := 0; b < 256; b += 51 {
				if c.space == "GRAY" && (r != g || g != b) {
					continue
				}
				x, y, z := c.convert([4]byte{byte(r), byte(g), byte(b)})
				if !near(x, byte(r)) || !near(y, byte(g)) || !near(z, byte(b)) {
					return false
				}
			}
		}
	}
	return true
}

// apply converts m, which it may change. A profile for another kind of picture is as if it were not there.
func (c *colors) apply(ctx context.Context, m image.Image) (image.Image, error) {
	switch m := m.(type) {
	case *image.CMYK:
		if c == nil || c.space != "CMYK" {
			return fromInk(m), nil
		}
		out := image.NewNRGBA(m.Rect)
		return out, c.convertAll(ctx, out, m.Pix)
	case *image.Gray:
		if c == nil || c.space != "GRAY" {
			return m, nil
		}
		for i, v := range m.Pix {
			_, m.Pix[i], _ = c.convert([4]byte{v, v, v})
		}
		return m, nil
	}
	if c == nil || c.space == "CMYK" {
		return m, nil
	}
	out := toNRGBA(m)
	if c.space == "GRAY" && !neutral(out.Pix) {
		return m, nil
	}
	return out, c.convertAll(ctx, out, out.Pix)
}

// neutral says that pixels have no colour: grey with transparency has four channels here.
func neutral(pix []byte) bool {
	for i := 0; i+3 < len(pix); i += 4 {
		if pix[i] != pix[i+1] || pix[i] != pix[i+2] {
			return false
		}
	}
	return true
}

// convertAll converts pixels of four bytes into out, which has no gaps between its rows and keeps its own alpha unless they are ink.
func (c *colors) convertAll(ctx context.Context, out *image.NRGBA, pix []byte) error {
	const step = 1 << 16
	ink := c.space == "CMYK"
	var last [4]byte
	r, g, b := c.convert(last)
	for i := 0; i+3 < len(pix); i += 4 {
		if i%step == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		sample := [4]byte{pix[i], pix[i+1], pix[i+2]}
		alpha := pix[i+3]
		if ink {
			sample[3], alpha = pix[i+3], 255
		}
		if sample != last {
			last = sample
			r, g, b = c.convert(sample)
		}
		p := out.Pix[i : i+4 : i+4]
		p[0], p[1], p[2], p[3] = r, g, b, alpha
	}
	return nil
}

func isGrey(m image.Image) bool {
	_, ok := m.(*image.Gray)
	return ok
}
