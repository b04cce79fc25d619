package recode

import (
	"context"
	"io"
)

// scan is one pass over coefficients from to to of some components, with their low bits left out. before is how many bits an earlier pass over
// the same ones left out, 0 for the first.
type scan struct {
	components  []int
	from, to    int
	before, low uint
}

// sequential is a single scan of everything.
func (p *picture) sequential() []scan { return []scan{{components: p.all(), to: 63}} }

// progressive are the scans that libjpeg makes: averages first, then colours and outlines, then what is fine.
func (p *picture) progressive() []scan {
	if len(p.components) != 3 {
		scans := []scan{{p.all(), 0, 0, 0, 1}}
		for _, part := range []scan{{from: 1, to: 5, low: 2}, {from: 6, to: 63, low: 2}, {from: 1, to: 63, before: 2, low: 1}, {before: 1}, {from: 1, to: 63, before: 1}} {
			if part.to == 0 {
				part.components = p.all()
				scans = append(scans, part)
				continue
			}
			for i := range p.components {
				part.components = []int{i}
				scans = append(scans, part)
			}
		}
		return scans
	}
	y, cb, cr := []int{0}, []int{1}, []int{2}
	return []scan{
		{p.all(), 0, 0, 0, 1},
		{y, 1, 5, 0, 2}, {cr, 1, 63, 0, 1}, {cb, 1, 63, 0, 1}, {y, 6, 63, 0, 2}, {y, 1, 63, 2, 1},
		{p.all(), 0, 0, 1, 0},
		{cr, 1, 63, 1, 0}, {cb, 1, 63, 1, 0}, {y, 1, 63, 1, 0},
	}
}

func (p *picture) all() []int {
	out := make([]int, len(p.components))
	for i := range out {
		out[i] = i
	}
	return out
}

// encoder writes scans, each in two passes: the first counts symbols, the second writes them with the table that suits the counts.
type encoder struct {
	ctx      context.Context
	w        io.Writer
	picture  *picture
	out      []byte
	err      error
	counting bool
	often    [2][2][256]int // by DC or AC and table
	tables   [2][2]*table
	acc      uint64
	n        uint

	// Of the scan at work.
	dc      [4]int32 // by component
	table   int
	run     int    // blocks that end alike
	pending []byte // bits that follow the run's symbol
	own     []byte // room for those of the block at work
}

func (e *encoder) bytes(b ...byte) {
	e.out = append(e.out, b...)
	if len(e.out) > 64<<10 {
		_ = e.flush()
	}
}

func (e *encoder) flush() error {
	if e.err == nil {
		_, e.err = e.w.Write(e.out)
	}
	e.out = e.out[:0]
	return e.err
}

func (e *encoder) scan(s scan) error {
	e.often = [2][2][256]int{}
	for _, counting := range []bool{true, false} {
		if e.counting = counting; !counting {
			e.header(s)
		}
		if err := e.pass(s); err != nil {
			return err
		}
	}
	if e.n > 0 {
		e.put(1<<(8-e.n)-1, 8-e.n)
	}
	return e.flush()
}

// tableOf is the table of a component: one for brightness, one for colours.
func tableOf(component int) int { return min(component, 1) }

// header writes the tables that the first pass found to be used, and the scan's own header.
func (e *encoder) header(s scan) {
	for class := range e.often {
		for i := range e.often[class] {
			often := &e.often[class][i]
			if *often == [256]int{} {
				continue
			}
			t := newTable(often)
			e.tables[class][i] = t
			n := 19 + len(t.values)
			e.bytes(0xFF, markerDHT, byte(n>>8), byte(n), byte(class<<4|i))
			e.bytes(t.counts[:]...)
			e.bytes(t.values...)
		}
	}
	n := 6 + 2*len(s.components)
	e.bytes(0xFF, markerSOS, 0, byte(n), byte(len(s.components)))
	for _, i := range s.components {
		e.bytes(e.picture.components[i].id, byte(tableOf(i)<<4|tableOf(i)))
	}
	e.bytes(byte(s.from), byte(s.to), byte(s.before<<4|s.low))
}

// pass visits the scan's blocks in their order: those of several components MCU by MCU, those of one row by row.
func (e *encoder) pass(s scan) error {
	p := e.picture
	e.dc, e.run, e.pending = [4]int32{}, 0, e.pending[:0]
	code := e.coder(s)
	if len(s.components) == 1 {
		i := s.components[0]
		c := &p.components[i]
		for y := range c.height {
			if e.ctx.Err() != nil {
				return context.Cause(e.ctx)
			}
			for x := range c.width {
				code(i, c.block(x, y))
			}
		}
		e.endRun()
		return e.err
	}
	for mcu := range p.mcusX * p.mcusY {
		if mcu%p.mcusX == 0 && e.ctx.Err() != nil {
			return context.Cause(e.ctx)
		}
		for _, i := range s.components {
			c := &p.components[i]
			for b := range c.h * c.v {
				code(i, c.block(mcu%p.mcusX*c.h+b%c.h, mcu/p.mcusX*c.v+b/c.h))
			}
		}
	}
	return e.err
}

// coder is what writes a block in this scan.
func (e *encoder) coder(s scan) func(component int, block []int16) {
	switch {
	case s.to == 63 && s.from == 0:
		return func(i int, block []int16) {
			e.table = tableOf(i)
			e.average(i, block, 0)
			e.details(block)
		}
	case s.from == 0 && s.before == 0:
		return func(i int, block []int16) {
			e.table = tableOf(i)
			e.average(i, block, s.low)
		}
	case s.from == 0:
		return func(_ int, block []int16) { e.put(uint32(block[0]>>s.low)&1, 1) }
	case s.before == 0:
		return func(i int, block []int16) {
			e.table = tableOf(i)
			e.first(block, s)
		}
	}
	return func(i int, block []int16) {
		e.table = tableOf(i)
		e.refine(block, s)
	}
}

// put writes bits, with a zero behind each 0xFF.
func (e *encoder) put(v uint32, n uint) {
	if e.counting || n == 0 {
		return
	}
	e.acc, e.n = e.acc<<n|uint64(v), e.n+n
	for e.n >= 8 {
		e.n -= 8
		b := byte(e.acc >> e.n)
		e.out = append(e.out, b)
		if b == 0xFF {
			e.out = append(e.out, 0)
		}
	}
	if len(e.out) > 64<<10 {
		_ = e.flush()
	}
}

func (e *encoder) symbol(class int, s byte) {
	if e.counting {
		e.often[class][e.table][s]++
		return
	}
	t := e.tables[class][e.table]
	e.put(uint32(t.code[s]), uint(t.length[s]))
}
