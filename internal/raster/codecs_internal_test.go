package raster

import (
	"bytes"
	"context"
	"errors"
	"image"
	"io"
	"math"
	"testing"
)

// countdown is a context that ends after a number of looks at it.
type countdown struct {
	context.Context
	left int
}

var errStop = errors.New("stopped by the test")

// Err implements context.Context.
func (c *countdown) Err() error {
	if c.left == 0 {
		return errStop
	}
	c.left--
	return nil
}

// TestCodecs runs the modules alone: they are the ones that this package knows, they look at the context often enough, and they stop.
func TestCodecs(t *testing.T) {
	t.Parallel()
	m := image.NewNRGBA(image.Rect(0, 0, 400, 300))
	for i := range m.Pix {
		m.Pix[i] = byte(i*i>>9) | byte(i&3/3*255)
	}
	c := newCodecs()
	var picture bytes.Buffer
	if err := c.encodeAVIF(t.Context(), &picture, m, 50); err != nil {
		t.Fatal(err)
	}
	h, err := readHeader(bytes.NewReader(picture.Bytes()), int64(picture.Len()), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func(ctx context.Context) error{
		"webp":          func(ctx context.Context) error { return c.encodeWebP(ctx, io.Discard, m, 80, false) },
		"lossless webp": func(ctx context.Context) error { return c.encodeWebP(ctx, io.Discard, m, 80, true) },
		"avif":          func(ctx context.Context) error { return c.encodeAVIF(ctx, io.Discard, m, 50) },
		"from avif": func(ctx context.Context) error {
			_, err := c.decodeAVIF(ctx, bytes.NewReader(picture.Bytes()), h, h.length)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := &countdown{context.Background(), math.MaxInt}
			if err := run(whole); err != nil {
				t.Fatal(err)
			}
			looks := math.MaxInt - whole.left
			if looks < 300 {
				t.Errorf("%d looks at the context", looks)
			}
			for _, part := range []int{2, 10, 50, 90} {
				if err := run(&countdown{context.Background(), looks * part / 100}); !errors.Is(err, errStop) {
					t.Errorf("stopped at %d%%: %v", part, err)
				}
			}
		})
	}
}

// TestCodecMemory gives a codec too little of it: an error, and no more.
func TestCodecMemory(t *testing.T) {
	t.Parallel()
	c := newCodecs()
	big := make([]byte, 16<<20)
	err := c.webp.run(t.Context(), 8<<20, func(i *instance) error {
		_, err := i.put(big)
		return err
	})
	if !errors.Is(err, errNoRoom) {
		t.Errorf("16 MiB in 8: %v", err)
	}
}
