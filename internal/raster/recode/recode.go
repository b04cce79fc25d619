// Package recode writes the coefficients of a JPEG anew, without loss: as a progressive one, or with the Huffman tables that suit it best.
//
// It is for what our own encoder has just written, baseline with one scan of all components, and refuses the rest: it is no decoder for
// pictures from strangers. It looks at its context for every row of blocks, which the encoder in front of it does not.
package recode

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
)

// Order is how the coefficients are written.
type Order int

// The orders of coefficients.
const (
	Sequential  Order = iota // baseline: block after block
	Progressive              // coarse first, in the scans that most encoders make
)

// The markers that are told apart.
const (
	markerSOF0 = 0xC0
	markerSOF2 = 0xC2
	markerDHT  = 0xC4
	markerRST0 = 0xD0
	markerSOI  = 0xD8
	markerEOI  = 0xD9
	markerSOS  = 0xDA
	markerDRI  = 0xDD
)

// JPEG reads data, a whole baseline JPEG, and writes it in another order.
func JPEG(ctx context.Context, w io.Writer, data []byte, order Order) error {
	p, err := parse(data)
	if err != nil {
		return err
	}
	if err := p.decode(ctx); err != nil {
		return err
	}
	e := &encoder{ctx: ctx, w: w, picture: p}
	e.bytes(0xFF, markerSOI)
	e.bytes(p.before...)
	if order == Progressive {
		p.frame[1] = markerSOF2
	}
	e.bytes(p.frame...)
	scans := p.sequential()
	if order == Progressive {
		scans = p.progressive()
	}
	for _, s := range scans {
		if err := e.scan(s); err != nil {
			return err
		}
	}
	e.bytes(0xFF, markerEOI)
	return e.flush()
}

// picture is a JPEG taken apart.
type picture struct {
	before     []byte // the segments before the frame header, tables of coefficients' steps among them, but no Huffman tables
	frame      []byte // the frame header as a segment
	components []component
	tables     [2][4]*lookup // of DC and AC
	restart    int           // blocks of all components between restart markers; 0: none
	data       []byte        // what is coded, to the end of the file
	mcusX      int
	mcusY      int
}

// component is a plane of coefficients, 64 for each block, in zigzag order. Rows of blocks are as long as whole MCUs make them.
type component struct {
	id            byte
	h, v          int
	dc, ac        byte // tables in the file that was read
	stride        int  // blocks in a row
	width, height int  // blocks that the picture reaches into: what scans of one component hold
	coefficients  []int16
}

func (c *component) block(x, y int) []int16 {
	at := 64 * (y*c.stride + x)
	return c.coefficients[at : at+64 : at+64]
}

func broken(format string, args ...any) error { return fmt.Errorf("recode a JPEG: "+format, args...) }

// parse takes the file's segments apart.
func parse(data []byte) (*picture, error) {
	p := new(picture)
	if len(data) < 4 || data[0] != 0xFF || data[1] != markerSOI {
		return nil, broken("no start")
	}
	for at := 2; ; {
		if at+4 > len(data) || data[at] != 0xFF {
			return nil, broken("no segment at %d", at)
		}
		end := at + 2 + int(binary.BigEndian.Uint16(data[at+2:]))
		if end > len(data) || end < at+4 {
			return nil, broken("the segment at %d is cut short", at)
		}
		segment, body := data[at:end], data[at+4:end]
		var err error
		switch marker := data[at+1]; marker {
		case markerSOF0:
			err = p.readFrame(segment, body)
		case markerDHT:
			err = p.readTables(body)
		case markerDRI:
			if len(body) == 2 {
				p.restart = int(binary.BigEndian.Uint16(body))
			}
		case markerSOS:
			p.data = data[end:]
			return p, p.readScan(body)
		default:
			if marker > markerSOF0 && marker <= 0xCF {
				return nil, broken("a frame of kind %x", marker)
			}
			p.before = append(p.before, segment...)
		}
		if err != nil {
			return nil, err
		}
		at = end
	}
}

func (p *picture) readFrame(segment, body []byte) error {
	if len(body) < 6 || len(body) != 6+3*int(body[5]) || body[0] != 8 || body[5] == 0 || body[5] > 4 || p.frame != nil {
		return broken("a frame header of %d bytes", len(body))
	}
	p.frame = append([]byte(nil), segment...)
	height, width := int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
	mostH, mostV := 1, 1
	for c := body[6:]; len(c) > 0; c = c[3:] {
		h, v := int(c[1]>>4), int(c[1]&15)
		if h < 1 || h > 4 || v < 1 || v > 4 {
			return broken("sampling of %d × %d", h, v)
		}
		p.components = append(p.components, component{id: c[0], h: h, v: v})
		mostH, mostV = max(mostH, h), max(mostV, v)
	}
	if width == 0 || height == 0 {
		return broken("%d × %d pixels", width, height)
	}
	if len(p.components) == 1 { // a single component is never interleaved
		p.components[0].h, p.components[0].v, mostH, mostV = 1, 1, 1, 1
	}
	p.mcusX, p.mcusY = ceil(width, 8*mostH), ceil(height, 8*mostV)
	for i := range p.components {
		c := &p.components[i]
		c.stride = p.mcusX * c.h
		c.width, c.height = ceil(width*c.h, 8*mostH), ceil(height*c.v, 8*mostV)
		c.coefficients = make([]int16, 64*c.stride*p.mcusY*c.v)
	}
	return nil
}

func (p *picture) readScan(body []byte) error {
	n := len(p.components)
	if n == 0 || len(body) != 4+2*n || int(body[0]) != n {
		return broken("a scan that does not hold all components")
	}
	for i := range p.components {
		c := &p.components[i]
		if body[1+2*i] != c.id {
			return broken("components out of order")
		}
		c.dc, c.ac = body[2+2*i]>>4, body[2+2*i]&15
		if c.dc > 3 || c.ac > 3 || p.tables[0][c.dc] == nil || p.tables[1][c.ac] == nil {
			return broken("a scan without its tables")
		}
	}
	return nil
}

func ceil(a, b int) int { return (a + b - 1) / b }
