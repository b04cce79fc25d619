package raster

import (
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"slices"

	"github.com/millrace/millrace/tasks"
)

// Placeholders are computed from small copies: nothing finer than these is in them.
const (
	copySide = 64
	blurSide = 32
)

// placeholders computes what is wanted of a finished picture.
func placeholders(ctx context.Context, m image.Image, wanted []string) (tasks.Placeholders, error) {
	var out tasks.Placeholders
	if len(wanted) == 0 {
		return out, nil
	}
	small, err := copyWithin(ctx, m, copySide)
	if err != nil {
		return out, err
	}
	if slices.Contains(wanted, tasks.ThumbHash) {
		out.ThumbHash = base64.StdEncoding.EncodeToString(thumbHash(small))
	}
	if slices.Contains(wanted, tasks.DominantColor) {
		out.DominantColor = dominant(small)
	}
	if slices.Contains(wanted, tasks.BlurHash) {
		if small, err = copyWithin(ctx, small, blurSide); err != nil {
			return out, err
		}
		flatten(small, color.NRGBA{255, 255, 255, 255}) // a blurhash knows no transparency
		out.BlurHash = blurHash(small, 4, 3)
	}
	return out, nil
}

// copyWithin is a copy that fits into a square.
func copyWithin(ctx context.Context, m image.Image, side int) (*image.NRGBA, error) {
	size := m.Bounds().Size()
	w, h := within(size.X, size.Y, side, side)
	w, h = notLarger(size.X, size.Y, w, h)
	g := geometry{source: box{0, 0, size.X, size.Y}, scaledW: w, scaledH: h, window: box{0, 0, w, h}}
	small, err := resample(ctx, decoded{image: m, denom: 1}, g, false, func(float64) {})
	if err != nil {
		return nil, err
	}
	return toNRGBA(small), nil
}

// dominant is the colour that most of a picture has: from the means of the fullest of 512 boxes of colours it moves to the mean of what is
// like it, and the one with the most around it wins. A picture of which nothing can be seen has none.
func dominant(m *image.NRGBA) string {
	boxes := make([]colorSum, 512)
	for i := 0; i+3 < len(m.Pix); i += 4 {
		p := m.Pix[i : i+4]
		boxes[int(p[0]>>5)<<6|int(p[1]>>5)<<3|int(p[2]>>5)].add(p)
	}
	slices.SortStableFunc(boxes, func(a, b colorSum) int { return b.weight - a.weight })
	const candidates, rounds = 8, 4
	var best colorSum
	for _, around := range boxes[:candidates] {
		for range rounds {
			if around.weight > 0 {
				around = like(m, around.mean())
			}
		}
		if around.weight > best.weight {
			best = around
		}
	}
	if best.weight == 0 {
		return ""
	}
	c := best.mean()
	return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2])
}

// like sums what differs from a colour by at most the side of a box in each channel.
func like(m *image.NRGBA, c [3]byte) colorSum {
	const reach = 32
	var near colorSum
	for i := 0; i+3 < len(m.Pix); i += 4 {
		p := m.Pix[i : i+4]
		if max(apart(p[0], c[0]), apart(p[1], c[1]), apart(p[2], c[2])) <= reach {
			near.add(p)
		}
	}
	return near
}

// colorSum is a sum of colours, each with its alpha as its weight.
type colorSum struct {
	weight int
	sum    [3]int
}

func (c *colorSum) add(p []byte) {
	a := int(p[3])
	c.weight += a
	for i := range c.sum {
		c.sum[i] += a * int(p[i])
	}
}

func (c *colorSum) mean() [3]byte {
	var out [3]byte
	for i := range out {
		out[i] = byte((c.sum[i] + c.weight/2) / c.weight)
	}
	return out
}

func apart(a, b byte) int { return max(int(a)-int(b), int(b)-int(a)) }
