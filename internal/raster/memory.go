package raster

import "github.com/millrace/millrace/tasks"

// What a job needs is everything that it makes, since little of it is garbage before the end, and a quarter more for the collector and the
// allocator. That is measured: TestReservedMemory holds each sum to what a process with this job alone takes.
const (
	spareOf = 4
	// workMemory is what every job takes besides its pixels: tables of the decoders and encoders, buffers of readers.
	workMemory = 4 << 20
	// An encoder in WebAssembly is compiled by the first job of a process that uses it, and nobody knows which that will be.
	webpCompiling = 10 << 20
	avifCompiling = 40 << 20
)

// memory is how many bytes the job will need, from its header alone. Its outputs are made one after the other; what is left of one is collected
// no sooner than the process has as much again as is in use.
func (j *job) memory() int64 {
	var largest, sum int64
	for _, o := range j.outputs {
		n := o.memory(j.denom)
		largest, sum = max(largest, n), sum+n
	}
	n := j.decoding() + largest
	if len(j.outputs) > 1 {
		n += j.halving()
	}
	n += min(sum-largest, n)
	return n + n/spareOf + workMemory
}

// halving is what the smaller copies of the decoded picture take that outputs share: a third of it.
func (j *job) halving() int64 {
	h := j.header
	if h.format == JPEG {
		return h.jpeg.blocks(h.width, h.height) * 64 / int64(3*j.denom*j.denom)
	}
	return h.pixels() * int64(h.bytesPerPixel) / 3
}

// decoding is what the decoder takes.
func (j *job) decoding() int64 {
	h := j.header
	switch {
	case h.format == TIFF:
		return j.pageMemory()
	case j.film():
		return filmMemory(h)
	case h.format == WebP && h.frames > 0: // its first frame, composed
		return filmMemory(h)
	case h.format == AVIF:
		return avifInMemory(h) + h.pixels()*int64(h.bytesPerPixel)
	case h.format != JPEG:
		return h.pixels() * int64(h.bytesPerPixel)
	}
	samples := h.jpeg.blocks(h.width, h.height) * 64
	n := samples / int64(j.denom*j.denom)
	if h.jpeg.components == 4 {
		n += h.pixels() * 4 // planes, then interleaved
	}
	if h.jpeg.progressive() {
		n += samples * 4 // every coefficient until the last scan is read
	}
	if j.fast {
		n += h.jpeg.size // the decoder wants the file in memory
	}
	return n
}

// memory is what the output takes besides the decoded picture: each picture that it becomes on its way, and what lies between the two passes of
// the resize.
func (o *output) memory(denom int) int64 {
	g := o.geometry
	window := int64(g.window.w) * int64(g.window.h)
	canvas := int64(g.canvasW) * int64(g.canvasH)
	n := o.between(denom) + o.afterResize(window) + o.afterChanges(window)
	if g.tilt.on() { // what is tilted, and what it becomes before its last resize
		w, h, even := g.tilt.even()
		n += 4 * int64(w) * int64(h)
		if !even {
			n += 4 * canvas
		}
	}
	if o.framed() {
		n += 4 * canvas
	}
	return n + o.encoding(canvas)
}

// between are the kernel's rows: those of planes have two bytes for a pixel, others four floats.
func (o *output) between(denom int) int64 {
	g := o.geometry
	shrink := int64(max(1, ceilDiv(g.source.h, g.scaledH)/denom))
	perPixel := int64(16)
	if o.planar() {
		perPixel = 2
	}
	return (6*shrink+2)*int64(g.window.w)*perPixel + int64(g.source.w/denom)*perPixel
}

// planar says that the planes of the decoded picture are resized each for itself.
func (o *output) planar() bool {
	h := o.header
	return !o.geometry.filter.linear && (h.format == JPEG && h.jpeg.components < 4 || h.format == WebP && h.bytesPerPixel == 4)
}

// afterResize is the picture as it comes from the resize, and once more where it is turned after it.
func (o *output) afterResize(window int64) int64 {
	n := 4 * window
	if o.planar() {
		n = 3 * window
		if o.direct() {
			n = 3 * window / 2
		}
	}
	if o.geometry.turn.swap {
		n *= 2
	}
	return n
}

// afterChanges is what colours and effects add.
func (o *output) afterChanges(window int64) int64 {
	const band = 8 // what greyscale leaves behind of its bands, for each pixel
	p, perPixel, samples := o.params, int64(0), int64(4)
	if o.planar() {
		samples = 3
		if p.Grayscale || o.header.jpeg.components == 1 {
			samples = 1
		}
	}
	if o.planar() && !o.direct() && (samples == 3 || o.colors != nil) && (!o.jpeg() || o.colors != nil || o.framed() || p.Watermark != nil || o.geometry.tilt.on()) ||
		o.header.jpeg.components == 4 {
		perPixel += 4 // four channels, for all that follows
		samples = 4
	}
	if p.Grayscale && !o.planar() {
		perPixel += 4 + band
	}
	for _, effect := range []float64{p.Blur, p.Sharpen} {
		if effect > 0 {
			perPixel += samples
		}
	}
	return perPixel * window
}

// encoding is what the encoder takes.
func (o *output) encoding(canvas int64) int64 {
	switch o.format {
	case tasks.JPEG:
		return o.encodingJPEG(canvas)
	case tasks.GIF:
		if o.clip.moves() {
			return gifFilmPixel * canvas
		}
		return canvas
	case tasks.WebP:
		n := webpCompiling + webpMemory(canvas, o.params.Lossless, o.transparent())
		if o.clip.moves() {
			n += o.webpFilmMemory(canvas)
		}
		return n
	case tasks.AVIF:
		n := avifCompiling + avifMemory(canvas)
		if o.transparent() {
			n += 4 * canvas // with the colours × alpha
		}
		return n
	case tasks.TIFF:
		return 4 * canvas
	}
	return 0
}

// encodingJPEG: what is small is encoded at once, with tables fitted to what is kept of the first pass, which grows with what there is to see; for
// what is large or progressive that is a strip at a time, and the coefficients of all with the bytes that they come from.
func (o *output) encodingJPEG(canvas int64) int64 {
	at := func(px int64) int64 {
		if o.halves() || o.params.Grayscale {
			return 5 * px / 2
		}
		return 5 * px
	}
	switch {
	case canvas <= stripPixels && !o.params.Progressive:
		return at(canvas)
	case canvas > optimizePixels && !o.params.Progressive:
		return at(stripPixels / 2)
	}
	samples := 3 * canvas
	switch {
	case o.params.Grayscale:
		samples = canvas
	case o.halves():
		samples /= 2
	}
	return at(min(canvas, stripPixels/2)) + 2*samples + canvas
}
