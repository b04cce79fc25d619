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

	"github.com/millrace/millrace/tasks"
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
	src = io.LimitReader(src, h.jpeg.size)
	if h.jpeg.components == 4 && !h.jpeg.adobe {
		return decodePlainInk(src)
	}
	return jpeg.Decode(src)
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

// rest is how much a picture must still be shrunk after its decoder has shrunk it by a denominator, in quarters: the less is left to a proper
// kernel, the more sharpness the decoder's own one costs.
type rest func(denom int) int

// ownRest is what the decoder of this engine needs to stay within 0.003 of a full decode in SSIM. Halving never does: its transform is a coarse
// one, and takes as long as that of the whole.
func ownRest(denom int) int {
	switch denom {
	case 8:
		return 8
	case 4:
		return 5
	}
	return 1 << 20
}

// scaleDenom is how far the decoder may shrink: never below the size that is wanted, chroma included.
func (o *output) scaleDenom(left rest) int {
	g, f := o.geometry, o.header.jpeg
	if g.filter.exact() {
		return 1
	}
	subX, subY := 1, 1
	if f.components == 3 && !o.params.Grayscale {
		for _, s := range f.sampling[:3] {
			subX, subY = max(subX, int(s>>4)), max(subY, int(s&15))
		}
		if o.halvesChroma() {
			subX, subY = ceilDiv(subX, 2), ceilDiv(subY, 2)
		}
	}
	for denom := 8; denom > 1; denom /= 2 {
		if 4*g.source.w >= denom*g.scaledW*max(4*subX, left(denom)) && 4*g.source.h >= denom*g.scaledH*max(4*subY, left(denom)) {
			return denom
		}
	}
	return 1
}

// halvesChroma says that the output's format will not keep more of the colours than half their resolution.
func (o *output) halvesChroma() bool {
	return o.halves() || o.format == tasks.WebP && !o.params.Lossless
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
