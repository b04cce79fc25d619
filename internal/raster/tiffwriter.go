package raster

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"context"
	"encoding/binary"
	"image"
	"io"
	"slices"
)

// The library that reads TIFF for us writes it without a predictor, without a profile and with an alpha for every pixel, so this is our own:
// one picture in strips, each deflated after a horizontal predictor, its directory in front.

// tiffStrip is about how many bytes of pixels a strip has: few enough that a reader needs no second picture, enough to compress.
const tiffStrip = 256 << 10

// The TIFF tags that are read or written here, besides those of EXIF.
const (
	tagWidth         = 256
	tagHeight        = 257
	tagBits          = 258
	tagCompression   = 259
	tagPhotometric   = 262
	tagStripOffsets  = 273
	tagSamples       = 277
	tagRowsPerStrip  = 278
	tagStripLengths  = 279
	tagXResolution   = 282
	tagYResolution   = 283
	tagUnit          = 296
	tagPredictor     = 317
	tagTileWidth     = 322
	tagTileHeight    = 323
	tagExtraSamples  = 338
	tagSampleFormat  = 339
	tagICC           = 34675
	compressDeflate  = 8
	photometricGrey  = 1
	photometricRGB   = 2
	predictDifferent = 2
)

// The types of a value in a TIFF directory.
const (
	typeASCII     = 2
	typeShort     = 3
	typeLong      = 4
	typeRational  = 5
	typeUndefined = 7
)

// tiffEntry is a directory's entry, its value in little endian.
type tiffEntry struct {
	tag, kind uint16
	count     int
	value     []byte
}

func shortEntry(tag uint16, values ...int) tiffEntry {
	e := tiffEntry{tag: tag, kind: typeShort, count: len(values)}
	for _, v := range values {
		e.value = binary.LittleEndian.AppendUint16(e.value, uint16(v))
	}
	return e
}

func longEntry(tag uint16, values ...int) tiffEntry {
	e := tiffEntry{tag: tag, kind: typeLong, count: len(values)}
	for _, v := range values {
		e.value = binary.LittleEndian.AppendUint32(e.value, uint32(v))
	}
	return e
}

// encodeTIFF writes m, grey or in colours, with texts such as a copyright and a profile.
func encodeTIFF(ctx context.Context, w io.Writer, m image.Image, texts []tiffEntry, icc []byte) error {
	rows := tiffRowsOf(m)
	size := m.Bounds().Size()
	perStrip := min(size.Y, max(1, tiffStrip/(rows.samples*size.X)))
	strips, err := tiffStrips(ctx, rows, size, perStrip)
	if err != nil {
		return err
	}
	bits := []int{8, 8, 8, 8}[:rows.samples]
	photometric := photometricRGB
	if rows.samples == 1 {
		photometric = photometricGrey
	}
	resolution := []byte{72, 0, 0, 0, 1, 0, 0, 0}
	entries := append([]tiffEntry{
		longEntry(tagWidth, size.X), longEntry(tagHeight, size.Y), shortEntry(tagBits, bits...), shortEntry(tagCompression, compressDeflate),
		shortEntry(tagPhotometric, photometric), longEntry(tagStripOffsets, make([]int, len(strips))...), shortEntry(tagSamples, rows.samples),
		longEntry(tagRowsPerStrip, perStrip), longEntry(tagStripLengths, lengths(strips)...),
		{tagXResolution, typeRational, 1, resolution}, {tagYResolution, typeRational, 1, resolution}, shortEntry(tagUnit, 2),
		shortEntry(tagPredictor, predictDifferent),
	}, texts...)
	if rows.samples == 4 {
		entries = append(entries, shortEntry(tagExtraSamples, 2)) // not multiplied into the colours
	}
	if icc != nil {
		entries = append(entries, tiffEntry{tagICC, typeUndefined, len(icc), icc})
	}
	slices.SortStableFunc(entries, func(a, b tiffEntry) int { return cmp.Compare(a.tag, b.tag) })
	if _, err := w.Write(tiffDirectory(entries, strips)); err != nil {
		return err
	}
	for _, s := range strips {
		if _, err := w.Write(s); err != nil {
			return err
		}
	}
	return nil
}

func lengths(strips [][]byte) []int {
	out := make([]int, len(strips))
	for i, s := range strips {
		out[i] = len(s)
	}
	return out
}

// tiffDirectory is all that comes before the strips. Behind the entries come the values that are longer than four bytes.
func tiffDirectory(entries []tiffEntry, strips [][]byte) []byte {
	size := func() int {
		n := 8 + 2 + 12*len(entries) + 4
		for _, e := range entries {
			if len(e.value) > 4 {
				n += len(e.value) + len(e.value)%2
			}
		}
		return n
	}()
	at := size
	for i, e := range entries {
		if e.tag == tagStripOffsets {
			for s, strip := range strips {
				binary.LittleEndian.PutUint32(entries[i].value[4*s:], uint32(at))
				at += len(strip)
			}
		}
	}
	out := append(make([]byte, 0, size), "II*\x00\x08\x00\x00\x00"...)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(entries)))
	var long []byte
	for _, e := range entries {
		out = binary.LittleEndian.AppendUint16(out, e.tag)
		out = binary.LittleEndian.AppendUint16(out, e.kind)
		out = binary.LittleEndian.AppendUint32(out, uint32(e.count))
		if len(e.value) <= 4 {
			var short [4]byte
			copy(short[:], e.value)
			out = append(out, short[:]...)
			continue
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(8+2+12*len(entries)+4+len(long)))
		long = append(long, e.value...)
		if len(long)%2 != 0 {
			long = append(long, 0)
		}
	}
	return append(append(out, 0, 0, 0, 0), long...)
}

// tiffRows reads a picture's rows as samples side by side.
type tiffRows struct {
	samples int
	row     func(y int, out []byte)
}

func tiffRowsOf(m image.Image) tiffRows {
	if g, ok := m.(*image.Gray); ok {
		return tiffRows{1, func(y int, out []byte) { copy(out, g.Pix[y*g.Stride:]) }}
	}
	n := toNRGBA(m)
	if !n.Opaque() {
		return tiffRows{4, func(y int, out []byte) { copy(out, n.Pix[y*n.Stride:]) }}
	}
	return tiffRows{3, func(y int, out []byte) {
		row := n.Pix[y*n.Stride:]
		for x := 0; 3*x+2 < len(out); x++ {
			copy(out[3*x:3*x+3], row[4*x:])
		}
	}}
}

func tiffStrips(ctx context.Context, rows tiffRows, size image.Point, perStrip int) ([][]byte, error) {
	var strips [][]byte
	row := make([]byte, rows.samples*size.X)
	for y := 0; y < size.Y; {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		for end := min(size.Y, y+perStrip); y < end; y++ {
			rows.row(y, row)
			for i := len(row) - 1; i >= rows.samples; i-- {
				row[i] -= row[i-rows.samples]
			}
			_, _ = z.Write(row) // into memory: it cannot fail
		}
		_ = z.Close()
		strips = append(strips, b.Bytes())
	}
	return strips, nil
}
