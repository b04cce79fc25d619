package raster

import (
	"context"
	"image"
	"math"

	"github.com/disintegration/imaging"

	"github.com/millrace/millrace/tasks"
)

// bandPixels is how much is given to an effect at a time: little enough that a cancelled job ends at once.
const bandPixels = 1 << 20

// effects drops colours, blurs and sharpens, in this order, on the picture as it has been resized.
func effects(ctx context.Context, m image.Image, p tasks.ResizeParams) (image.Image, error) {
	var err error
	if p.Grayscale {
		if m, err = greyscale(ctx, m); err != nil {
			return nil, err
		}
	}
	if p.Blur > 0 {
		if m, err = blur(ctx, toNRGBA(m), p.Blur); err != nil {
			return nil, err
		}
	}
	if p.Sharpen > 0 {
		sharpen := func(b *image.NRGBA) *image.NRGBA { return imaging.Sharpen(b, p.Sharpen) }
		if m, err = inBands(ctx, toNRGBA(m), reach(p.Sharpen), sharpen); err != nil {
			return nil, err
		}
	}
	if p.Grayscale && opaque(m) {
		return oneChannel(m), nil
	}
	return m, nil
}

func greyscale(ctx context.Context, m image.Image) (image.Image, error) {
	switch m := m.(type) {
	case *image.Gray:
		return m, nil
	case *image.YCbCr: // luma is the very same sum of the colours
		return &image.Gray{Pix: m.Y, Stride: m.YStride, Rect: m.Rect}, nil
	}
	return inBands(ctx, toNRGBA(m), 0, func(b *image.NRGBA) *image.NRGBA { return imaging.Grayscale(b) })
}

func oneChannel(m image.Image) image.Image {
	n, ok := m.(*image.NRGBA)
	if !ok {
		return m
	}
	out := image.NewGray(n.Rect)
	for i := range out.Pix {
		out.Pix[i] = n.Pix[4*i]
	}
	return out
}

// reach is how far a Gaussian of sigma looks.
func reach(sigma float64) int { return int(math.Ceil(3 * sigma)) }

// narrowSigma is the widest Gaussian that is computed as such. A wider one leaves nothing fine in the picture, so it is computed on a smaller
// copy: the cost does not grow with sigma.
const narrowSigma = 8.0

func blur(ctx context.Context, m *image.NRGBA, sigma float64) (*image.NRGBA, error) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	gaussian := func(b *image.NRGBA) *image.NRGBA { return imaging.Blur(b, sigma) }
	if sigma <= narrowSigma {
		return inBands(ctx, m, reach(sigma), gaussian)
	}
	shrink := sigma / (narrowSigma / 2)
	small, err := scale(ctx, m, max(1, int(math.Round(float64(w)/shrink))), max(1, int(math.Round(float64(h)/shrink))))
	if err != nil {
		return nil, err
	}
	sigma = narrowSigma / 2
	if small, err = inBands(ctx, small, reach(sigma), gaussian); err != nil {
		return nil, err
	}
	return scale(ctx, small, w, h)
}

func scale(ctx context.Context, m *image.NRGBA, w, h int) (*image.NRGBA, error) {
	g := geometry{source: box{0, 0, m.Rect.Dx(), m.Rect.Dy()}, scaledW: w, scaledH: h, window: box{0, 0, w, h}}
	out, err := resampleQuads(ctx, decoded{image: m, denom: 1}, g, func(float64) {})
	if err != nil {
		return nil, err
	}
	return toNRGBA(out), nil
}

// inBands gives an effect the picture band by band, each with the rows around it that the effect looks at. The library behind the effects
// takes no context, and it is only ever handed NRGBA: its reading of palettes can panic on goroutines of its own.
func inBands(ctx context.Context, m *image.NRGBA, margin int, effect func(*image.NRGBA) *image.NRGBA) (*image.NRGBA, error) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	step := max(1, 2*margin, bandPixels/max(1, w))
	for y := 0; y < h; y += step {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		end := min(h, y+step)
		from, to := max(0, y-margin), min(h, end+margin)
		band := m.SubImage(image.Rect(0, from, w, to)).(*image.NRGBA)
		done := effect(band)
		copy(out.Pix[y*out.Stride:end*out.Stride], done.Pix[(y-from)*done.Stride:])
	}
	return out, nil
}
