package raster

import (
	"errors"
	"fmt"
	"image"
	"io"
	"time"
)

// reel shows a film frame by frame, each composed to its whole canvas, as a browser would. Of the film it holds the canvas and one frame.
type reel interface {
	// next is the canvas with the next frame on it, until the next call, and how long it is shown. After the last comes io.EOF.
	next() (*image.NRGBA, time.Duration, error)
}

// newReel begins a film.
func newReel(src *source, h header) (reel, error) {
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	canvas := image.NewNRGBA(image.Rect(0, 0, h.width, h.height))
	if h.format == GIF {
		g, err := newGIFReader(src)
		return &gifReel{gif: g, canvas: canvas}, err
	}
	return newWebPReel(src, canvas)
}

// nextOf is a reel's next frame. A panic in a decoder is the picture's fault, not the process's.
func nextOf(r reel, format Format) (m *image.NRGBA, delay time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoder panicked: %v", p)
		}
		if err != nil {
			err = corrupt(format, err)
		}
	}()
	m, delay, err = r.next()
	return m, delay, cut(err)
}

// gifReel composes a GIF.
type gifReel struct {
	gif      *gifReader
	canvas   *image.NRGBA
	last     image.Rectangle
	disposal byte
	under    []byte // what was in last before it, if that is to come back
}

// next implements reel.
func (r *gifReel) next() (*image.NRGBA, time.Duration, error) {
	f, err := r.gif.next()
	if err != nil {
		return nil, 0, err
	}
	if !f.rect.In(r.canvas.Rect) {
		return nil, 0, errors.New("a frame lies beside the canvas")
	}
	pix, err := r.gif.pixels(f)
	if err != nil {
		return nil, 0, err
	}
	switch r.disposal {
	case disposeBackground:
		eachRow(r.canvas, r.last, func(row []byte, _ int) { clear(row) })
	case disposePrevious:
		eachRow(r.canvas, r.last, func(row []byte, at int) { copy(row, r.under[at:]) })
	}
	r.last, r.disposal, r.under = f.rect, f.disposal, nil
	if f.disposal == disposePrevious {
		r.under = make([]byte, 4*f.rect.Dx()*f.rect.Dy())
		eachRow(r.canvas, f.rect, func(row []byte, at int) { copy(r.under[at:], row) })
	}
	return r.canvas, f.delay, draw(r.canvas, f, pix)
}

// eachRow hands over the pixels of the rows of a part of m, and how many bytes of that part were before them.
func eachRow(m *image.NRGBA, part image.Rectangle, do func(row []byte, at int)) {
	n := 4 * part.Dx()
	for y := range part.Dy() {
		from := m.PixOffset(part.Min.X, part.Min.Y+y)
		do(m.Pix[from:from+n], y*n)
	}
}

// draw puts a frame on the canvas.
func draw(canvas *image.NRGBA, f gifFrame, pix []byte) error {
	var fault error
	eachRow(canvas, f.rect, func(row []byte, at int) {
		for x, index := range pix[at/4 : (at+len(row))/4] {
			c := 3 * int(index)
			switch {
			case int(index) == f.transparent:
			case c+3 > len(f.palette):
				fault = paletteError(fmt.Sprintf("colour %d of a palette of %d", index, len(f.palette)/3))
			default:
				p := row[4*x : 4*x+4 : 4*x+4]
				p[0], p[1], p[2], p[3] = f.palette[c], f.palette[c+1], f.palette[c+2], 255
			}
		}
	})
	return fault
}
