package raster

import (
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
)

// fillRow writes row y, from column x0 to the end of out, as four channels each: colours × alpha (0…255) and alpha, or CMYK as it is.
type fillRow func(y, x0 int, out []float32) error

// rowsOf reads any kind of picture that the decoders make, without a converted copy of the whole. Pixels go through no interface.
func rowsOf(d decoded) (fillRow, error) {
	switch m := d.image.(type) {
	case *image.NRGBA:
		return func(y, x0 int, out []float32) error {
			straight(out[4*x0:], m.Pix[y*m.Stride+4*x0:])
			return nil
		}, nil
	case *image.RGBA: // only ever opaque here, and then the same as NRGBA
		return func(y, x0 int, out []float32) error {
			plain(out[4*x0:], m.Pix[y*m.Stride+4*x0:])
			return nil
		}, nil
	case *image.CMYK:
		return func(y, x0 int, out []float32) error {
			plain(out[4*x0:], m.Pix[y*m.Stride+4*x0:])
			return nil
		}, nil
	case *image.NRGBA64:
		return deep(m.Pix, m.Stride, true), nil
	case *image.RGBA64:
		return deep(m.Pix, m.Stride, false), nil
	case *image.Gray16:
		return deepGray(m), nil
	case *image.Paletted:
		return palette(m, d.offset), nil
	case *image.NYCbCrA:
		return narrowAlpha(m), nil
	case *image.YCbCr:
		return planesToRows(m, d.narrow), nil
	case *image.Gray:
		return gray(m), nil
	}
	return nil, fmt.Errorf("no way to read a %T", d.image)
}

func plain(out []float32, pix []byte) {
	pix = pix[:len(out)]
	for i, v := range pix {
		out[i] = float32(v)
	}
}

func straight(out []float32, pix []byte) {
	for i := 0; i+3 < len(out); i += 4 {
		p, o := pix[i:i+4:i+4], out[i:i+4:i+4]
		premultiply(o, float32(p[0]), float32(p[1]), float32(p[2]), float32(p[3]))
	}
}

func premultiply(o []float32, r, g, b, a float32) {
	f := a / 255
	o[0], o[1], o[2], o[3] = r*f, g*f, b*f, a
}

// deep reads 16 bits per channel; v/257 keeps what 8 bits would round.
func deep(pix []byte, stride int, straight bool) fillRow {
	at := func(p []byte) float32 { return float32(binary.BigEndian.Uint16(p)) / 257 }
	return func(y, x0 int, out []float32) error {
		for x := x0; 4*x < len(out); x++ {
			p, o := pix[y*stride+8*x:][:8], out[4*x:4*x+4]
			if straight {
				premultiply(o, at(p), at(p[2:]), at(p[4:]), at(p[6:]))
			} else {
				o[0], o[1], o[2], o[3] = at(p), at(p[2:]), at(p[4:]), at(p[6:])
			}
		}
		return nil
	}
}

func gray(m *image.Gray) fillRow {
	return func(y, x0 int, out []float32) error {
		row := m.Pix[y*m.Stride:]
		for x := x0; 4*x < len(out); x++ {
			v, o := float32(row[x]), out[4*x:4*x+4:4*x+4]
			o[0], o[1], o[2], o[3] = v, v, v, 255
		}
		return nil
	}
}

func deepGray(m *image.Gray16) fillRow {
	return func(y, x0 int, out []float32) error {
		for x := x0; 4*x < len(out); x++ {
			v := float32(binary.BigEndian.Uint16(m.Pix[y*m.Stride+2*x:])) / 257
			o := out[4*x : 4*x+4]
			o[0], o[1], o[2], o[3] = v, v, v, 255
		}
		return nil
	}
}

// palette reads a frame that may cover only a part of its canvas.
func palette(m *image.Paletted, offset image.Point) fillRow {
	colors := make([][4]float32, len(m.Palette))
	for i, c := range m.Palette {
		n := color.NRGBAModel.Convert(c).(color.NRGBA)
		premultiply(colors[i][:], float32(n.R), float32(n.G), float32(n.B), float32(n.A))
	}
	w, h := m.Rect.Dx(), m.Rect.Dy()
	return func(y, x0 int, out []float32) error {
		clear(out[4*x0:])
		y -= offset.Y
		if y < 0 || y >= h {
			return nil
		}
		row := m.Pix[y*m.Stride:][:w]
		for x := max(x0, offset.X); 4*x < len(out) && x < offset.X+w; x++ {
			i := int(row[x-offset.X])
			if i >= len(colors) {
				return paletteError(fmt.Sprintf("colour %d of a palette of %d", i, len(colors)))
			}
			copy(out[4*x:], colors[i][:])
		}
		return nil
	}
}

// narrowAlpha reads lossy WebP with transparency.
func narrowAlpha(m *image.NYCbCrA) fillRow {
	return func(y, x0 int, out []float32) error {
		for x := x0; 4*x < len(out); x++ {
			i, c := m.YOffset(x, y), m.COffset(x, y)
			r, g, b := narrowRange(float32(m.Y[i]), float32(m.Cb[c])-128, float32(m.Cr[c])-128)
			premultiply(out[4*x:4*x+4], r, g, b, float32(m.A[y*m.AStride+x]))
		}
		return nil
	}
}

func limit(v float32) float32 { return max(0, min(255, v)) }
