package recode_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/internal/raster/recode"
)

// picture has smooth areas, noise and hard edges, so that every kind of block occurs: empty, full, and with long runs.
func picture(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	seed := uint32(7)
	for i := range w * h {
		x, y := i%w, i/w
		seed = seed*1664525 + 1013904223
		c := color.NRGBA{uint8(128 + 100*math.Sin(float64(x)/9)), uint8(y), uint8(x + y), 255}
		switch {
		case x > w/2 && y > h/2:
			c = color.NRGBA{byte(seed >> 24), byte(seed >> 16), byte(seed >> 8), 255}
		case x > w/2:
			c = color.NRGBA{40, 90, 200, 255}
		}
		m.SetNRGBA(x, y, c)
	}
	return m
}

func encode(t testing.TB, m image.Image, o jpegn.EncodeOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpegn.Encode(&b, m, &o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// planes are all samples of a decoded JPEG that the picture reaches into. What lies beyond its edges may differ.
func planes(t testing.TB, data []byte) []byte {
	t.Helper()
	m, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	switch m := m.(type) {
	case *image.Gray:
		for y := range m.Rect.Dy() {
			out = append(out, m.Pix[y*m.Stride:][:m.Rect.Dx()]...)
		}
	case *image.YCbCr:
		out = append(out, m.SubsampleRatio.String()...)
		for i := range m.Rect.Dx() * m.Rect.Dy() {
			x, y := i%m.Rect.Dx(), i/m.Rect.Dx()
			out = append(out, m.Y[m.YOffset(x, y)], m.Cb[m.COffset(x, y)], m.Cr[m.COffset(x, y)])
		}
	default:
		t.Fatalf("a %T", m)
	}
	return out
}

// TestNothingIsLost decodes what came in and what went out and compares every sample.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	samplings := map[string]jpegn.Subsampling{
		"4:4:4": jpegn.Subsample444, "4:2:2": jpegn.Subsample422, "4:4:0": jpegn.Subsample440, "4:2:0": jpegn.Subsample420, "grey": jpegn.SubsampleGray,
	}
	for name, s := range samplings {
		for _, size := range []image.Point{{1, 1}, {8, 8}, {17, 33}, {250, 131}, {640, 48}} {
			for _, quality := range []int{1, 30, 80, 100} {
				for _, restart := range []int{0, 5} {
					data := encode(t, picture(size.X, size.Y), jpegn.EncodeOptions{Quality: quality, Subsampling: s, RestartInterval: restart, Segments: []jpegn.Segment{{Marker: 0xE5, Data: []byte("kept")}}})
					want := planes(t, data)
					for _, order := range []recode.Order{recode.Sequential, recode.Progressive} {
						what := fmt.Sprintf("%s, %v, quality %d, restart %d, order %d", name, size, quality, restart, order)
						var out bytes.Buffer
						if err := recode.JPEG(t.Context(), &out, data, order); err != nil {
							t.Errorf("%s: %v", what, err)
							continue
						}
						if !bytes.Equal(planes(t, out.Bytes()), want) {
							t.Errorf("%s: other pixels", what)
						}
						if bytes.Contains(out.Bytes(), []byte{0xFF, 0xC2, 0, byte(8 + 3*components(s))}) != (order == recode.Progressive) || !bytes.Contains(out.Bytes(), []byte("kept")) {
							t.Errorf("%s: the headers are wrong", what)
						}
						if size.X > 200 && quality > 1 && out.Len() > len(data) {
							t.Errorf("%s: %d bytes became %d", what, len(data), out.Len())
						}
						if other, err := jpegn.Decode(bytes.NewReader(out.Bytes())); err != nil || other.Bounds().Size() != size {
							t.Errorf("%s: another decoder: %v", what, err)
						}
					}
				}
			}
		}
	}
}

func components(s jpegn.Subsampling) int {
	if s == jpegn.SubsampleGray {
		return 1
	}
	return 3
}

// TestLongRuns has more blocks alike in a row than one symbol can count.
func TestLongRuns(t *testing.T) {
	t.Parallel()
	m := image.NewGray(image.Rect(0, 0, 2048, 2048))
	for i := range m.Pix {
		m.Pix[i] = 77
	}
	m.Pix[len(m.Pix)-5] = 200
	data := encode(t, m, jpegn.EncodeOptions{Quality: 90, Subsampling: jpegn.SubsampleGray})
	var out bytes.Buffer
	if err := recode.JPEG(t.Context(), &out, data, recode.Progressive); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(planes(t, out.Bytes()), planes(t, data)) {
		t.Error("other pixels")
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	data := encode(t, picture(64, 48), jpegn.EncodeOptions{Quality: 80})
	var progressive bytes.Buffer
	if err := recode.JPEG(t.Context(), &progressive, data, recode.Progressive); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "no JPEG": []byte("hello, world"), "cut in a header": data[:40], "cut in its data": data[:len(data)-200], "no end": data[:len(data)-2], "progressive": progressive.Bytes(),
	} {
		if err := recode.JPEG(t.Context(), new(bytes.Buffer), bad, recode.Progressive); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	errFull := errors.New("full")
	if err := recode.JPEG(t.Context(), failing{errFull}, data, recode.Progressive); !errors.Is(err, errFull) {
		t.Errorf("%v, want the writer's error", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestStop ends the context while it works.
func TestStop(t *testing.T) {
	t.Parallel()
	data := encode(t, picture(400, 300), jpegn.EncodeOptions{Quality: 95})
	errStop := errors.New("stop")
	for after := range 200 {
		ctx := &counting{Context: t.Context(), left: after, err: errStop}
		err := recode.JPEG(ctx, new(bytes.Buffer), data, recode.Progressive)
		if ctx.left >= 0 {
			if err != nil || after < 100 {
				t.Errorf("ended after %d looks at the context: %v", after, err)
			}
			return
		}
		if !errors.Is(err, errStop) {
			t.Fatalf("stopped at look %d: %v", after, err)
		}
	}
}

// counting is a context that ends after so many looks at it.
type counting struct {
	context.Context
	left int
	err  error
}

func (c *counting) Err() error {
	if c.left--; c.left < 0 {
		return c.err
	}
	return nil
}

func FuzzJPEG(f *testing.F) {
	for _, s := range []jpegn.Subsampling{jpegn.Subsample420, jpegn.SubsampleGray} {
		f.Add(encode(f, picture(20, 17), jpegn.EncodeOptions{Quality: 60, Subsampling: s, RestartInterval: 1}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := jpeg.DecodeConfig(bytes.NewReader(data)); err == nil && c.Width*c.Height > 1<<20 {
			return // large, and that is all
		}
		for _, order := range []recode.Order{recode.Sequential, recode.Progressive} {
			var out bytes.Buffer
			if recode.JPEG(t.Context(), &out, data, order) == nil {
				_, _ = jpeg.Decode(&out)
			}
		}
	})
}
