package raster

import "math"

// light converts between sRGB's gamma-encoded values and linear light, both in 0…255, for resizing in linear light. The curve is sRGB's for
// every picture: a profile's own is applied after the resize, and those in use differ little from it.
type light struct {
	decode [257]float32 // of the whole values; the last is there twice
	encode []byte       // of linear light in encodeSteps
}

func newLight() *light {
	l := &light{encode: encodeTable()}
	for i := range l.decode {
		l.decode[i] = float32(255 * toLinear(float64(min(i, 255))/255))
	}
	return l
}

// toLinear is sRGB's curve, IEC 61966-2-1.
func toLinear(v float64) float64 {
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

// linear is the linear light of an encoded value, which may lie between two whole ones where the picture has more than 8 bits.
func (l *light) linear(v float32) float32 {
	v = max(0, min(255, v))
	i := int(v)
	return l.decode[i] + (l.decode[i+1]-l.decode[i])*(v-float32(i))
}

// encoded is the encoded value of linear light.
func (l *light) encoded(v float32) byte {
	return l.encode[int(max(0, min(encodeSteps, v*(encodeSteps/255.0)+0.5)))]
}

// rows makes rows of linear light of what fill reads. Colours are weighted by their alpha after that, not before.
func (l *light) rows(fill fillRow) fillRow {
	return func(y, x0 int, out []float32) error {
		if err := fill(y, x0, out); err != nil {
			return err
		}
		for i := 4 * x0; i+3 < len(out); i += 4 {
			o := out[i : i+4 : i+4]
			switch a := o[3]; a {
			case 255:
				o[0], o[1], o[2] = l.linear(o[0]), l.linear(o[1]), l.linear(o[2])
			case 0:
			default:
				f, back := 255/a, a/255
				o[0], o[1], o[2] = l.linear(o[0]*f)*back, l.linear(o[1]*f)*back, l.linear(o[2]*f)*back
			}
		}
		return nil
	}
}

// put writes premultiplied linear light as NRGBA.
func (l *light) put(out []byte, acc []float32) {
	for i := 0; i+3 < len(acc); i += 4 {
		a := round(acc[i+3])
		out[i+3] = a
		if a == 0 {
			out[i], out[i+1], out[i+2] = 0, 0, 0
			continue
		}
		scale := 255 / acc[i+3]
		out[i], out[i+1], out[i+2] = l.encoded(acc[i]*scale), l.encoded(acc[i+1]*scale), l.encoded(acc[i+2]*scale)
	}
}
