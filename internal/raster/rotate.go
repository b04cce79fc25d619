package raster

import (
	"context"
	"image"
	"image/color"
	"math"

	"github.com/millrace/millrace/tasks"
)

// rotate tilts the upright picture, which has been resized to the tilt's middle, on a background.
func rotate(ctx context.Context, m image.Image, g geometry, background color.NRGBA) (image.Image, error) {
	t := g.tilt
	if !t.on() {
		return m, nil
	}
	w, h, even := t.even()
	grey := isGrey(m) && background.R == background.G && background.G == background.B && background.A == 255
	s := newSampler(toNRGBA(m), t, background, g.filter.kernel)
	var err error
	if even {
		m, err = s.draw(ctx, t.window, float64(t.cut.w)/float64(t.scaledW), float64(t.cut.h)/float64(t.scaledH))
	} else if m, err = s.draw(ctx, box{0, 0, w, h}, float64(t.cut.w)/float64(w), float64(t.cut.h)/float64(h)); err == nil {
		resize := geometry{source: box{0, 0, w, h}, scaledW: t.scaledW, scaledH: t.scaledH, window: t.window, filter: g.filter}
		m, err = resampleQuads(ctx, decoded{image: m, denom: 1}, resize, func(float64) {})
	}
	if err != nil {
		return nil, err
	}
	if grey {
		return oneChannel(m), nil
	}
	return m, nil
}

// sampler reads the picture between its pixels. Colours are weighted by their alpha, and where the picture ends it gives way to the background
// over the width of one pixel, so that the slanted edge is smooth.
type sampler struct {
	m              *image.NRGBA
	tilt           tilt
	under          [4]float32 // the background, premultiplied
	nearest        bool
	opaque         bool
	scaleX, scaleY float64 // from the upright picture to m
	x, y           float64 // of m's first pixel in the upright picture
}

func newSampler(m *image.NRGBA, t tilt, background color.NRGBA, kernel string) *sampler {
	need := t.need()
	s := &sampler{m: m, tilt: t, nearest: kernel == tasks.KernelNearest, opaque: m.Opaque(), x: float64(need.x), y: float64(need.y)}
	s.scaleX, s.scaleY = float64(m.Rect.Dx())/float64(need.w), float64(m.Rect.Dy())/float64(need.h)
	premultiply(s.under[:], float32(background.R), float32(background.G), float32(background.B), float32(background.A))
	return s
}

// draw draws a window of the cut, of which a pixel stands for stepX × stepY pixels of the tilted picture.
func (s *sampler) draw(ctx context.Context, window box, stepX, stepY float64) (*image.NRGBA, error) {
	out := image.NewNRGBA(image.Rect(0, 0, window.w, window.h))
	acc := make([]float32, 4*window.w)
	for j := range window.h {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		y := float64(s.tilt.cut.y) + (float64(window.y+j)+0.5)*stepY
		for i := range window.w {
			x := float64(s.tilt.cut.x) + (float64(window.x+i)+0.5)*stepX
			u, v := s.tilt.upright(x, y)
			s.at(acc[4*i:4*i+4:4*i+4], u, v)
		}
		putColor(out.Pix[j*out.Stride:][:4*window.w], acc)
	}
	return out, nil
}

// at reads the colour at a point of the upright picture.
func (s *sampler) at(out []float32, u, v float64) {
	cover := float32(s.cover(u, s.tilt.w, s.scaleX) * s.cover(v, s.tilt.h, s.scaleY))
	if cover == 0 {
		copy(out, s.under[:])
		return
	}
	x, y := (u-s.x)*s.scaleX-0.5, (v-s.y)*s.scaleY-0.5
	if s.nearest {
		s.add(out, int(math.Round(x)), int(math.Round(y)))
		return
	}
	s.interpolate(out, x, y)
	if cover < 1 {
		for i := range out {
			out[i] = out[i]*cover + s.under[i]*(1-cover)
		}
	}
}

// cover is how much of a pixel at a coordinate lies on the picture.
func (s *sampler) cover(at float64, length int, scale float64) float64 {
	inside := min(at, float64(length)-at) * scale
	if s.nearest {
		if inside < 0 {
			return 0
		}
		return 1
	}
	return max(0, min(1, inside+0.5))
}

// interpolate is Catmull-Rom in both directions over the 4 × 4 pixels around a point; those beyond the edge are as the last ones before it.
func (s *sampler) interpolate(out []float32, x, y float64) {
	left, top := math.Floor(x), math.Floor(y)
	wx, wy := cubicWeights(float32(x-left)), cubicWeights(float32(y-top))
	i, j := int(left)-1, int(top)-1
	switch near := i < 0 || j < 0 || i+4 > s.m.Rect.Dx() || j+4 > s.m.Rect.Dy(); {
	case near:
		s.nearEdge(out, i, j, &wx, &wy)
	case s.opaque:
		s.inside(out, i, j, &wx, &wy)
	default:
		s.insideClear(out, i, j, &wx, &wy)
	}
	// The kernel overshoots: no colour is more than opaque, and none is more than its alpha.
	out[3] = max(0, min(255, out[3]))
	for c := range 3 {
		out[c] = max(0, min(out[3], out[c]))
	}
}

// inside is for nearly all points of nearly all pictures: nothing is transparent, and no edge is near.
func (s *sampler) inside(out []float32, i, j int, wx, wy *[4]float32) {
	var r, g, b float32
	at := j*s.m.Stride + 4*i
	for _, w := range wy {
		p := s.m.Pix[at : at+16 : at+16]
		r += w * (wx[0]*float32(p[0]) + wx[1]*float32(p[4]) + wx[2]*float32(p[8]) + wx[3]*float32(p[12]))
		g += w * (wx[0]*float32(p[1]) + wx[1]*float32(p[5]) + wx[2]*float32(p[9]) + wx[3]*float32(p[13]))
		b += w * (wx[0]*float32(p[2]) + wx[1]*float32(p[6]) + wx[2]*float32(p[10]) + wx[3]*float32(p[14]))
		at += s.m.Stride
	}
	out[0], out[1], out[2], out[3] = r, g, b, 255
}

// insideClear is inside where pixels may be transparent.
func (s *sampler) insideClear(out []float32, i, j int, wx, wy *[4]float32) {
	var r, g, b, a float32
	at := j*s.m.Stride + 4*i
	for _, w := range wy {
		p := s.m.Pix[at : at+16 : at+16]
		a0, a1, a2, a3 := w*wx[0]*float32(p[3]), w*wx[1]*float32(p[7]), w*wx[2]*float32(p[11]), w*wx[3]*float32(p[15])
		a += a0 + a1 + a2 + a3
		r += a0*float32(p[0]) + a1*float32(p[4]) + a2*float32(p[8]) + a3*float32(p[12])
		g += a0*float32(p[1]) + a1*float32(p[5]) + a2*float32(p[9]) + a3*float32(p[13])
		b += a0*float32(p[2]) + a1*float32(p[6]) + a2*float32(p[10]) + a3*float32(p[14])
		at += s.m.Stride
	}
	out[0], out[1], out[2], out[3] = r/255, g/255, b/255, a
}

func (s *sampler) nearEdge(out []float32, i, j int, wx, wy *[4]float32) {
	clear(out)
	var px [4]float32
	for dy, f := range wy {
		for dx, w := range wx {
			s.add(px[:], i+dx, j+dy)
			for c := range px {
				out[c] += px[c] * w * f
			}
		}
	}
}

// add reads one pixel, premultiplied.
func (s *sampler) add(out []float32, x, y int) {
	x, y = max(0, min(s.m.Rect.Dx()-1, x)), max(0, min(s.m.Rect.Dy()-1, y))
	p := s.m.Pix[y*s.m.Stride+4*x:][:4:4]
	if p[3] == 255 {
		out[0], out[1], out[2], out[3] = float32(p[0]), float32(p[1]), float32(p[2]), 255
		return
	}
	premultiply(out, float32(p[0]), float32(p[1]), float32(p[2]), float32(p[3]))
}

// cubicWeights are Catmull-Rom's for the four pixels around a point that lies t after the second.
func cubicWeights(t float32) [4]float32 {
	return [4]float32{
		((-0.5*t+1)*t - 0.5) * t,
		(1.5*t-2.5)*t*t + 1,
		((-1.5*t+2)*t + 0.5) * t,
		(0.5*t - 0.5) * t * t,
	}
}
