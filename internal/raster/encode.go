package raster

import (
	"bytes"
	"context"
	"image"
	"image/gif"
	"image/png"
	"io"

	"github.com/millrace/millrace/tasks"
)

// encodeAt encodes one still picture, with a quality where the format has one.
func (o *output) encodeAt(ctx context.Context, w io.Writer, m image.Image, quality int) error {
	exif, icc := o.metadata()
	switch o.format {
	case tasks.JPEG:
		return o.encodeJPEG(ctx, w, m, quality)
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
