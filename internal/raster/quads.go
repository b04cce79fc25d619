package raster

import (
	"context"
	"image"
)

// resampleQuads resizes pictures of four channels, and any kind of picture in linear light, which CMYK does not have. Colours are weighted by
// their alpha, so that what cannot be seen does not bleed into what can. Memory between the passes is bounded as in resamplePlane.
func resampleQuads(ctx context.Context, d decoded, g geometry, done func(part float64)) (image.Image, error) {
	fill, err := rowsOf(d)
	if err != nil {
		return nil, err
	}
	put := putColor
	_, ink := d.image.(*image.CMYK)
	if ink {
		put = putInk
	} else if g.filter.linear {
		l := newLight()
		fill, put = l.rows(fill), l.put
	}
	x, y := g.axes(1, 1, float64(d.denom), float64(d.denom))
	horizontal, vertical := x.taps(), y.taps()
	kept := window(vertical)
	row := make([]float32, 4*x.hi)
	ring := make([]float32, kept*4*x.n)
	acc := make([]float32, 4*x.n)
	rect := image.Rect(0, 0, g.window.w, g.window.h)
	pix := make([]byte, 4*rect.Dx()*rect.Dy())
	next, finished := 0, 0
	err = rows(vertical, func(j int, t tap) error {
		end := t.start + len(t.weights)
		for next = max(next, t.start); next < end; next++ {
			if next%16 == 0 && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := fill(next, x.lo, row); err != nil {
				return err
			}
			shrinkQuads(ring[next%kept*4*x.n:][:4*x.n], row, horizontal)
		}
		if finished++; finished%16 == 0 {
			done(float64(finished) / float64(len(vertical)))
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		clear(acc)
		for k, w := range t.weights {
			addQuads(acc, ring[(t.start+k)%kept*4*x.n:][:4*x.n], float32(w)/(1<<fixedBits))
		}
		put(pix[j*4*x.n:][:4*x.n], acc)
		return nil
	})
	if ink {
		return &image.CMYK{Pix: pix, Stride: 4 * x.n, Rect: rect}, err
	}
	return &image.NRGBA{Pix: pix, Stride: 4 * x.n, Rect: rect}, err
}

func shrinkQuads(out, row []float32, taps []tap) {
	for x := range taps {
		t := &taps[x]
		s := row[4*t.start:][:4*len(t.weights)]
		var c0, c1, c2, c3 float32
		for k, w := range t.weights {
			f := float32(w)
			q := s[4*k : 4*k+4 : 4*k+4]
			c0 += q[0] * f
			c1 += q[1] * f
			c2 += q[2] * f
			c3 += q[3] * f
		}
		o := out[4*x : 4*x+4 : 4*x+4]
		o[0], o[1], o[2], o[3] = c0/(1<<fixedBits), c1/(1<<fixedBits), c2/(1<<fixedBits), c3/(1<<fixedBits)
	}
}

func addQuads(acc, row []float32, w float32) {
	row = row[:len(acc)]
	for x := range acc {
		acc[x] += row[x] * w
	}
}

// putInk writes CMYK, whose channels are four colours.
func putInk(out []byte, acc []float32) {
	for i, v := range acc {
		out[i] = round(v)
	}
}

// putColor writes premultiplied colours as NRGBA.
func putColor(out []byte, acc []float32) {
	for i := 0; i+3 < len(acc); i += 4 {
		a := round(acc[i+3])
		out[i+3] = a
		if a == 0 {
			out[i], out[i+1], out[i+2] = 0, 0, 0
			continue
		}
		scale := 255 / acc[i+3]
		out[i], out[i+1], out[i+2] = round(acc[i]*scale), round(acc[i+1]*scale), round(acc[i+2]*scale)
	}
}

func round(v float32) byte { return byte(max(0, min(255, v+0.5))) }
