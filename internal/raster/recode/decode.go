package recode

import "context"

// lookup finds symbols by the bits that stand for them: those of up to eight bits at once, longer ones by their length.
type lookup struct {
	short   [256]uint16 // length << 8 | symbol; 0: longer
	values  []byte
	least   [17]int32 // the least code of a length
	most    [17]int32 // the greatest one, or -1
	indices [17]int32 // of the least code's symbol
}

func (p *picture) readTables(body []byte) error {
	for len(body) > 0 {
		if len(body) < 17 || body[0]>>4 > 1 || body[0]&15 > 3 {
			return broken("a Huffman table that is none")
		}
		counts, n := body[1:17], 0
		for _, c := range counts {
			n += int(c)
		}
		if len(body) < 17+n || n > 256 {
			return broken("a Huffman table of %d symbols", n)
		}
		p.tables[body[0]>>4][body[0]&15] = newLookup(counts, body[17:17+n])
		body = body[17+n:]
	}
	return nil
}

func newLookup(counts, values []byte) *lookup {
	t := &lookup{values: values}
	code, index := int32(0), int32(0)
	for length := 1; length <= 16; length++ {
		t.least[length], t.indices[length], t.most[length] = code, index, -1
		for range counts[length-1] {
			if length <= 8 && code < 1<<length {
				for fill := range int32(1) << (8 - length) {
					t.short[code<<(8-length)|fill] = uint16(length)<<8 | uint16(values[index])
				}
			}
			t.most[length] = code
			code, index = code+1, index+1
		}
		code <<= 1
	}
	return t
}

// reader reads bits out of what is coded, taking out the zeros behind 0xFF. Behind a marker it reads zeros, and says at the end that it did.
type reader struct {
	data []byte
	acc  uint64
	n    uint
	over int // bits beyond the end
}

func (r *reader) fill() {
	for r.n <= 48 {
		b := byte(0)
		switch {
		case len(r.data) == 0 || r.data[0] == 0xFF && (len(r.data) == 1 || r.data[1] != 0):
			r.over += 8
		case r.data[0] == 0xFF:
			b, r.data = 0xFF, r.data[2:]
		default:
			b, r.data = r.data[0], r.data[1:]
		}
		r.acc, r.n = r.acc<<8|uint64(b), r.n+8
	}
}

func (r *reader) bits(n uint) int32 {
	if r.n < n {
		r.fill()
	}
	r.n -= n
	return int32(r.acc>>r.n) & (1<<n - 1)
}

func (r *reader) symbol(t *lookup) (byte, bool) {
	if r.n < 16 {
		r.fill()
	}
	if s := t.short[byte(r.acc>>(r.n-8))]; s != 0 {
		r.n -= uint(s >> 8)
		return byte(s), true
	}
	for length := 9; length <= 16; length++ {
		if code := int32(r.acc>>(r.n-uint(length))) & (1<<length - 1); code <= t.most[length] {
			r.n -= uint(length)
			return t.values[t.indices[length]+code-t.least[length]], true
		}
	}
	return 0, false
}

// number reads a value of a size category.
func (r *reader) number(size byte) int32 {
	if size == 0 {
		return 0
	}
	v := r.bits(uint(size))
	if v < 1<<(size-1) {
		v += -1<<size + 1
	}
	return v
}

// next goes on behind a restart marker.
func (r *reader) next() bool {
	if r.over > int(r.n) || len(r.data) < 2 || r.data[0] != 0xFF || r.data[1]&^7 != markerRST0 {
		return false
	}
	*r = reader{data: r.data[2:]}
	return true
}

// decode reads all coefficients.
func (p *picture) decode(ctx context.Context) error {
	r := &reader{data: p.data}
	before := make([]int32, len(p.components))
	for mcu := range p.mcusX * p.mcusY {
		if mcu%p.mcusX == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if p.restart > 0 && mcu > 0 && mcu%p.restart == 0 {
			if !r.next() {
				return broken("no restart where one should be")
			}
			clear(before)
		}
		for i := range p.components {
			c := &p.components[i]
			for b := range c.h * c.v {
				x, y := mcu%p.mcusX*c.h+b%c.h, mcu/p.mcusX*c.v+b/c.h
				if !p.block(r, c, c.block(x, y), &before[i]) {
					return broken("a code that stands for nothing")
				}
			}
		}
	}
	if r.over > int(r.n) || len(r.data) < 2 || r.data[0] != 0xFF || r.data[1] != markerEOI {
		return broken("its data do not end where they should")
	}
	return nil
}

func (p *picture) block(r *reader, c *component, out []int16, before *int32) bool {
	size, ok := r.symbol(p.tables[0][c.dc])
	if !ok || size > 15 {
		return false
	}
	*before += r.number(size)
	out[0] = int16(*before)
	ac := p.tables[1][c.ac]
	for k := 1; k < 64; k++ {
		s, ok := r.symbol(ac)
		if !ok {
			return false
		}
		run, size := int(s>>4), s&15
		if size == 0 {
			if run != 15 {
				return true
			}
			k += 15
			continue
		}
		if k += run; k > 63 {
			return false
		}
		out[k] = int16(r.number(size))
	}
	return true
}
