package raster

import "image"

// transpose swaps rows and columns. With the mirrors that resampling has already made, that completes every turn.
func transpose(m image.Image) image.Image {
	size := m.Bounds().Size()
	rect := image.Rect(0, 0, size.Y, size.X)
	switch m := m.(type) {
	case *image.Gray:
		out := image.NewGray(rect)
		transposePlane(plane{out.Pix, out.Stride}, plane{m.Pix, m.Stride}, size.X, size.Y)
		return out
	case *image.YCbCr:
		out := image.NewYCbCr(rect, m.SubsampleRatio)
		transposePlane(plane{out.Y, out.YStride}, plane{m.Y, m.YStride}, size.X, size.Y)
		w, h := m.CStride, len(m.Cb)/m.CStride
		transposePlane(plane{out.Cb, out.CStride}, plane{m.Cb, m.CStride}, w, h)
		transposePlane(plane{out.Cr, out.CStride}, plane{m.Cr, m.CStride}, w, h)
		return out
	case *image.CMYK:
		out := image.NewCMYK(rect)
		transposeQuads(out.Pix, m.Pix, size.X, size.Y)
		return out
	case *image.NRGBA:
		out := image.NewNRGBA(rect)
		transposeQuads(out.Pix, m.Pix, size.X, size.Y)
		return out
	}
	return m
}

func transposePlane(dst, src plane, w, h int) {
	for y := range h {
		row := src.pix[y*src.stride:][:w]
		for x, v := range row {
			dst.pix[x*dst.stride+y] = v
		}
	}
}

func transposeQuads(dst, src []byte, w, h int) {
	for y := range h {
		for x := range w {
			copy(dst[4*(x*h+y):][:4], src[4*(y*w+x):])
		}
	}
}
