package raster_test

import (
	"bytes"
	"fmt"
	"image"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/tasks"
)

func TestSubsampling(t *testing.T) {
	t.Parallel()
	photo := encodeJPEG(t, scene(320, 200), jpegn.EncodeOptions{Subsampling: jpegn.Subsample444})
	for _, tt := range []struct {
		asked   string
		quality int
		want    byte
		ratio   image.YCbCrSubsampleRatio
	}{
		{"auto", 0, 0x22, image.YCbCrSubsampleRatio420}, {"auto", 89, 0x22, image.YCbCrSubsampleRatio420}, {"auto", 90, 0x11, image.YCbCrSubsampleRatio444},
		{"4:4:4", 50, 0x11, image.YCbCrSubsampleRatio444}, {"4:2:2", 80, 0x21, image.YCbCrSubsampleRatio422}, {"4:2:0", 95, 0x22, image.YCbCrSubsampleRatio420},
	} {
		for _, progressive := range []bool{false, true} {
			for name, data := range map[string][]byte{"jpeg": photo, "png": encodePNG(t, scene(320, 200))} {
				m, out := mustResize(t, data, params(func(p *tasks.ResizeParams) {
					p.Width, p.Format, p.Subsampling, p.Quality, p.Progressive = 101, tasks.JPEG, tt.asked, tt.quality, progressive
				}))
				what := fmt.Sprintf("%s, %s at %d, progressive %v", name, tt.asked, tt.quality, progressive)
				if c, ok := m.(*image.YCbCr); !ok || c.SubsampleRatio != tt.ratio || sampling(t, out.data) != tt.want {
					t.Errorf("%s: a %T with sampling %x", what, m, sampling(t, out.data))
				}
				if bytes.Contains(out.data, []byte{0xFF, 0xC2, 0, 17}) != progressive {
					t.Errorf("%s: the frame header is the wrong one", what)
				}
			}
		}
	}
}

// TestProgressiveIsTheSamePicture, with the metadata that is asked for.
func TestProgressiveIsTheSamePicture(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]image.Image{"colour": scene(210, 130), "grey": image.NewGray(image.Rect(0, 0, 50, 40))} {
		data := encodeJPEG(t, m, jpegn.EncodeOptions{Exif: exif(6)})
		ask := func(progressive bool) (image.Image, output) {
			return mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Progressive, p.Strip = progressive, false }))
		}
		plain, _ := ask(false)
		coarse, out := ask(true)
		if greatest, _ := difference(t, plain, coarse); greatest != 0 {
			t.Errorf("%s: differs by %v", name, greatest)
		}
		if !bytes.Contains(out.data, []byte("SECRET-1234")) || bytes.Count(out.data, []byte{0xFF, 0xDA}) < 6 {
			t.Errorf("%s: %d scans, and EXIF kept: %v", name, bytes.Count(out.data, []byte{0xFF, 0xDA}), bytes.Contains(out.data, []byte("SECRET-1234")))
		}
	}
	_, out := mustResize(t, encodePNG(t, scene(210, 130)), params(func(p *tasks.ResizeParams) { p.Format, p.Progressive, p.MaxBytes = tasks.JPEG, true, 4000 }))
	if len(out.data) > 4000 || !bytes.Contains(out.data, []byte{0xFF, 0xC2}) {
		t.Errorf("%d bytes where 4000 are allowed", len(out.data))
	}
}

// TestFullChromaKeepsColours: stripes of two colours of one brightness are told apart only where the colours keep their resolution.
func TestFullChromaKeepsColours(t *testing.T) {
	t.Parallel()
	m := quadrants(64, 64)
	for i := range 64 * 64 {
		if i%2 == 0 {
			m.SetNRGBA(i%64, i/64, red)
		} else {
			m.SetNRGBA(i%64, i/64, blue)
		}
	}
	at := func(subsampling string) float64 {
		out, _ := mustResize(t, encodePNG(t, m), params(func(p *tasks.ResizeParams) { p.Format, p.Subsampling, p.Quality = tasks.JPEG, subsampling, 89 }))
		_, mean := difference(t, out, m)
		return mean
	}
	if full, half := at("4:4:4"), at("4:2:0"); full > 5 || half < 20 {
		t.Errorf("mean differences of %.1f with all colours and %.1f with a quarter of them", full, half)
	}
}
