package raster

// gcFactor is how much more than the live buffers a collected heap holds.
const gcFactor = 2

// workMemory is what every job takes besides its pixels: tables of the decoders and encoders, buffers of readers.
const workMemory = 8 << 20

// memory is how many bytes the job will need, from its header alone. Its outputs are made one after the other, so that the largest counts.
func (j *job) memory() int64 {
	var largest int64
	for _, o := range j.outputs {
		largest = max(largest, o.memory(j.denom))
	}
	return gcFactor*(j.decoding()+largest) + workMemory
}

// memory is what the output takes besides the decoded picture.
func (o *output) memory(denom int) int64 {
	g := o.geometry
	// The kernel's rows between the passes, in the worst case four floats for each pixel.
	shrink := int64(max(1, ceilDiv(g.source.h, g.scaledH)/denom))
	between := (6*shrink + 1) * int64(g.window.w) * 16
	// The result, turned, changed or laid on its canvas, and the encoder's copy: planes with halved chroma, or four channels.
	perPixel := int64(12)
	if o.direct() {
		perPixel = 6
	}
	if g.tilt.on() { // what is tilted, and what it becomes before its last resize
		w, h, _ := g.tilt.even()
		between += 8*int64(g.window.w)*int64(g.window.h) + 4*int64(w)*int64(h)
	}
	return between + perPixel*max(int64(g.canvasW)*int64(g.canvasH), int64(g.window.w)*int64(g.window.h))
}

// decoding is what the decoder takes.
func (j *job) decoding() int64 {
	h := j.header
	if h.format != JPEG {
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
