package raster

import (
	"bytes"
	"context"
	"image"
	"image/gif"
	"image/png"
	"io"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/tasks"
)

// fullChroma is the quality from which on a JPEG keeps the full resolution of its colours.
const fullChroma = 90

// optimizePixels is up to which size a JPEG's Huffman tables are fitted to it; that takes a second pass.
const optimizePixels = 16 << 20

// maxSegment is the longest payload of a JPEG segment.
const maxSegment = 65533

// encodeAt encodes one still picture, with a quality where the format has one.
func (o *output) encodeAt(ctx context.Context, w io.Writer, m image.Image, quality int) error {
	exif, icc := o.metadata()
	switch o.format {
	case tasks.JPEG:
		return o.encodeJPEG(w, m, quality)
	case tasks.GIF:
		return gif.Encode(w, quantize(toNRGBA(m)), nil)
	case tasks.WebP:
		var b bytes.Buffer
		if err := o.codecs.encodeWebP(ctx, &b, toNRGBA(m), quality, o.params.Lossless); err != nil {
			return err
		}
		data, err := withMetadata(b.Bytes(), m.Bounds().Size(), !opaque(m), exif, icc)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	case tasks.AVIF:
		return o.codecs.encodeAVIF(ctx, w, toNRGBA(m), quality)
	case tasks.TIFF:
		return encodeTIFF(ctx, w, m, textsOf(exif), icc)
	}
	if _, ok := m.(*image.YCbCr); ok {
		m = toNRGBA(m)
	}
	return png.Encode(&pngWriter{w: w, exif: exif, icc: icc}, m)
}

// carriesICC says whether a profile can be put into a format here.
func carriesICC(format string) bool {
	switch format {
	case tasks.JPEG, tasks.PNG, tasks.WebP, tasks.TIFF:
		return true
	}
	return false
}

// metadata is what the output keeps of the input's.
func (o *output) metadata() (exif, icc []byte) {
	if o.params.Strip {
		return nil, nil
	}
	if o.keepICC {
		icc = o.header.icc
	}
	return keptExif(o.header.exif, o.params.AutoOrient), icc
}

func (o *output) encodeJPEG(w io.Writer, m image.Image, quality int) error {
	size := m.Bounds().Size()
	options := &jpegn.EncodeOptions{Quality: quality, OptimizeCoding: size.X*size.Y <= optimizePixels, Subsampling: jpegn.Subsample420}
	if quality >= fullChroma {
		options.Subsampling = jpegn.Subsample444
	}
	if _, ok := m.(*image.Gray); ok {
		options.Subsampling = jpegn.SubsampleGray
	}
	exif, icc := o.metadata()
	if payload := append([]byte("Exif\x00\x00"), exif...); exif != nil && len(payload) <= maxSegment {
		options.Exif = payload
	}
	options.Segments = iccSegments(icc)
	return jpegn.Encode(w, m, options)
}

// iccSegments splits a profile as its specification says, annex B.4.
func iccSegments(icc []byte) []jpegn.Segment {
	const head = "ICC_PROFILE\x00"
	const room = maxSegment - len(head) - 2
	count := ceilDiv(len(icc), room)
	if count > 255 {
		return nil
	}
	var out []jpegn.Segment
	for n := 1; n <= count; n++ {
		var b bytes.Buffer
		b.WriteString(head)
		b.Write([]byte{byte(n), byte(count)})
		b.Write(icc[:min(room, len(icc))])
		icc = icc[min(room, len(icc)):]
		out = append(out, jpegn.Segment{Marker: 0xE2, Data: b.Bytes()})
	}
	return out
}
