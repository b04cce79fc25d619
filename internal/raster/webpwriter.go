package raster

import (
	"bytes"
	"context"
	"encoding/binary"
	"image"
	"io"
	"time"
)

// webpWriter writes an animated WebP: stills by the encoder, of each frame the rectangle that has changed, and the container around them by
// hand. The container begins with its length, so that the encoded frames wait in memory.
type webpWriter struct {
	w      io.Writer
	still  func(ctx context.Context, w io.Writer, m *image.NRGBA) error
	plays  int
	exif   []byte
	icc    []byte
	size   image.Point
	shown  *image.NRGBA
	alpha  bool
	frames []byte
}

// add implements filmWriter.
func (f *webpWriter) add(ctx context.Context, m *image.NRGBA, delay time.Duration) error {
	part := m.Rect
	if f.shown != nil {
		part = changed(f.shown, m)
	}
	f.alpha = f.alpha || !m.Opaque()
	flags, picture := byte(anmfReplace), clone(m, even(part))
	if f.shown != nil && part == image.Rect(0, 0, 1, 1) && bytes.Equal(f.shown.Pix[:4], m.Pix[:4]) {
		flags, picture = 0, image.NewNRGBA(part) // nothing, laid over what is there
		f.alpha = true
	}
	f.shown, f.size = m, m.Rect.Size()
	var b bytes.Buffer
	if err := f.still(ctx, &b, picture); err != nil {
		return err
	}
	chunks, err := webpPicture(b.Bytes())
	if err != nil {
		return err
	}
	at := even(part).Min
	head := putUint24(putUint24(make([]byte, 0, anmfHead), at.X/2), at.Y/2)
	head = putUint24(putUint24(head, picture.Rect.Dx()-1), picture.Rect.Dy()-1)
	head = append(putUint24(head, int(min(1<<24-1, delay.Milliseconds()))), flags)
	f.frames = riffChunk(f.frames, "ANMF", head, chunks)
	return nil
}

// even grows a rectangle to where a frame can begin.
func even(r image.Rectangle) image.Rectangle {
	r.Min.X -= r.Min.X % 2
	r.Min.Y -= r.Min.Y % 2
	return r
}

// close implements filmWriter.
func (f *webpWriter) close() error {
	flags := byte(webpAnimation)
	if f.alpha {
		flags |= webpAlpha
	}
	if f.exif != nil {
		flags |= webpEXIF
	}
	if f.icc != nil {
		flags |= webpICC
	}
	out := riffChunk(nil, "VP8X", vp8x(flags, f.size))
	if f.icc != nil {
		out = riffChunk(out, "ICCP", f.icc)
	}
	out = riffChunk(out, "ANIM", binary.LittleEndian.AppendUint16(make([]byte, 4), uint16(min(65535, f.plays))))
	out = append(out, f.frames...)
	if f.exif != nil {
		out = riffChunk(out, "EXIF", f.exif)
	}
	_, err := f.w.Write(riffFile(out))
	return err
}
