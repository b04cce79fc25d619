package raster_test

import (
	"bytes"
	"image/jpeg"
	"io"
	"testing"

	"github.com/disintegration/imaging"
	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
)

// BenchmarkResize12MP makes a JPEG 800 pixels wide out of one of 12 megapixels: by this engine, and as tutorials do it.
func BenchmarkResize12MP(b *testing.B) {
	data := encodeJPEG(b, scene(4032, 3024), jpegn.EncodeOptions{Subsampling: jpegn.Subsample420})
	b.Run("raster", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		p := params(func(p *tasks.ResizeParams) { p.Width = 800 })
		for b.Loop() {
			if _, err := resize(b.Context(), raster.New(), data, p); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("vips", func(b *testing.B) {
		other := withVips(b)
		b.SetBytes(int64(len(data)))
		p := params(func(p *tasks.ResizeParams) { p.Width = 800 })
		for b.Loop() {
			if out, err := resize(b.Context(), other, data, p); err != nil || !native(out) {
				b.Fatal(out.Engine, err)
			}
		}
	})
	b.Run("imaging", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			m, err := jpeg.Decode(bytes.NewReader(data))
			if err != nil {
				b.Fatal(err)
			}
			small := imaging.Resize(m, 800, 0, imaging.Lanczos)
			if err := jpeg.Encode(io.Discard, small, &jpeg.Options{Quality: 80}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkResizePNG shrinks pixels that have no planes.
func BenchmarkResizePNG(b *testing.B) {
	data := encodePNG(b, scene(1600, 1200))
	b.SetBytes(int64(len(data)))
	p := params(func(p *tasks.ResizeParams) { p.Width = 400 })
	for b.Loop() {
		if _, err := resize(b.Context(), raster.New(), data, p); err != nil {
			b.Fatal(err)
		}
	}
}
