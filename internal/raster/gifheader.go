package raster

import (
	"errors"
	"image"
	"io"
)

// readGIFHeader reads the size of the canvas and counts the frames, without unpacking any.
func readGIFHeader(r io.Reader, limits Limits) (header, error) {
	g, err := newGIFReader(r)
	if err != nil {
		return header{}, err
	}
	h := header{width: g.size.X, height: g.size.Y, bytesPerPixel: 1}
	if limits.checkHeader(h) != nil {
		return h, nil // the caller says it
	}
	for {
		f, err := g.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = g.skip()
		}
		if err != nil {
			return h, err
		}
		h.frames++
		h.facts.alpha = h.facts.alpha || f.transparent >= 0 || f.rect != image.Rect(0, 0, h.width, h.height)
	}
	if h.frames == 0 {
		return h, errors.New("has no frame")
	}
	h.plays = g.plays
	return h, nil
}
