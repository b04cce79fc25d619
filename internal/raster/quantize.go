package raster

import (
	"cmp"
	"image"
	"image/color"
	"slices"
)

// GIF has 256 colours. A picture with no more keeps them exactly; others get the means of a median cut, without dithering, which GIF
// compresses badly.

const maxColors = 256

// quantize makes the palette picture of m. Pixels that are more transparent than not become wholly so.
func quantize(m *image.NRGBA) *image.Paletted { return quantizeTo(m, maxColors) }

// quantizeTo makes a palette picture of at most n colours.
func quantizeTo(m *image.NRGBA, n int) *image.Paletted {
	if out, ok := exactColors(m, n); ok {
		return out
	}
	var bins [1 << 15]bin
	clear := false
	for i := 0; i+3 < len(m.Pix); i += 4 {
		p := m.Pix[i : i+4 : i+4]
		if p[3] < 128 {
			clear = true
			continue
		}
		bins[binOf(p)].add(p)
	}
	used := make([]*bin, 0, len(bins))
	for i := range bins {
		if bins[i].n > 0 {
			used = append(used, &bins[i])
		}
	}
	var palette color.Palette
	if clear {
		palette = append(palette, color.NRGBA{})
	}
	for _, group := range medianCut(used, n-len(palette)) {
		for _, b := range group {
			b.index = byte(len(palette))
		}
		palette = append(palette, mean(group))
	}
	out := image.NewPaletted(m.Rect, palette)
	for i := range out.Pix {
		if p := m.Pix[4*i : 4*i+4 : 4*i+4]; p[3] >= 128 {
			out.Pix[i] = bins[binOf(p)].index
		}
	}
	return out
}

// exactColors works where there are few enough.
func exactColors(m *image.NRGBA, n int) (*image.Paletted, bool) {
	index := make(map[[4]byte]byte)
	var palette color.Palette
	out := image.NewPaletted(m.Rect, nil)
	var last [4]byte
	for i := range out.Pix {
		c := [4]byte(m.Pix[4*i:])
		if i > 0 && c == last {
			out.Pix[i] = out.Pix[i-1]
			continue
		}
		last = c
		if c[3] < 128 {
			c = [4]byte{}
		} else {
			c[3] = 255
		}
		at, ok := index[c]
		if !ok {
			if len(palette) == n {
				return nil, false
			}
			at = byte(len(palette))
			index[c] = at
			palette = append(palette, color.NRGBA{c[0], c[1], c[2], c[3]})
		}
		out.Pix[i] = at
	}
	out.Palette = palette
	return out, true
}

// transparentIndex is the palette's place of the transparent colour, -1 where it has none.
func transparentIndex(m *image.Paletted) int {
	return slices.IndexFunc(m.Palette, func(c color.Color) bool { return c == color.NRGBA{} })
}

// bin gathers the pixels whose colours agree in their upper five bits.
type bin struct {
	n     int
	sum   [3]int
	index byte
}

func binOf(p []byte) int { return int(p[0]>>3)<<10 | int(p[1]>>3)<<5 | int(p[2]>>3) }

func (b *bin) add(p []byte) {
	b.n++
	for c := range b.sum {
		b.sum[c] += int(p[c])
	}
}

func (b *bin) at(c int) int { return b.sum[c] / b.n }

// medianCut splits the bins into at most n groups: always the group that is widest for its weight, at the median of its widest channel.
func medianCut(bins []*bin, n int) [][]*bin {
	groups := [][]*bin{bins}
	for len(groups) < n {
		best, channel, most := -1, 0, 0
		for i, g := range groups {
			if c, spread := widest(g); len(g) > 1 && spread > most {
				best, channel, most = i, c, spread
			}
		}
		if best < 0 {
			break
		}
		g := groups[best]
		slices.SortStableFunc(g, func(a, b *bin) int { return cmp.Compare(a.at(channel), b.at(channel)) })
		cut := median(g)
		groups[best] = g[:cut]
		groups = append(groups, g[cut:])
	}
	return groups
}

func widest(g []*bin) (channel, spread int) {
	weight := 0
	for _, b := range g {
		weight += b.n
	}
	for c := range 3 {
		low, high := 255, 0
		for _, b := range g {
			low, high = min(low, b.at(c)), max(high, b.at(c))
		}
		// The cube root of the weight would be fairer still; its share of bits comes near enough and stays an integer.
		if s := (high - low) * bits(weight); s > spread {
			channel, spread = c, s
		}
	}
	return channel, spread
}

func bits(n int) int {
	b := 1
	for ; n > 1; n >>= 1 {
		b++
	}
	return b
}

// median is where the pixels of g are halved; both sides keep at least one bin.
func median(g []*bin) int {
	total := 0
	for _, b := range g {
		total += b.n
	}
	half := 0
	for i, b := range g {
		half += b.n
		if 2*half >= total {
			return min(max(1, i), len(g)-1)
		}
	}
	return len(g) - 1
}

func mean(g []*bin) color.NRGBA {
	var n int
	var sum [3]int
	for _, b := range g {
		n += b.n
		for c := range sum {
			sum[c] += b.sum[c]
		}
	}
	if n == 0 {
		return color.NRGBA{A: 255}
	}
	return color.NRGBA{byte(sum[0] / n), byte(sum[1] / n), byte(sum[2] / n), 255}
}
