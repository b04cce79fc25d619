package raster

import (
	"context"
	"image"
	"math"
)

// decoded is a picture as its decoder left it: stored orientation, shrunk by denom in the DCT (1: not at all).
type decoded struct {
	image  image.Image
	denom  int
	offset image.Point // of the frame on its canvas; what the frame does not cover is transparent
	narrow bool        // YCbCr with luma in 16…235, as in WebP, not in 0…255, as in JPEG
}

// axes are the horizontal and vertical maps from a plane of the output to a plane of the decoded picture. outSub and inSub are how many pixels
// a sample of either plane stands for in each direction.
func (g geometry) axes(outSubX, outSubY int, inSubX, inSubY float64) (x, y axis) {
	x = mapAxis(g.source.x, g.source.w, g.scaledW, g.window.x, g.window.w, g.turn.flipX, outSubX, inSubX)
	y = mapAxis(g.source.y, g.source.h, g.scaledH, g.window.y, g.window.h, g.turn.flipY, outSubY, inSubY)
	x.kernel, y.kernel = g.filter.kernel, g.filter.kernel
	x.sigma, y.sigma = g.sigma/inSubX, g.sigma/inSubY
	return x, y
}

func mapAxis(source, length, scaled, from, n int, mirror bool, outSub int, inSub float64) axis {
	step := float64(length) / float64(scaled)
	origin := float64(source) + step*float64(from)
	if mirror {
		origin += step * float64(n)
		step = -step
	}
	return axis{
		n: (n + outSub - 1) / outSub, origin: origin / inSub, step: step * float64(outSub) / inSub,
		lo: int(math.Floor(float64(source) / inSub)), hi: int(math.Ceil(float64(source+length) / inSub)),
	}
}

// resample cuts, resizes, mirrors and turns. Luma and chroma planes stay planes, with chroma halved if subsample says so, unless light is to be
// linear; grey stays grey and CMYK stays CMYK; everything else becomes NRGBA.
func resample(ctx context.Context, d decoded, g geometry, subsample bool, done func(part float64)) (image.Image, error) {
	var out image.Image
	var err error
	grey, _ := d.image.(*image.Gray)
	planes, _ := d.image.(*image.YCbCr)
	switch {
	case grey != nil && !g.filter.linear:
		out, err = resampleGray(ctx, grey, d, g, done)
	case planes != nil && !g.filter.linear:
		out, err = resampleYCbCr(ctx, planes, d, g, subsample, done)
		if d.narrow {
			widen(out)
		}
	default:
		out, err = resampleQuads(ctx, d, g, done)
		if _, deep := d.image.(*image.Gray16); err == nil && (deep || grey != nil) {
			out = oneChannel(out)
		}
	}
	if err != nil {
		return nil, err
	}
	if g.turn.swap {
		return transpose(out), nil
	}
	return out, nil
}

func resampleGray(ctx context.Context, m *image.Gray, d decoded, g geometry, done func(float64)) (image.Image, error) {
	x, y := g.axes(1, 1, float64(d.denom), float64(d.denom))
	dst := image.NewGray(image.Rect(0, 0, g.window.w, g.window.h))
	return dst, resamplePlane(ctx, plane{dst.Pix, dst.Stride}, plane{m.Pix, m.Stride}, x, y, done)
}

func resampleYCbCr(ctx context.Context, m *image.YCbCr, d decoded, g geometry, subsample bool, done func(float64)) (image.Image, error) {
	ratio, sub := image.YCbCrSubsampleRatio444, 1
	if subsample {
		ratio, sub = image.YCbCrSubsampleRatio420, 2
	}
	dst := image.NewYCbCr(image.Rect(0, 0, g.window.w, g.window.h), ratio)
	denom := float64(d.denom)
	x, y := g.axes(1, 1, denom, denom)
	third := func(n float64) func(float64) { return func(part float64) { done((n + part) / 3) } }
	if err := resamplePlane(ctx, plane{dst.Y, dst.YStride}, plane{m.Y, m.YStride}, x, y, third(0)); err != nil {
		return nil, err
	}
	sx, sy := subsampling(m.SubsampleRatio)
	x, y = g.axes(sub, sub, denom*sx, denom*sy)
	if err := resamplePlane(ctx, plane{dst.Cb, dst.CStride}, plane{m.Cb, m.CStride}, x, y, third(1)); err != nil {
		return nil, err
	}
	return dst, resamplePlane(ctx, plane{dst.Cr, dst.CStride}, plane{m.Cr, m.CStride}, x, y, third(2))
}

// subsampling is how many pixels a chroma sample stands for in each direction.
func subsampling(r image.YCbCrSubsampleRatio) (x, y float64) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

// widen stretches luma from 16…235 and chroma from 16…240 to the full range that the rest of this package works in.
func widen(m image.Image) {
	c, ok := m.(*image.YCbCr)
	if !ok {
		return
	}
	var luma, chroma [256]byte
	for i := range 256 {
		luma[i] = clamp(int32(math.Round(float64(i-16) * 255 / 219)))
		chroma[i] = clamp(int32(math.Round(float64(i-128)*255/224)) + 128)
	}
	for i, v := range c.Y {
		c.Y[i] = luma[v]
	}
	for i := range c.Cb {
		c.Cb[i], c.Cr[i] = chroma[c.Cb[i]], chroma[c.Cr[i]]
	}
}

func clamp(v int32) byte { return byte(max(0, min(255, v))) }
