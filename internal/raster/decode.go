package raster

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"github.com/gen2brain/jpegn"
	"golang.org/x/image/webp"
)

// decode decodes the picture that h describes, or its first frame or page. A panic in a decoder is the picture's fault, not the process's.
func (c *codecs) decode(src *source, h header, fast bool, denom int) (d decoded, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decoder panicked: %v", r)
		}
		if err != nil {
			d, err = decoded{}, classified(h.format, err)
		}
	}()
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return decoded{}, err
	}
	d = decoded{denom: denom}
	r := bufio.NewReaderSize(src, 64<<10)
	switch h.format {
	case JPEG:
		d.image, err = decodeJPEG(r, h, fast, denom)
	case PNG:
		d.image, err = png.Decode(r)
	case GIF:
		return decodeGIF(r, h)
	case WebP:
		if h.frames > 0 {
			return firstOf(src, h)
		}
		d.image, err = webp.Decode(r)
		_, d.narrow = d.image.(*image.YCbCr)
	case AVIF:
		d.image, err = c.decodeAVIF(src.ctx, r, h, src.length)
	case TIFF:
		d.image, err = decodeTIFF(src, h.pages[0])
	}
	if err != nil {
		return decoded{}, err
	}
	if bounds, want := d.image.Bounds(), image.Rect(0, 0, ceilDiv(h.width, denom), ceilDiv(h.height, denom)); bounds != want {
		return decoded{}, fmt.Errorf("decoded to %v, its header says %v", bounds, want)
	}
	return d, nil
}

// decodePage decodes a page of a TIFF.
func (c *codecs) decodePage(src *source, p tiffPage) (decoded, error) {
	h := p.header
	h.pages = []tiffPage{p}
	return c.decode(src, h, false, 1)
}

// firstOf is the first frame of a film.
func firstOf(src *source, h header) (decoded, error) {
	r, err := newReel(src, h)
	if err != nil {
		return decoded{}, err
	}
	m, _, err := r.next()
	return decoded{image: m, denom: 1}, cut(err)
}

// decodeGIF decodes the first frame and leaves it in its palette, at its place on the canvas.
func decodeGIF(r io.Reader, h header) (decoded, error) {
	m, err := gif.Decode(r)
	if err != nil {
		return decoded{}, err
	}
	if !m.Bounds().In(image.Rect(0, 0, h.width, h.height)) {
		return decoded{}, errors.New("its frame lies beside the canvas")
	}
	return decoded{image: m, denom: 1, offset: m.Bounds().Min}, nil
}

func decodeJPEG(src io.Reader, h header, fast bool, denom int) (image.Image, error) {
	if fast {
		return jpegn.Decode(&known{src, int(h.jpeg.size)}, &jpegn.Options{ScaleDenom: denom})
	}
	return jpeg.Decode(io.LimitReader(src, h.jpeg.size))
}

// known is the first n bytes of a reader, and says so: the decoder then takes exactly that much memory.
type known struct {
	r io.Reader
	n int
}

// Len is how many bytes are left.
func (k *known) Len() int { return k.n }

// Read implements io.Reader.
func (k *known) Read(p []byte) (int, error) {
	if k.n <= 0 {
		return 0, io.EOF
	}
	n, err := k.r.Read(p[:min(len(p), k.n)])
	k.n -= n
	return n, err
}

// What a pixel takes the scaling decoder, which cannot be stopped on its way, at most; and how long that may last in all. Larger pictures go
// to the standard decoder, which is slower but reads as it goes, so that a cancelled job ends at once.
const (
	baselineNanos    = 10
	progressiveNanos = 30
	unstoppableNanos = 800e6
)

// fastJPEG says whether the scaling decoder is the right one. It lacks extended sequential frames and scans of single components, and is
// wrong about subsampled CMYK.
func fastJPEG(h header) bool {
	f := h.jpeg
	cost := h.pixels() * baselineNanos
	if f.progressive() {
		cost = h.pixels() * progressiveNanos
	}
	return f.components != 4 && f.sof != 0xC1 && (f.progressive() || f.scans == 1) &&
		h.pixels() <= f.size*1024 && cost <= unstoppableNanos
}

// scaleDenom is how far the decoder may shrink: never below the size that is wanted, chroma included.
func (o *output) scaleDenom() int {
	g, f := o.geometry, o.header.jpeg
	if g.filter.exact() {
		return 1
	}
	subX, subY := 1, 1
	if f.components == 3 && !o.params.Grayscale {
		for _, s := range f.sampling[:3] {
			subX, subY = max(subX, int(s>>4)), max(subY, int(s&15))
		}
		if o.jpeg() && o.params.Quality < fullChroma {
			subX, subY = ceilDiv(subX, 2), ceilDiv(subY, 2)
		}
	}
	denom := 8
	for denom > 1 && (g.source.w < denom*g.scaledW*subX || g.source.h < denom*g.scaledH*subY) {
		denom /= 2
	}
	// Halving by the decoder costs the most sharpness (SSIM 0.988 against a full decode) and saves the least time.
	if denom == 2 && (g.source.w < 3*g.scaledW || g.source.h < 3*g.scaledH) {
		return 1
	}
	return denom
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
