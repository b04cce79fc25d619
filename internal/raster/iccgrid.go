package raster

import "encoding/binary"

// maxNodes is the most colours that a grid may have; 33 points a side for four inks are less.
const maxNodes = 1 << 21

// grid is a table of colours over one, three or four channels.
type grid struct {
	sides   []int
	strides []int // in nodes
	nodes   []uint16
}

func slicesOf(side, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = side
	}
	return out
}

// gridNodes is how many nodes a grid has, if it can be one.
func gridNodes(sides []int) (int, bool) {
	n := 1
	for _, side := range sides {
		if n *= side; side < 2 || n > maxNodes {
			return 0, false
		}
	}
	return n, true
}

func newGrid(sides []int, b []byte, width, nodes int) *grid {
	g := &grid{sides: sides, strides: make([]int, len(sides)), nodes: make([]uint16, 3*nodes)}
	for i := range g.nodes {
		if width == 1 {
			g.nodes[i] = uint16(b[i]) * 257
		} else {
			g.nodes[i] = binary.BigEndian.Uint16(b[2*i:])
		}
	}
	stride := 1
	for i := len(sides) - 1; i >= 0; i-- {
		g.strides[i] = stride
		stride *= sides[i]
	}
	return g
}

// step is where a value lies in one direction of the grid: how far beyond a node, and how far away the next node is.
type step struct {
	part   float64
	stride int
}

// stage interpolates. Three channels are interpolated in the tetrahedron around the colour, which keeps greys grey; of four channels the first
// is taken linearly between two of those.
func (g *grid) stage(v *[4]float64) {
	var steps [4]step
	base := 0
	for i, side := range g.sides {
		at := v[i] * float64(side-1)
		k := min(int(at), side-2)
		base += k * g.strides[i]
		steps[i] = step{at - float64(k), g.strides[i]}
	}
	var out [3]float64
	if n := len(g.sides); n < 4 {
		g.add(&out, base, steps[:n], 1)
	} else {
		g.add(&out, base, steps[1:], 1-steps[0].part)
		g.add(&out, base+steps[0].stride, steps[1:], steps[0].part)
	}
	v[0], v[1], v[2] = out[0], out[1], out[2]
}

// add walks from a node to the opposite one, the longest way first: the nodes on this way are the corners of the tetrahedron.
func (g *grid) add(out *[3]float64, node int, steps []step, weight float64) {
	var sorted [3]step
	s := sorted[:copy(sorted[:], steps)]
	for i := 1; i < len(s); i++ {
		for k := i; k > 0 && s[k].part > s[k-1].part; k-- {
			s[k], s[k-1] = s[k-1], s[k]
		}
	}
	before := 1.0
	for i := 0; i <= len(s); i++ {
		part := 0.0
		if i < len(s) {
			part = s[i].part
		}
		f := weight * (before - part) / 65535
		n := g.nodes[3*node : 3*node+3 : 3*node+3]
		out[0] += f * float64(n[0])
		out[1] += f * float64(n[1])
		out[2] += f * float64(n[2])
		if i < len(s) {
			before = part
			node += s[i].stride
		}
	}
}
