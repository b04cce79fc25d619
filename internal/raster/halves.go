package raster

import (
	"context"
	"image"
)

// By how much a halved picture must be shrunk yet, at least, so that its averages are as good as the pixels: within 0.0015 in SSIM, measured on
// photographs. Averages of averages need more.
const (
	restOnce  = 1.6
	restAgain = 2
)

// halves is a decoded picture and copies of it that are half as large, a quarter, and so on, each made when it is first needed. Several outputs
// share them, so that a small one does not have to read all of the picture again. They are the picture itself in other sizes, not outputs.
type halves struct{ sizes []decoded }

func newHalves(d decoded) *halves { return &halves{[]decoded{d}} }

// enough is the smallest copy that an output of a geometry may be made of.
func (h *halves) enough(ctx context.Context, g geometry) (decoded, error) {
	d := h.sizes[0]
	if g.filter.exact() || !halvable(d.image) {
		return d, nil
	}
	for i, rest := 1, restOnce; g.leaves(2*d.denom) >= rest; i, rest = i+1, restAgain {
		if i == len(h.sizes) {
			half, err := halve(ctx, d)
			if err != nil {
				return decoded{}, err
			}
			h.sizes = append(h.sizes, half)
		}
		d = h.sizes[i]
	}
	return d, nil
}

// leaves is by how much a picture that has been shrunk by denom is shrunk yet, in the direction in which that is less.
func (g geometry) leaves(denom int) float64 {
	return min(float64(g.source.w)/float64(denom*g.scaledW), float64(g.source.h)/float64(denom*g.scaledH))
}

// halvable says whether a picture is of a kind that is halved: those that photographs come in.
func halvable(m image.Image) bool {
	switch m := m.(type) {
	case *image.Gray, *image.YCbCr, *image.NRGBA:
		return true
	case *image.RGBA:
		return m.Opaque()
	}
	return false
}

// halve makes a picture of the averages of 2 × 2 pixels each.
func halve(ctx context.Context, d decoded) (decoded, error) {
	size := d.image.Bounds().Size()
	rect := image.Rect(0, 0, ceilDiv(size.X, 2), ceilDiv(size.Y, 2))
	half := decoded{denom: 2 * d.denom, narrow: d.narrow}
	var err error
	switch m := d.image.(type) {
	case *image.Gray:
		out := image.NewGray(rect)
		half.image, err = out, halvePlane(ctx, plane{out.Pix, out.Stride}, plane{m.Pix, m.Stride}, size)
	case *image.YCbCr:
		out := image.NewYCbCr(rect, m.SubsampleRatio)
		half.image, err = out, halvePlane(ctx, plane{out.Y, out.YStride}, plane{m.Y, m.YStride}, size)
		sx, sy := subsampling(m.SubsampleRatio)
		size = image.Pt(ceilDiv(size.X, int(sx)), ceilDiv(size.Y, int(sy)))
		for _, p := range [][2][]byte{{out.Cb, m.Cb}, {out.Cr, m.Cr}} {
			if err == nil {
				err = halvePlane(ctx, plane{p[0], out.CStride}, plane{p[1], m.CStride}, size)
			}
		}
	case *image.NRGBA:
		half.image, err = halveQuads(ctx, rect, m.Pix, m.Stride, size)
	case *image.RGBA:
		half.image, err = halveQuads(ctx, rect, m.Pix, m.Stride, size)
	}
	return half, err
}

func halvePlane(ctx context.Context, dst, src plane, size image.Point) error {
	w, whole := ceilDiv(size.X, 2), size.X/2
	for y := range ceilDiv(size.Y, 2) {
		if y%64 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		out := dst.pix[y*dst.stride:][:w]
		upper, lower := src.pix[2*y*src.stride:][:size.X], src.pix[min(2*y+1, size.Y-1)*src.stride:][:size.X]
		for x := range whole {
			a, b := upper[2*x:2*x+2:2*x+2], lower[2*x:2*x+2:2*x+2]
			out[x] = byte((uint32(a[0]) + uint32(a[1]) + uint32(b[0]) + uint32(b[1]) + 2) >> 2)
		}
		if whole < w {
			out[whole] = byte((uint32(upper[2*whole]) + uint32(lower[2*whole]) + 1) >> 1)
		}
	}
	return nil
}

// halveQuads weights colours by their alpha.
func halveQuads(ctx context.Context, rect image.Rectangle, pix []byte, stride int, size image.Point) (*image.NRGBA, error) {
	out := image.NewNRGBA(rect)
	for y := range rect.Dy() {
		if y%64 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		upper, lower := pix[2*y*stride:][:4*size.X], pix[min(2*y+1, size.Y-1)*stride:][:4*size.X]
		row := out.Pix[y*out.Stride:]
		for x := range rect.Dx() {
			left, right := 8*x, 8*min(x, (size.X-1)/2)+4*min(1, size.X-1-2*x)
			average(row[4*x:4*x+4:4*x+4], upper[left:left+4:left+4], upper[right:right+4:right+4], lower[left:left+4:left+4], lower[right:right+4:right+4])
		}
	}
	return out, nil
}

func average(out, a, b, c, d []byte) {
	wa, wb, wc, wd := uint32(a[3]), uint32(b[3]), uint32(c[3]), uint32(d[3])
	sum := wa + wb + wc + wd
	switch sum {
	case 0:
		return
	case 4 * 255:
		for i := range 3 {
			out[i] = byte((uint32(a[i]) + uint32(b[i]) + uint32(c[i]) + uint32(d[i]) + 2) >> 2)
		}
		out[3] = 255
		return
	}
	for i := range 3 {
		out[i] = byte((uint32(a[i])*wa + uint32(b[i])*wb + uint32(c[i])*wc + uint32(d[i])*wd + sum/2) / sum)
	}
	out[3] = byte((sum + 2) >> 2)
}
