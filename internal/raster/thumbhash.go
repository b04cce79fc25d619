package raster

import (
	"image"
	"math"
)

// thumbHash is the ThumbHash of a picture of at most 100 pixels a side: brightness, two differences of colour and alpha, each as the first
// terms of a cosine transform, rounded to four bits. The layout is that of the published algorithm, to the bit.
func thumbHash(m *image.NRGBA) []byte {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	luma, yellowBlue, redGreen, alpha := opponents(m)
	transparent := !m.Opaque()
	terms := 7.0 // of brightness, along the longer side
	if transparent {
		terms = 5
	}
	longer := float64(max(w, h))
	nx, ny := max(1, halfUp(terms*float64(w)/longer)), max(1, halfUp(terms*float64(h)/longer))
	l := transform(luma, w, h, max(3, nx), max(3, ny))
	p := transform(yellowBlue, w, h, 3, 3)
	q := transform(redGreen, w, h, 3, 3)

	head := halfUp(63*l.mean) | halfUp(31.5+31.5*p.mean)<<6 | halfUp(31.5+31.5*q.mean)<<12 | halfUp(31*l.scale)<<18
	shape := nx | halfUp(63*p.scale)<<3 | halfUp(63*q.scale)<<9
	if w > h {
		shape = shape&^7 | ny | 1<<15
	}
	channels := []spectrum{l, p, q}
	hash := []byte{byte(head), byte(head >> 8), byte(head >> 16), byte(shape), byte(shape >> 8)}
	if transparent {
		hash[2] |= 1 << 7
		a := transform(alpha, w, h, 5, 5)
		hash = append(hash, byte(halfUp(15*a.mean)|halfUp(15*a.scale)<<4))
		channels = append(channels, a)
	}
	half := false
	for _, c := range channels {
		for _, term := range c.terms {
			if v := byte(halfUp(15 * term)); half {
				hash[len(hash)-1] |= v << 4
			} else {
				hash = append(hash, v)
			}
			half = !half
		}
	}
	return hash
}

// opponents are brightness, yellow against blue, red against green, and alpha, over the picture's own mean colour.
func opponents(m *image.NRGBA) (luma, yellowBlue, redGreen, alpha []float64) {
	var mean [3]float64
	var weight float64
	for i := 0; i+3 < len(m.Pix); i += 4 {
		a := float64(m.Pix[i+3]) / 255
		weight += a
		for k := range mean {
			mean[k] += a / 255 * float64(m.Pix[i+k])
		}
	}
	for k := range mean {
		mean[k] /= max(weight, 1e-9)
	}
	for i := 0; i+3 < len(m.Pix); i += 4 {
		a := float64(m.Pix[i+3]) / 255
		var c [3]float64
		for k := range c {
			c[k] = mean[k]*(1-a) + a/255*float64(m.Pix[i+k])
		}
		luma = append(luma, (c[0]+c[1]+c[2])/3)
		yellowBlue = append(yellowBlue, (c[0]+c[1])/2-c[2])
		redGreen = append(redGreen, c[0]-c[1])
		alpha = append(alpha, a)
	}
	return luma, yellowBlue, redGreen, alpha
}

// spectrum is a channel's mean and its lowest frequencies, these in 0…1 around ½ for ±scale.
type spectrum struct {
	mean, scale float64
	terms       []float64
}

// transform takes the frequencies of a triangle nx wide and ny high.
func transform(v []float64, w, h, nx, ny int) spectrum {
	var s spectrum
	across := make([]float64, w)
	for cy := range ny {
		for cx := 0; cx*ny < nx*(ny-cy); cx++ {
			for x := range across {
				across[x] = math.Cos(math.Pi / float64(w) * float64(cx) * (float64(x) + 0.5))
			}
			f := 0.0
			for y := range h {
				down := math.Cos(math.Pi / float64(h) * float64(cy) * (float64(y) + 0.5))
				for x, a := range across {
					f += v[y*w+x] * a * down
				}
			}
			f /= float64(w * h)
			if cx == 0 && cy == 0 {
				s.mean = f
				continue
			}
			s.terms = append(s.terms, f)
			s.scale = max(s.scale, math.Abs(f))
		}
	}
	if s.scale > 0 {
		for i, f := range s.terms {
			s.terms[i] = 0.5 + 0.5/s.scale*f
		}
	}
	return s
}

// halfUp rounds as the algorithm's reference does.
func halfUp(v float64) int { return int(math.Floor(v + 0.5)) }
