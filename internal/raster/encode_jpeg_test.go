package raster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/tasks"
)

// largePicture is a picture of more than one strip, in planes, in grey or in four channels.
func largePicture(kind string) image.Image {
	rect := image.Rect(0, 0, 2503, 1709)
	switch kind {
	case "grey":
		m := image.NewGray(rect)
		for i := range m.Pix {
			m.Pix[i] = byte(i%2503/7 + i/2503)
		}
		return m
	case "planes":
		m := image.NewYCbCr(rect, image.YCbCrSubsampleRatio420)
		for i := range m.Y {
			m.Y[i] = byte(i%m.YStride/9 + i/m.YStride)
		}
		for i := range m.Cb {
			m.Cb[i], m.Cr[i] = byte(i%m.CStride/5), byte(i/m.CStride/4)
		}
		return m
	}
	m := image.NewNRGBA(rect)
	for i := range 2503 * 1709 {
		m.SetNRGBA(i%2503, i/2503, color.NRGBA{byte(i % 2503 / 9), byte(i / 2503 / 7), byte(i % 2503 * i / 2503 / 40), 255})
	}
	return m
}

// TestLargeJPEG: what is encoded in strips decodes to the very pixels that come of encoding it at once.
func TestLargeJPEG(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind string
		s    jpegn.Subsampling
	}{
		{"planes", jpegn.Subsample420}, {"channels", jpegn.Subsample420}, {"channels", jpegn.Subsample422}, {"channels", jpegn.Subsample444}, {"grey", jpegn.SubsampleGray},
	} {
		t.Run(fmt.Sprint(tt.kind, tt.s), func(t *testing.T) {
			t.Parallel()
			m := largePicture(tt.kind)
			options := jpegn.EncodeOptions{Quality: 85, Subsampling: tt.s}
			var whole, strips bytes.Buffer
			if err := jpegn.Encode(&whole, m, &options); err != nil {
				t.Fatal(err)
			}
			w := &countingWriter{w: &strips}
			if err := encodeStrips(w, m, options); err != nil {
				t.Fatal(err)
			}
			if w.n < 3 {
				t.Errorf("written in %d pieces", w.n)
			}
			sameJPEG(t, strips.Bytes(), whole.Bytes())
			errFull := errors.New("full")
			if err := encodeStrips(&countingWriter{w: new(bytes.Buffer), fail: 2, err: errFull}, m, options); !errors.Is(err, errFull) {
				t.Errorf("%v, want the writer's error", err)
			}
			o := &output{format: tasks.JPEG, params: tasks.Resize().Defaults}
			o.params.Subsampling = map[jpegn.Subsampling]string{jpegn.Subsample420: "4:2:0", jpegn.Subsample422: "4:2:2", jpegn.Subsample444: "4:4:4"}[tt.s]
			for _, progressive := range []bool{false, true} {
				o.params.Progressive = progressive
				var out bytes.Buffer
				if err := o.encodeAt(t.Context(), &out, m, 85); err != nil {
					t.Fatal(err)
				}
				sameJPEG(t, out.Bytes(), whole.Bytes())
				if out.Len() >= whole.Len() {
					t.Errorf("progressive %v: %d bytes, with the standard tables %d", progressive, out.Len(), whole.Len())
				}
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(errFull)
			if err := o.encodeAt(ctx, new(bytes.Buffer), m, 85); !errors.Is(err, errFull) {
				t.Errorf("after the context's end: %v", err)
			}
		})
	}
}

type countingWriter struct {
	w       *bytes.Buffer // nil: nowhere
	n, fail int
	err     error
}

func (c *countingWriter) Write(p []byte) (int, error) {
	if c.n++; c.n == c.fail {
		return 0, c.err
	}
	if c.w == nil {
		return len(p), nil
	}
	return c.w.Write(p)
}

func sameJPEG(t *testing.T, got, want []byte) {
	t.Helper()
	a, err := jpeg.Decode(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	b, err := jpeg.Decode(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	switch b := b.(type) {
	case *image.Gray:
		a, ok := a.(*image.Gray)
		if !ok || a.Rect != b.Rect {
			t.Fatalf("another picture: %T", a)
		}
		for y := range b.Rect.Dy() {
			if !bytes.Equal(a.Pix[y*a.Stride:][:b.Rect.Dx()], b.Pix[y*b.Stride:][:b.Rect.Dx()]) {
				t.Fatalf("row %d differs", y)
			}
		}
	case *image.YCbCr:
		a, ok := a.(*image.YCbCr)
		if !ok || a.Rect != b.Rect || a.SubsampleRatio != b.SubsampleRatio {
			t.Fatalf("another picture: %T", a)
		}
		for i := range b.Rect.Dx() * b.Rect.Dy() {
			x, y := i%b.Rect.Dx(), i/b.Rect.Dx()
			if c := b.COffset(x, y); a.Y[a.YOffset(x, y)] != b.Y[b.YOffset(x, y)] || a.Cb[a.COffset(x, y)] != b.Cb[c] || a.Cr[a.COffset(x, y)] != b.Cr[c] {
				t.Fatalf("(%d, %d) differs", x, y)
			}
		}
	}
}
