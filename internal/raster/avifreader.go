package raster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
)

// avifInPixel is what decoding an AVIF takes for a pixel, besides the picture itself.
const avifInPixel = 24

// avifInMemory is what decoding takes: the file, twice, and the library's buffers.
func avifInMemory(h header) int64 {
	return codecMemory + 2*h.length + h.pixels()*int64(avifInPixel+2*h.bytesPerPixel)
}

// undone is what the decoder overwrites once it has decoded a picture. It returns as if nothing had happened when it could not.
const undone = 0xFF

// decodeAVIF decodes the primary picture and turns it as its container says.
func (c *codecs) decodeAVIF(ctx context.Context, r io.Reader, h header, length int64) (image.Image, error) {
	data, err := io.ReadAll(io.LimitReader(r, length))
	if err != nil {
		return nil, err
	}
	if len(data) > 12 && string(data[8:12]) == "avis" {
		copy(data[8:12], "avif") // the still, not the film beside it
	}
	t := h.avif
	w, ht := t.size(h.width, h.height)
	var out image.Image
	err = c.avifIn.run(ctx, avifInMemory(h), func(i *instance) error {
		pix, depth, err := i.decodeAVIF(data, w, ht)
		if err != nil {
			return err
		}
		if depth > 8 {
			pix = turnPixels(bigEndian(pix), w, ht, 8, t)
			out = &image.RGBA64{Pix: pix, Stride: 8 * h.width, Rect: image.Rect(0, 0, h.width, h.height)}
		} else {
			pix = turnPixels(bytes.Clone(pix), w, ht, 4, t)
			out = &image.RGBA{Pix: pix, Stride: 4 * h.width, Rect: image.Rect(0, 0, h.width, h.height)}
		}
		return nil
	})
	return out, err
}

// decodeAVIF returns pixels that stay the codec's own.
func (i *instance) decodeAVIF(data []byte, w, h int) (pix []byte, depth uint32, err error) {
	in, err := i.put(data)
	if err != nil {
		return nil, 0, err
	}
	// Width, height, depth, count and a delay of eight bytes.
	facts, err := i.put(bytes.Repeat([]byte{undone}, 24))
	if err != nil {
		return nil, 0, err
	}
	decode := func(headerOnly, out uint64) ([]byte, error) {
		ok, err := i.call("decode", in, uint64(len(data)), headerOnly, 0, facts, facts+4, facts+8, facts+12, facts+16, out)
		if err == nil && ok == 0 {
			err = errors.New("the decoder refuses it")
		}
		if err != nil {
			return nil, err
		}
		return i.bytes(facts, 24)
	}
	f, err := decode(1, 0)
	if err != nil {
		return nil, 0, err
	}
	if gw, gh := binary.LittleEndian.Uint32(f), binary.LittleEndian.Uint32(f[4:]); gw != uint32(w) || gh != uint32(h) {
		return nil, 0, fmt.Errorf("decodes to %d × %d, its header says %d × %d", gw, gh, w, h)
	}
	depth = binary.LittleEndian.Uint32(f[8:])
	size := 4 * w * h
	if depth > 8 {
		size *= 2
	}
	out, err := i.alloc(size)
	if err != nil {
		return nil, 0, err
	}
	if f, err = decode(0, out); err != nil {
		return nil, 0, err
	}
	if bytes.Equal(f[16:], bytes.Repeat([]byte{undone}, 8)) {
		return nil, 0, errors.New("its picture does not decode")
	}
	pix, err = i.bytes(out, size)
	return pix, depth, err
}

// bigEndian is a copy of 16-bit samples with their bytes swapped.
func bigEndian(pix []byte) []byte {
	out := make([]byte, len(pix))
	for i := 0; i+1 < len(out); i += 2 {
		out[i], out[i+1] = pix[i+1], pix[i]
	}
	return out
}

// turnPixels turns a picture of w × h pixels of n bytes each.
func turnPixels(pix []byte, w, h, n int, t turn) []byte {
	if t == (turn{}) {
		return pix
	}
	out := make([]byte, len(pix))
	for y := range h {
		for x := range w {
			// Where the pixel goes: the mirrors first, then the swap.
			tx, ty, width := x, y, w
			if t.flipX {
				tx = w - 1 - x
			}
			if t.flipY {
				ty = h - 1 - y
			}
			if t.swap {
				tx, ty, width = ty, tx, h
			}
			copy(out[n*(ty*width+tx):], pix[n*(y*w+x):n*(y*w+x+1)])
		}
	}
	return out
}
