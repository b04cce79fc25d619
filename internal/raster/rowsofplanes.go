package raster

import "image"

// planesToRows reads luma and chroma planes as rows of colours, for what cannot be done on planes. Chroma is interpolated between its samples,
// which lie in the middle of the pixels that they stand for.
func planesToRows(m *image.YCbCr, narrow bool) fillRow {
	sx, sy := subsampling(m.SubsampleRatio)
	w, h := m.Rect.Dx(), m.Rect.Dy()
	cw, ch := ceilDiv(w, int(sx)), ceilDiv(h, int(sy))
	at := make([]between, w)
	for x := range at {
		at[x] = betweenSamples(x, sx, cw)
	}
	rgb := fullRange
	if narrow {
		rgb = narrowRange
	}
	return func(y, x0 int, out []float32) error {
		v := betweenSamples(y, sy, ch)
		above, below := v.i*m.CStride, v.j*m.CStride
		luma := m.Y[y*m.YStride:]
		for x := x0; 4*x < len(out); x++ {
			u := at[x]
			cb := mix(mix(m.Cb[above+u.i], m.Cb[above+u.j], u.part), mix(m.Cb[below+u.i], m.Cb[below+u.j], u.part), v.part)
			cr := mix(mix(m.Cr[above+u.i], m.Cr[above+u.j], u.part), mix(m.Cr[below+u.i], m.Cr[below+u.j], u.part), v.part)
			o := out[4*x : 4*x+4 : 4*x+4]
			o[0], o[1], o[2] = rgb(float32(luma[x]), cb-128, cr-128)
			o[3] = 255
		}
		return nil
	}
}

// between is a place between samples i and j, part of the way to j.
type between struct {
	i, j int
	part float32
}

func betweenSamples(x int, sub float64, n int) between {
	c := (float64(x)+0.5)/sub - 0.5
	i := int(c)
	if c <= 0 {
		return between{0, 0, 0}
	}
	return between{min(i, n-1), min(i+1, n-1), float32(c - float64(i))}
}

func mix[T byte | float32](a, b T, part float32) float32 {
	return float32(a) + (float32(b)-float32(a))*part
}

// fullRange converts the colours of a JPEG, whose luma fills 0…255.
func fullRange(y, cb, cr float32) (r, g, b float32) {
	return limit(y + 1.402*cr), limit(y - 0.344136*cb - 0.714136*cr), limit(y + 1.772*cb)
}

// narrowRange converts the colours of a WebP, whose luma lies in 16…235.
func narrowRange(y, cb, cr float32) (r, g, b float32) {
	y = 1.164384 * (y - 16)
	return limit(y + 1.596027*cr), limit(y - 0.391762*cb - 0.812968*cr), limit(y + 2.017232*cb)
}
