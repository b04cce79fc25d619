package raster

import (
	"bytes"
	"image"
	"math/rand/v2"
	"testing"

	"github.com/disintegration/imaging"
)

// TestBandsLeaveNoSeam: an effect in bands must give the very bytes of the effect on the whole.
func TestBandsLeaveNoSeam(t *testing.T) {
	t.Parallel()
	m := image.NewNRGBA(image.Rect(0, 0, 4096, 3*bandPixels/4096+5))
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range m.Pix {
		m.Pix[i] = byte(rng.Uint32())
	}
	got, err := blur(t.Context(), m, 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := imaging.Blur(m, 1); !bytes.Equal(got.Pix, want.Pix) {
		t.Error("the bands show")
	}
}
