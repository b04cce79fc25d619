package raster

import (
	"context"
	"encoding/binary"
	"image"
	"io"
	_ "unsafe" // for go:linkname

	_ "github.com/gen2brain/avif" // the modules below
	_ "github.com/gen2brain/webp"
)

// The modules come with packages whose own functions run them without a context, with all the memory they like and with this process's
// standard error to print on. So only the modules are taken, which those packages keep to themselves. Their exports are tied to the versions
// in go.mod; TestCodecs fails where an update changes them.

//go:linkname webpModule github.com/gen2brain/webp.webpWasm
var webpModule []byte

//go:linkname avifDecoder github.com/gen2brain/avif.decodeWasm
var avifDecoder []byte

//go:linkname avifEncoder github.com/gen2brain/avif.encodeWasm
var avifEncoder []byte

// codecs are the libraries of an Engine. A nil one of them is no library: each takes some 10 MB once it has been used.
type codecs struct{ webp, avifIn, avifOut *codec }

// newCodecs chooses the functions at which each codec looks at its context: the few that leave the shortest pauses between them, for photographs,
// noise, transparency and one plain colour. They are entered some 100,000 times for a megapixel, and two million times where a WebP's pixels or
// alpha are kept without loss, which has no rarer ones.
func newCodecs() *codecs {
	return &codecs{
		webp: &codec{packed: webpModule, stops: []uint32{
			70, 146, 196, 212, 239, 240, 263, 268, 280, 286, 300, 311, 323, 352, 386, 403, 414, 415, 416, 417, 428, 432, 434,
		}},
		avifIn: &codec{packed: avifDecoder, stops: []uint32{44, 115, 751, 760, 772, 947, 1011}},
		avifOut: &codec{packed: avifEncoder, stops: []uint32{
			562, 600, 638, 972, 1074, 1076, 1101, 1112, 1125, 1145, 2928, 3083, 3096, 3324, 3347, 3358, 3361, 3377, 3385, 3396,
		}},
	}
}

// What a codec takes, measured, for each pixel and besides.
const (
	webpPixel      = 14
	webpAlphaPixel = 56
	webpLossless   = 34
	avifOutPixel   = 48
	codecMemory    = 8 << 20
)

// webpMemory is what encoding a WebP takes.
func webpMemory(pixels int64, lossless, alpha bool) int64 {
	switch {
	case lossless:
		return codecMemory + webpLossless*pixels
	case alpha:
		return codecMemory + webpAlphaPixel*pixels
	}
	return codecMemory + webpPixel*pixels
}

// avifMemory is what encoding an AVIF takes.
func avifMemory(pixels int64) int64 { return codecMemory + avifOutPixel*pixels }

// webpMethod is libwebp's own balance between time and size. Lossless takes the quickest, which is still smaller than other encoders' best.
const webpMethod = 4

// encodeWebP writes a still picture without metadata, nothing around it.
func (c *codecs) encodeWebP(ctx context.Context, w io.Writer, m *image.NRGBA, quality int, lossless bool) error {
	method, flag := uint64(webpMethod), uint64(0)
	if lossless {
		method, flag = 0, 1
	}
	memory := webpMemory(int64(m.Rect.Dx())*int64(m.Rect.Dy()), lossless, !opaque(m))
	return c.webp.run(ctx, memory, func(i *instance) error {
		return i.encode(w, m, m.Pix, func(in, width, height, size uint64) (uint64, error) {
			return i.call("encode", in, width, height, size, 0, uint64(quality), method, flag, 0)
		})
	})
}

// What AVIF is encoded with: on a scale to 10, the speed at which a photograph of half a megapixel takes half a second; and half the chroma.
const (
	avifSpeed = 8
	avif420   = 3
)

// encodeAVIF writes a still picture without metadata.
func (c *codecs) encodeAVIF(ctx context.Context, w io.Writer, m *image.NRGBA, quality int) error {
	pix := m.Pix
	if !opaque(m) {
		pix = premultiplied(m)
	}
	memory := avifMemory(int64(m.Rect.Dx()) * int64(m.Rect.Dy()))
	return c.avifOut.run(ctx, memory, func(i *instance) error {
		return i.encode(w, m, pix, func(in, width, height, size uint64) (uint64, error) {
			return i.call("encode", in, width, height, size, uint64(quality), uint64(quality), avifSpeed, avif420)
		})
	})
}

// encode hands pixels to an encoder and writes what it returns.
func (i *instance) encode(w io.Writer, m image.Image, pix []byte, encoder func(in, width, height, size uint64) (uint64, error)) error {
	in, err := i.put(pix)
	if err != nil {
		return err
	}
	at, err := i.put(make([]byte, 8))
	if err != nil {
		return err
	}
	size := m.Bounds().Size()
	out, err := encoder(in, uint64(size.X), uint64(size.Y), at)
	if err != nil {
		return err
	}
	n, err := i.bytes(at, 8)
	if err != nil {
		return err
	}
	data, err := i.bytes(out, int(binary.LittleEndian.Uint32(n)))
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// premultiplied are the pixels of m with their colours × alpha.
func premultiplied(m *image.NRGBA) []byte {
	out := make([]byte, len(m.Pix))
	for i := 0; i+3 < len(out); i += 4 {
		a := int(m.Pix[i+3])
		for c := range 3 {
			out[i+c] = byte((int(m.Pix[i+c])*a + 127) / 255)
		}
		out[i+3] = byte(a)
	}
	return out
}
