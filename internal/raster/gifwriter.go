package raster

import (
	"bufio"
	"bytes"
	"compress/lzw"
	"context"
	"encoding/binary"
	"image"
	"io"
	"time"
)

// gifWriter writes an animated GIF frame by frame, and of each frame only what has changed. What stays as it is keeps the colours that it was
// shown in, so that nothing flickers although every frame has the palette that suits it best. A frame is held back until the next one is
// known: where that is transparent and this is not, this one has to be taken off the screen.
type gifWriter struct {
	w     *bufio.Writer
	plays int
	shown *image.NRGBA // nil: nothing
	held  *image.NRGBA
	delay time.Duration
	owed  time.Duration // of delays that hundredths of a second could not tell
}

func newGIFWriter(w io.Writer, plays int) *gifWriter {
	return &gifWriter{w: bufio.NewWriter(w), plays: plays}
}

// add implements filmWriter.
func (g *gifWriter) add(_ context.Context, m *image.NRGBA, delay time.Duration) error {
	threshold(m)
	if g.held == nil {
		g.begin(m.Rect.Size())
	} else if err := g.flush(m); err != nil {
		return err
	}
	g.held, g.delay = m, delay
	return nil
}

// close implements filmWriter.
func (g *gifWriter) close() error {
	if err := g.flush(nil); err != nil {
		return err
	}
	_ = g.w.WriteByte(0x3B) // Flush says what went wrong
	return g.w.Flush()
}

// begin writes what comes before the first frame: no colour table, because each frame has its own.
func (g *gifWriter) begin(size image.Point) {
	head := binary.LittleEndian.AppendUint16([]byte("GIF89a"), uint16(size.X))
	head = append(binary.LittleEndian.AppendUint16(head, uint16(size.Y)), 0x70, 0, 0)
	if g.plays != 1 {
		repeat := uint16(min(65535, max(0, g.plays-1)))
		head = append(append(head, 0x21, 0xFF, 11), "NETSCAPE2.0\x03\x01"...)
		head = append(binary.LittleEndian.AppendUint16(head, repeat), 0)
	}
	_, _ = g.w.Write(head)
}

// flush writes the frame that was held back. next is nil after the last.
func (g *gifWriter) flush(next *image.NRGBA) error {
	m := g.held
	uncover := next != nil && uncovers(m, next)
	part := m.Rect
	if g.shown != nil && !uncover {
		part = changed(g.shown, m)
	}
	cut := clone(m, part)
	if g.shown != nil {
		eachRow(cut, cut.Rect, func(row []byte, at int) {
			y := part.Min.Y + at/len(row)
			was := g.shown.Pix[g.shown.PixOffset(part.Min.X, y):]
			is := m.Pix[m.PixOffset(part.Min.X, y):]
			for i := 0; i < len(row); i += 4 {
				if [4]byte(was[i:]) == [4]byte(is[i:]) {
					row[i+3] = 0
				}
			}
		})
	}
	disposal := byte(1)
	g.shown = m
	if uncover {
		disposal, g.shown = disposeBackground, nil
	}
	g.frame(quantizeTo(cut, maxColors), part.Min, disposal)
	return g.w.Flush()
}

// frame writes a frame's blocks. Errors stay with the writer until it is flushed.
func (g *gifWriter) frame(m *image.Paletted, at image.Point, disposal byte) {
	transparent, flag := transparentIndex(m), byte(1)
	if transparent < 0 {
		transparent, flag = 0, 0
	}
	bits := 1
	for 1<<bits < len(m.Palette) {
		bits++
	}
	b := append(make([]byte, 0, 1024), 0x21, 0xF9, 4, disposal<<2|flag)
	b = append(binary.LittleEndian.AppendUint16(b, g.hundredths()), byte(transparent), 0, 0x2C)
	for _, v := range []int{at.X, at.Y, m.Rect.Dx(), m.Rect.Dy()} {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	b = append(b, 0x80|byte(bits-1))
	for i := range 1 << bits {
		var c [3]byte
		if i < len(m.Palette) {
			r, gr, bl, _ := m.Palette[i].RGBA()
			c = [3]byte{byte(r >> 8), byte(gr >> 8), byte(bl >> 8)}
		}
		b = append(b, c[:]...)
	}
	width := max(2, bits)
	_, _ = g.w.Write(append(b, byte(width)))
	blocks := &blockWriter{w: g.w}
	z := lzw.NewWriter(blocks, lzw.LSB, width)
	_, _ = z.Write(m.Pix)
	_ = z.Close()
	blocks.close()
}

// hundredths is the held frame's delay, with what earlier ones could not tell.
func (g *gifWriter) hundredths() uint16 {
	want := g.delay + g.owed
	n := max(0, min(65535, int64((want+5*time.Millisecond)/(10*time.Millisecond))))
	g.owed = want - time.Duration(n)*10*time.Millisecond
	return uint16(n)
}

// blockWriter cuts data into sub-blocks.
type blockWriter struct {
	w   *bufio.Writer
	buf bytes.Buffer
}

// Write implements io.Writer.
func (b *blockWriter) Write(p []byte) (int, error) {
	b.buf.Write(p)
	for b.buf.Len() >= 255 {
		b.block(255)
	}
	return len(p), nil
}

func (b *blockWriter) block(n int) {
	_ = b.w.WriteByte(byte(n))
	_, _ = b.w.Write(b.buf.Next(n))
}

// close writes what is left, and the end.
func (b *blockWriter) close() {
	if b.buf.Len() > 0 {
		b.block(b.buf.Len())
	}
	_ = b.w.WriteByte(0)
}

// threshold makes every pixel opaque or nothing, which is all that a GIF can tell.
func threshold(m *image.NRGBA) {
	for i := 0; i+3 < len(m.Pix); i += 4 {
		if m.Pix[i+3] >= 128 {
			m.Pix[i+3] = 255
		} else {
			clear(m.Pix[i : i+4])
		}
	}
}

// uncovers says that b is transparent somewhere where a is not.
func uncovers(a, b *image.NRGBA) bool {
	for i := 3; i < len(a.Pix); i += 4 {
		if a.Pix[i] != 0 && b.Pix[i] == 0 {
			return true
		}
	}
	return false
}

// changed is the smallest rectangle outside of which two pictures are alike; one pixel where they are alike altogether.
func changed(a, b *image.NRGBA) image.Rectangle {
	var out image.Rectangle
	for y := range b.Rect.Dy() {
		ra, rb := a.Pix[y*a.Stride:][:4*a.Rect.Dx()], b.Pix[y*b.Stride:][:4*b.Rect.Dx()]
		if bytes.Equal(ra, rb) {
			continue
		}
		left, right := 0, len(rb)
		for [4]byte(ra[left:]) == [4]byte(rb[left:]) {
			left += 4
		}
		for [4]byte(ra[right-4:]) == [4]byte(rb[right-4:]) {
			right -= 4
		}
		out = out.Union(image.Rect(left/4, y, right/4, y+1))
	}
	if out.Empty() {
		return image.Rect(0, 0, 1, 1)
	}
	return out
}

// clone is a copy of a part of m, at the origin.
func clone(m *image.NRGBA, part image.Rectangle) *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, part.Dx(), part.Dy()))
	eachRow(m, part, func(row []byte, at int) { copy(out.Pix[at:], row) })
	return out
}
