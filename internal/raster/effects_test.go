package raster

import (
	"context"
	"errors"
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/millrace/millrace/tasks"
)

func noise(w, h int, opaque bool) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range m.Pix {
		if m.Pix[i] = byte(rng.Uint32()); opaque && i%4 == 3 {
			m.Pix[i] = 255
		}
	}
	return m
}

// planesOf is an opaque picture in planes.
func planesOf(m *image.NRGBA) *image.YCbCr {
	out := image.NewYCbCr(m.Rect, image.YCbCrSubsampleRatio444)
	for i := range out.Y {
		out.Y[i], out.Cb[i], out.Cr[i] = m.Pix[4*i], 120, 140
	}
	return out
}

// TestGaussian holds the blur to another one, up to the edges, on what has most to be blurred.
func TestGaussian(t *testing.T) {
	t.Parallel()
	m := noise(97, 61, true)
	for _, sigma := range []float64{0.3, 1, 2.5, narrowSigma, narrowSigma + 0.01, 9, 30} {
		got, err := blur(t.Context(), m, sigma)
		if err != nil {
			t.Fatal(err)
		}
		want, most := imaging.Blur(m, sigma), 0.0
		inside := int(3*sigma) + 1
		for i, v := range got.(*image.NRGBA).Pix {
			x, y := i/4%97, i/4/97
			if x < inside || y < inside || 97-x <= inside || 61-y <= inside {
				continue // at the edges that one knows fewer samples, this one repeats the last
			}
			most = max(most, math.Abs(float64(v)-float64(want.Pix[i])))
		}
		if most > 2 {
			t.Errorf("sigma %v: differs by %v", sigma, most)
		}
	}
}

// TestBlurOfEveryKind: grey and planes give what four channels do, transparency stays clean, and what is flat stays flat.
func TestBlurOfEveryKind(t *testing.T) {
	t.Parallel()
	src := noise(80, 50, true)
	for i := range 80 * 50 {
		src.Pix[4*i+1], src.Pix[4*i+2] = src.Pix[4*i], src.Pix[4*i]
	}
	grey := oneChannel(src)
	for _, sigma := range []float64{1, 20} {
		for name, effect := range map[string]func(context.Context, image.Image, float64) (image.Image, error){"blur": blur, "sharpen": sharpen} {
			quads, err1 := effect(t.Context(), src, sigma)
			one, err2 := effect(t.Context(), grey, sigma)
			planes, err3 := effect(t.Context(), planesOf(src), sigma)
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatal(err)
			}
			for i, v := range one.(*image.Gray).Pix {
				if off := int(v) - int(quads.(*image.NRGBA).Pix[4*i]); max(off, -off) > 2 {
					t.Fatalf("%s %v: grey is off by %d", name, sigma, off)
				}
				if off := int(v) - int(planes.(*image.YCbCr).Y[i]); off != 0 {
					t.Fatalf("%s %v: a plane is off by %d", name, sigma, off)
				}
			}
			if p := planes.(*image.YCbCr); p.Cb[77] != 120 || p.Cr[99] != 140 {
				t.Errorf("%s %v: flat planes became %d and %d", name, sigma, p.Cb[77], p.Cr[99])
			}
		}
	}
	m := noise(40, 40, true)
	for i := range 1600 {
		c := [4]byte{0, 0, 255, 0}
		if i%40 > 20 {
			c = [4]byte{200, 0, 0, 255}
		}
		copy(m.Pix[4*i:], c[:])
	}
	out, err := blur(t.Context(), m, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1600 {
		if p := out.(*image.NRGBA).Pix[4*i:]; p[3] > 8 && (p[2] > 2 || p[0] < 196) {
			t.Fatalf("%v at an edge", p[:4])
		}
	}
}

// TestLongEffectsStop ends the context at every look that effects, rotation and encoders take at it, and wants so many looks that even the
// largest output is left within a moment: one for each million pixels of any work.
func TestLongEffectsStop(t *testing.T) {
	t.Parallel()
	errStop := errors.New("stopped by the test")
	m := image.NewNRGBA(image.Rect(0, 0, 2000, 1500))
	for name, work := range map[string]func(ctx context.Context) error{
		"blur":      func(ctx context.Context) error { _, err := blur(ctx, m, 1); return err },
		"wide blur": func(ctx context.Context) error { _, err := blur(ctx, m, 250); return err },
		"sharpen":   func(ctx context.Context) error { _, err := sharpen(ctx, m, 1); return err },
		"greyscale": func(ctx context.Context) error { _, err := greyscale(ctx, m); return err },
		"rotate": func(ctx context.Context) error {
			p := tasks.ResizeParams{Rotate: 33}
			g, err := plan(2000, 1500, turn{}, p)
			if err != nil {
				return err
			}
			_, err = rotate(ctx, m, g, (&output{params: p}).background())
			return err
		},
		"jpeg": func(ctx context.Context) error {
			o := &output{format: tasks.JPEG, params: tasks.Resize().Defaults}
			o.params.Progressive = true
			return o.encodeAt(ctx, stopping{ctx, new(countingWriter)}, m, 80)
		},
	} {
		all := &looks{Context: t.Context(), left: 1 << 30, err: errStop}
		if err := work(all); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		count := 1<<30 - all.left
		if count < 3 {
			t.Errorf("%s looks at its context %d times in 3 megapixels", name, count)
		}
		for _, left := range []int{0, count / 2, count - 1} {
			if err := work(&looks{Context: t.Context(), left: left, err: errStop}); !errors.Is(err, errStop) {
				t.Errorf("%s, stopped at look %d of %d: %v", name, left, count, err)
			}
		}
	}
}

// looks is a context that ends after so many looks at it.
type looks struct {
	context.Context
	left int
	err  error
}

func (l *looks) Err() error {
	if l.left--; l.left < 0 {
		return l.err
	}
	return nil
}
