package raster

import (
	"bufio"
	"compress/lzw"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"time"
)

// gifReader walks the blocks of a GIF, one frame at a time: the standard library's reader keeps every frame of a film in memory.
type gifReader struct {
	br      *bufio.Reader
	size    image.Point
	global  []byte // the colour table of the file, three bytes each
	plays   int    // how often the film is shown; 0: for ever
	control gifControl
}

// gifControl is what is said of the frame that follows.
type gifControl struct {
	delay       time.Duration
	disposal    byte
	transparent int // -1: none
}

// How a frame leaves the canvas. Everything else leaves it as it is.
const (
	disposeBackground = 2
	disposePrevious   = 3
)

// gifFrame describes a frame whose pixels have not been read.
type gifFrame struct {
	gifControl
	rect       image.Rectangle
	palette    []byte
	interlaced bool
}

// newGIFReader reads what comes before the first block.
func newGIFReader(r io.Reader) (*gifReader, error) {
	g := &gifReader{br: bufio.NewReaderSize(r, 64<<10), plays: 1}
	var screen [13]byte
	if _, err := io.ReadFull(g.br, screen[:]); err != nil {
		return nil, err
	}
	g.size = image.Pt(int(binary.LittleEndian.Uint16(screen[6:])), int(binary.LittleEndian.Uint16(screen[8:])))
	g.control.transparent = -1
	var err error
	g.global, err = g.colors(screen[10])
	return g, err
}

// colors reads the colour table that flags announce.
func (g *gifReader) colors(flags byte) ([]byte, error) {
	if flags&0x80 == 0 {
		return nil, nil
	}
	table := make([]byte, 3<<(1+flags&7))
	_, err := io.ReadFull(g.br, table)
	return table, err
}

// next finds the next frame. Its pixels must be read or skipped before the one after it. The end is io.EOF and a missing end is not.
func (g *gifReader) next() (gifFrame, error) {
	for {
		kind, err := g.br.ReadByte()
		if err != nil {
			return gifFrame{}, cut(err)
		}
		switch kind {
		case 0x3B:
			return gifFrame{}, io.EOF
		case 0x21:
			err = g.extension()
		case 0x2C:
			f, err := g.descriptor()
			return f, cut(err)
		default:
			err = fmt.Errorf("has an unknown block %X", kind)
		}
		if err != nil {
			return gifFrame{}, cut(err)
		}
	}
}

// cut makes the end of a file in the middle of something an error of its own.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (g *gifReader) extension() error {
	label, err := g.br.ReadByte()
	if err != nil {
		return err
	}
	blocks := &gifBlocks{br: g.br}
	switch label {
	case 0xF9:
		var b [4]byte
		if _, err := io.ReadFull(blocks, b[:]); err != nil {
			return err
		}
		g.control = gifControl{
			delay: 10 * time.Millisecond * time.Duration(binary.LittleEndian.Uint16(b[1:])), disposal: b[0] >> 2 & 7, transparent: -1,
		}
		if b[0]&1 != 0 {
			g.control.transparent = int(b[3])
		}
	case 0xFF:
		var b [14]byte
		if n, _ := io.ReadFull(blocks, b[:]); n == len(b) && (string(b[:11]) == "NETSCAPE2.0" || string(b[:11]) == "ANIMEXTS1.0") && b[11] == 1 {
			// The figure counts repetitions, so one less than how often it is shown.
			if g.plays = int(binary.LittleEndian.Uint16(b[12:])); g.plays != 0 {
				g.plays++
			}
		}
	}
	return blocks.skip()
}

func (g *gifReader) descriptor() (gifFrame, error) {
	f := gifFrame{gifControl: g.control, palette: g.global}
	g.control = gifControl{transparent: -1}
	var d [9]byte
	if _, err := io.ReadFull(g.br, d[:]); err != nil {
		return f, err
	}
	at := func(i int) int { return int(binary.LittleEndian.Uint16(d[i:])) }
	f.rect = image.Rect(at(0), at(2), at(0)+at(4), at(2)+at(6))
	f.interlaced = d[8]&0x40 != 0
	own, err := g.colors(d[8])
	if own != nil {
		f.palette = own
	}
	return f, err
}

// skip passes over a frame's pixels.
func (g *gifReader) skip() error {
	if _, err := g.br.Discard(1); err != nil { // the code size
		return cut(err)
	}
	return cut((&gifBlocks{br: g.br}).skip())
}

// pixels reads a frame's pixels as indices into its palette, row by row from top to bottom.
func (g *gifReader) pixels(f gifFrame) ([]byte, error) {
	width, err := g.br.ReadByte()
	if err != nil {
		return nil, cut(err)
	}
	if width < 2 || width > 8 {
		return nil, fmt.Errorf("has codes of %d bits", width)
	}
	blocks := &gifBlocks{br: g.br}
	z := lzw.NewReader(blocks, lzw.LSB, int(width))
	defer z.Close()
	w, h := f.rect.Dx(), f.rect.Dy()
	out := make([]byte, w*h)
	for i := range h {
		y := i
		if f.interlaced {
			y = interlacedRow(i, h)
		}
		if _, err := io.ReadFull(z, out[y*w:(y+1)*w]); err != nil {
			return nil, cut(err)
		}
	}
	return out, cut(blocks.skip())
}

// interlacedRow is where the i-th row that is stored belongs: every eighth, those in the middle between them, and so on.
func interlacedRow(i, h int) int {
	for _, pass := range [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}} {
		n := max(0, ceilDiv(h-pass[0], pass[1]))
		if i < n {
			return pass[0] + i*pass[1]
		}
		i -= n
	}
	return h - 1
}

// gifBlocks reads the data in a sequence of sub-blocks.
type gifBlocks struct {
	br   *bufio.Reader
	left int
	done bool
}

// ReadByte implements io.ByteReader.
func (b *gifBlocks) ReadByte() (byte, error) {
	if err := b.fill(); err != nil {
		return 0, err
	}
	b.left--
	return b.br.ReadByte()
}

// Read implements io.Reader.
func (b *gifBlocks) Read(p []byte) (int, error) {
	if err := b.fill(); err != nil {
		return 0, err
	}
	n, err := b.br.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

func (b *gifBlocks) fill() error {
	if b.left == 0 && !b.done {
		n, err := b.br.ReadByte()
		if err != nil {
			return cut(err)
		}
		b.left, b.done = int(n), n == 0
	}
	if b.done {
		return io.EOF
	}
	return nil
}

// skip passes over the rest of the sequence.
func (b *gifBlocks) skip() error {
	for {
		if err := b.fill(); errors.Is(err, io.EOF) && b.done {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := b.br.Discard(b.left); err != nil {
			return err
		}
		b.left = 0
	}
}
