package recode

// The ways to write a block, as ITU T.81 describes them: annex F for sequential scans, annex G for progressive ones.

// average writes the first coefficient as what it differs from that of the block before.
func (e *encoder) average(component int, block []int16, low uint) {
	v := int32(block[0]) >> low
	size, tell := category(v - e.dc[component])
	e.dc[component] = v
	e.symbol(0, size)
	e.put(tell, uint(size))
}

// details writes all coefficients but the first.
func (e *encoder) details(block []int16) {
	zeros := 0
	for _, v := range block[1:] {
		if v == 0 {
			zeros++
			continue
		}
		for ; zeros > 15; zeros -= 16 {
			e.symbol(1, 0xF0)
		}
		size, tell := category(int32(v))
		e.symbol(1, byte(zeros)<<4|size)
		e.put(tell, uint(size))
		zeros = 0
	}
	if zeros > 0 {
		e.symbol(1, 0)
	}
}

// longestRun is how many blocks one symbol can say to be at their end.
const longestRun = 0x7FFF

// first writes a band of coefficients without their low bits.
func (e *encoder) first(block []int16, s scan) {
	zeros := 0
	for _, c := range block[s.from : s.to+1] {
		v := shift(c, s.low)
		if v == 0 {
			zeros++
			continue
		}
		e.endRun()
		for ; zeros > 15; zeros -= 16 {
			e.symbol(1, 0xF0)
		}
		size, tell := category(v)
		e.symbol(1, byte(zeros)<<4|size)
		e.put(tell, uint(size))
		zeros = 0
	}
	if zeros > 0 {
		if e.run++; e.run == longestRun {
			e.endRun()
		}
	}
}

// shift drops low bits towards zero.
func shift(c int16, low uint) int32 {
	if c < 0 {
		return -(-int32(c) >> low)
	}
	return int32(c) >> low
}

// endRun writes how many blocks were at their end, and the bits that refine what they hold already.
func (e *encoder) endRun() {
	if e.run > 0 {
		size, _ := category(int32(e.run))
		size--
		e.symbol(1, size<<4)
		e.put(uint32(e.run)&(1<<size-1), uint(size))
		e.run = 0
	}
	e.correct()
}

func (e *encoder) correct() {
	for _, b := range e.pending {
		e.put(uint32(b), 1)
	}
	e.pending = e.pending[:0]
}

// mostPending is how many bits may wait behind a run: few enough that no decoder has trouble with them.
const mostPending = 1000 - 63

// refine writes one bit more of a band. Coefficients that become something now are written as in first; those that were something before have
// their bit put behind the next symbol.
func (e *encoder) refine(block []int16, s scan) {
	last := s.from - 1 // where the last coefficient that becomes something stands
	for k := s.from; k <= s.to; k++ {
		if v := shift(block[k], s.low); v == 1 || v == -1 {
			last = k
		}
	}
	zeros := 0
	own := e.own[:0] // bits of this block, which belong behind its next symbol and not to the run before
	for k := s.from; k <= s.to; k++ {
		v := shift(block[k], s.low)
		if v == 0 {
			zeros++
			continue
		}
		for zeros > 15 && k <= last {
			e.endRun()
			e.symbol(1, 0xF0)
			zeros -= 16
			e.pending = append(e.pending, own...)
			e.correct()
			own = own[:0]
		}
		if v != 1 && v != -1 {
			own = append(own, byte(max(v, -v)&1))
			continue
		}
		e.endRun()
		e.symbol(1, byte(zeros)<<4|1)
		sign := uint32(1)
		if v < 0 {
			sign = 0
		}
		e.put(sign, 1)
		e.pending = append(e.pending, own...)
		e.correct()
		own, zeros = own[:0], 0
	}
	if zeros > 0 || len(own) > 0 {
		e.run++
		e.pending = append(e.pending, own...)
		if e.run == longestRun || len(e.pending) > mostPending {
			e.endRun()
		}
	}
	e.own = own
}
