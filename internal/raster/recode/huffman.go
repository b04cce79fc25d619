package recode

import "math/bits"

// table is a Huffman table to write with.
type table struct {
	counts [16]byte // symbols by length, from one bit on
	values []byte   // symbols, the shortest first
	code   [256]uint16
	length [256]uint8
}

// newTable makes the table that is the shortest for symbols that occur so often, with no code longer than 16 bits and none of ones alone, as
// ITU T.81 wants it (annex K.2).
func newTable(often *[256]int) *table {
	lengths := codeLengths(often)
	shorten(&lengths)
	lengths[longest(&lengths)]-- // the code of ones alone was reserved for a symbol that does not exist
	t := new(table)
	for n := 1; n <= 16; n++ {
		t.counts[n-1] = byte(lengths[n])
	}
	t.values = bySize(often)
	code, i := uint16(0), 0
	for n, count := range t.counts {
		for range count {
			v := t.values[i]
			t.code[v], t.length[v] = code, uint8(n+1)
			code, i = code+1, i+1
		}
		code <<= 1
	}
	return t
}

// codeLengths counts how many symbols get a code of each length, by joining the two rarest groups of them again and again. One symbol more,
// the rarest, takes the code of ones alone.
func codeLengths(often *[256]int) (lengths [64]int) {
	const reserved = 256
	var weight [257]int
	var size, next [257]int
	copy(weight[:], often[:])
	weight[reserved] = 1
	for i := range next {
		next[i] = -1
	}
	for {
		first, second := -1, -1
		for i := reserved; i >= 0; i-- { // the reserved one first of all that are as rare
			switch w := weight[i]; {
			case w == 0:
			case first < 0 || w < weight[first]:
				first, second = i, first
			case second < 0 || w < weight[second]:
				second = i
			}
		}
		if second < 0 {
			break
		}
		weight[first], weight[second] = weight[first]+weight[second], 0
		last := first
		for ; next[last] >= 0; last = next[last] {
			size[last]++
		}
		size[last]++
		next[last] = second
		for i := second; i >= 0; i = next[i] {
			size[i]++
		}
	}
	for i, n := range size {
		if n > 0 || i == reserved {
			lengths[max(1, min(n, len(lengths)-1))]++
		}
	}
	return lengths
}

// shorten takes codes longer than 16 bits in pairs: one of them takes their common beginning, the other shares a place with a shorter code.
func shorten(lengths *[64]int) {
	for n := len(lengths) - 1; n > 16; n-- {
		for lengths[n] > 0 {
			shorter := n - 2
			for lengths[shorter] == 0 {
				shorter--
			}
			lengths[n] -= 2
			lengths[n-1]++
			lengths[shorter+1] += 2
			lengths[shorter]--
		}
	}
}

func longest(lengths *[64]int) int {
	for n := 16; n > 0; n-- {
		if lengths[n] > 0 {
			return n
		}
	}
	return 0
}

// bySize are the symbols that occur, the most frequent first.
func bySize(often *[256]int) []byte {
	var out []byte
	for s, n := range often {
		if n == 0 {
			continue
		}
		at := len(out)
		for at > 0 && often[out[at-1]] < n {
			at--
		}
		out = append(out, 0)
		copy(out[at+1:], out[at:])
		out[at] = byte(s)
	}
	return out
}

// category is the size category of a value and the bits that tell it within that.
func category(v int32) (size uint8, tell uint32) {
	if v < 0 {
		size = uint8(bits.Len32(uint32(-v)))
		return size, uint32(v-1) & (1<<size - 1)
	}
	size = uint8(bits.Len32(uint32(v)))
	return size, uint32(v)
}
