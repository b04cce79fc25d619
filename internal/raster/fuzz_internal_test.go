package raster

import (
	"bytes"
	"context"
	"errors"
	"image"
	"io"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// wantKnown wants an error that says whose fault it is, or none.
func wantKnown(t *testing.T, f Format, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if e, ok := errors.AsType[*millrace.Error](classified(f, err)); !ok || !e.Code.Permanent() {
		t.Errorf("%v, want a classified error", err)
	}
}

func fuzzLimits() Limits {
	limits := DefaultLimits()
	limits.Pixels, limits.MetadataBytes = 1<<18, 1<<14
	return limits
}

// FuzzBoxes reads arbitrary bytes as the properties of an AVIF.
func FuzzBoxes(f *testing.F) {
	meta := "\x00\x00\x00\x00\x00\x00\x00\x0epitm\x00\x00\x00\x00\x00\x01" + "\x00\x00\x00\x23iinf\x00\x00\x00\x00\x00\x01\x00\x00\x00\x15infe\x02\x00\x00\x00\x00\x01\x00\x00av01\x00" +
		"\x00\x00\x00\x40iprp\x00\x00\x00\x25ipco\x00\x00\x00\x14ispe\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x10\x00\x00\x00\x09irot\x01" +
		"\x00\x00\x00\x13ipma\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x02\x01\x82"
	f.Add(append([]byte("\x00\x00\x00\x10ftypavif\x00\x00\x00\x00\x00\x00\x00\xa0meta"), meta...))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := readAVIFHeader(bytes.NewReader(data), fuzzLimits())
		wantKnown(t, AVIF, err)
		if err == nil && (h.width < 1 || h.height < 1) {
			t.Errorf("passed %+v", h)
		}
	})
}

// FuzzTIFF walks the directories of arbitrary bytes and decodes what they describe.
func FuzzTIFF(f *testing.F) {
	m := image.NewNRGBA(image.Rect(0, 0, 5, 4))
	var b bytes.Buffer
	if err := encodeTIFF(f.Context(), &b, m, []tiffEntry{{0x8298, typeASCII, 6, []byte("mine!\x00")}}, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("MM\x00*\x00\x00\x00\x08\x00\x01\x01\x00\x00\x03\x00\x00\x00\x01\x00\x05\x00\x00\x00\x00\x00\x08"))
	limits := fuzzLimits()
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := readHeader(bytes.NewReader(data), int64(len(data)), limits)
		if err != nil || h.format != TIFF {
			return
		}
		if len(h.pages) != h.frames || h.frames > maxPages {
			t.Errorf("%d pages, %d frames", len(h.pages), h.frames)
		}
		for _, p := range h.pages {
			if p.pixels() < 1 || p.pixels() > limits.Pixels {
				t.Errorf("passed %+v", p)
			}
		}
		src := &source{ctx: t.Context(), in: memoryFile{bytes.NewReader(data)}, length: int64(len(data))}
		_, err = (&codecs{}).decodePage(src, h.pages[len(h.pages)-1])
		wantKnown(t, TIFF, err)
	})
}

type memoryFile struct{ *bytes.Reader }

// Close implements io.Closer.
func (memoryFile) Close() error { return nil }

// FuzzReel composes arbitrary bytes as a film, and writes it again where it is one: the same film is read back.
func FuzzReel(f *testing.F) {
	var b bytes.Buffer
	w := newGIFWriter(&b, 3)
	for i := range 3 {
		m := image.NewNRGBA(image.Rect(0, 0, 6, 5))
		for n := range m.Pix {
			m.Pix[n] = byte(255 * ((n/4 + i) % (2 + i)))
		}
		if err := w.add(f.Context(), m, 70*time.Millisecond); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	limits := fuzzLimits()
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := readHeader(bytes.NewReader(data), int64(len(data)), limits)
		if err != nil || h.frames < 1 || h.format != GIF && h.format != WebP || h.pixels()*int64(h.frames) > 1<<22 {
			return
		}
		src := &source{ctx: t.Context(), in: memoryFile{bytes.NewReader(data)}, length: int64(len(data))}
		r, err := newReel(src, h)
		if err != nil {
			wantKnown(t, h.format, err)
			return
		}
		var out bytes.Buffer
		again := newGIFWriter(&out, h.plays)
		for range h.frames {
			m, delay, err := nextOf(r, h.format)
			if err != nil {
				wantKnown(t, h.format, err)
				return
			}
			if err := again.add(t.Context(), clone(m, m.Rect), delay); err != nil {
				t.Fatal(err)
			}
		}
		if err := again.close(); err != nil {
			t.Fatal(err)
		}
		back, err := readHeader(bytes.NewReader(out.Bytes()), int64(out.Len()), limits)
		if err != nil || back.frames != h.frames || back.width != h.width || back.height != h.height || back.plays != h.plays {
			t.Errorf("%+v was written as %+v: %v", h, back, err)
		}
	})
}

// FuzzWebPFilm puts arbitrary bytes where the encoder's stills go: whatever the muxer writes, its own reader walks to the end.
func FuzzWebPFilm(f *testing.F) {
	f.Add([]byte("RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"), uint8(3))
	f.Fuzz(func(t *testing.T, still []byte, n uint8) {
		var out bytes.Buffer
		w := &webpWriter{w: &out, plays: 2, still: func(_ context.Context, w io.Writer, _ *image.NRGBA) error {
			_, err := w.Write(still)
			return err
		}}
		frames := 1 + int(n%5)
		for i := range frames {
			m := image.NewNRGBA(image.Rect(0, 0, 4, 4))
			m.Pix[4*(i%16)+3] = 255
			if err := w.add(t.Context(), m, time.Second); err != nil {
				return // no WebP
			}
		}
		if err := w.close(); err != nil {
			t.Fatal(err)
		}
		h, err := readHeader(bytes.NewReader(out.Bytes()), int64(out.Len()), fuzzLimits())
		if err != nil || h.frames != frames || h.width != 4 || h.plays != 2 {
			t.Errorf("%d frames were written as %+v: %v", frames, h, err)
		}
	})
}
