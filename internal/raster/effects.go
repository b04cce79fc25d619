package raster

import (
	"context"
	"errors"
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
		if m, err = blur(ctx, m, p.Blur); err != nil {
			return nil, err
		}
	}
	if p.Sharpen > 0 {
		if m, err = sharpen(ctx, m, p.Sharpen); err != nil {
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
	return inBands(ctx, toNRGBA(m), func(b *image.NRGBA) *image.NRGBA { return imaging.Grayscale(b) })
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

// narrowSigma is the widest Gaussian that is computed as such. A wider one leaves nothing fine in the picture, so it is computed on a smaller
// copy: the cost does not grow with sigma.
const narrowSigma = 4.0

// blur is a Gaussian. Planes are blurred each for itself, other pictures with their colours weighted by alpha.
func blur(ctx context.Context, m image.Image, sigma float64) (image.Image, error) {
	size := m.Bounds().Size()
	if sigma <= narrowSigma {
		return convolve(ctx, m, size, sigma)
	}
	shrink := sigma / (narrowSigma / 2)
	side := func(n int) int { return max(1, int(math.Round(float64(n)/shrink))) }
	small, err := convolve(ctx, m, image.Pt(side(size.X), side(size.Y)), 0)
	if err != nil {
		return nil, err
	}
	if small, err = convolve(ctx, small, small.Bounds().Size(), narrowSigma/2); err != nil {
		return nil, err
	}
	return convolve(ctx, small, size, 0)
}

// convolve resizes, or lays a Gaussian over the picture.
func convolve(ctx context.Context, m image.Image, to image.Point, sigma float64) (image.Image, error) {
	size := m.Bounds().Size()
	g := geometry{source: box{0, 0, size.X, size.Y}, scaledW: to.X, scaledH: to.Y, window: box{0, 0, to.X, to.Y}, sigma: sigma}
	return resample(ctx, decoded{image: m, denom: 1}, g, false, func(float64) {})
}

// sharpen is an unsharp mask: what a blur takes away is added once more. Transparency stays as it is.
func sharpen(ctx context.Context, m image.Image, sigma float64) (image.Image, error) {
	if c, ok := m.(*image.YCbCr); ok && c.SubsampleRatio != image.YCbCrSubsampleRatio444 {
		m = toNRGBA(m) // a blur gives all planes one size
	}
	soft, err := blur(ctx, m, sigma)
	if err != nil {
		return nil, err
	}
	switch soft := soft.(type) {
	case *image.Gray:
		err = unsharp(ctx, soft.Pix, m.(*image.Gray).Pix)
	case *image.YCbCr:
		m := m.(*image.YCbCr)
		err = errors.Join(unsharp(ctx, soft.Y, m.Y), unsharp(ctx, soft.Cb, m.Cb), unsharp(ctx, soft.Cr, m.Cr))
	case *image.NRGBA:
		sharp := toNRGBA(m)
		if err = unsharp(ctx, soft.Pix, sharp.Pix); err == nil {
			for i := 3; i < len(sharp.Pix); i += 4 {
				soft.Pix[i] = sharp.Pix[i]
			}
		}
	}
	return soft, err
}

// unsharp turns blurred samples into sharpened ones.
func unsharp(ctx context.Context, blurred, samples []byte) error {
	for len(blurred) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := min(len(blurred), 4*bandPixels)
		for i, v := range samples[:n] {
			blurred[i] = clamp(2*int32(v) - int32(blurred[i]))
		}
		blurred, samples = blurred[n:], samples[n:]
	}
	return nil
}

// inBands gives an effect the picture band by band: the library behind it takes no context. It is only ever handed NRGBA, because its reading
// of palettes can panic on goroutines of its own.
func inBands(ctx context.Context, m *image.NRGBA, effect func(*image.NRGBA) *image.NRGBA) (*image.NRGBA, error) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	step := max(1, bandPixels/max(1, w))
	for y := 0; y < h; y += step {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		done := effect(m.SubImage(image.Rect(0, y, w, min(h, y+step))).(*image.NRGBA))
		copy(out.Pix[y*out.Stride:], done.Pix)
	}
	return out, nil
}
