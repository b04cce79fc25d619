package raster

import "context"

// plane is one sample per pixel.
type plane struct {
	pix    []byte
	stride int
}

// midBits is how many fraction bits a sample keeps between the two passes.
const midBits = 6

// resamplePlane makes dst, x.n × y.n, of src. Rows are resized horizontally as they are needed and only those that the kernel still reaches are
// kept, so that the memory between the passes does not grow with the picture's height.
func resamplePlane(ctx context.Context, dst, src plane, x, y axis, done func(part float64)) error {
	horizontal, vertical := x.taps(), y.taps()
	kept := window(vertical)
	ring := make([]int16, kept*x.n)
	acc := make([]int32, x.n)
	next, finished := 0, 0
	return rows(vertical, func(j int, t tap) error {
		end := t.start + len(t.weights)
		for next = max(next, t.start); next < end; next++ {
			if next%64 == 0 && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			shrinkRow(ring[next%kept*x.n:][:x.n], src.pix[next*src.stride:], horizontal)
		}
		if finished++; finished%64 == 0 {
			done(float64(finished) / float64(len(vertical)))
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		for i := range acc {
			acc[i] = 1 << (fixedBits + midBits - 1)
		}
		for k, w := range t.weights {
			addRow(acc, ring[(t.start+k)%kept*x.n:][:x.n], w)
		}
		out := dst.pix[j*dst.stride:][:len(acc)]
		for i, v := range acc {
			out[i] = clamp(v >> (fixedBits + midBits))
		}
		return nil
	})
}

func shrinkRow(out []int16, row []byte, taps []tap) {
	taps = taps[:len(out)]
	for x := range out {
		t := &taps[x]
		w := t.weights
		s := row[t.start:][:len(w)]
		acc := int32(1 << (fixedBits - midBits - 1))
		for k, v := range s {
			acc += int32(v) * w[k]
		}
		out[x] = int16(max(-1<<15, min(1<<15-1, acc>>(fixedBits-midBits))))
	}
}

func addRow(acc []int32, row []int16, w int32) {
	row = row[:len(acc)]
	for x := range acc {
		acc[x] += int32(row[x]) * w
	}
}
