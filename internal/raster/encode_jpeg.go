package raster

import (
	"bytes"
	"context"
	"errors"
	"image"
	"io"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/internal/raster/recode"
)

const (
	// fullChroma is the quality from which on a JPEG keeps the full resolution of its colours, unless the job says otherwise.
	fullChroma = 90
	// stripPixels is how much the encoder, which cannot be stopped on its way, is given at a time.
	stripPixels = 4 << 20
	// optimizePixels is up to which size a JPEG's Huffman tables are fitted to it; that takes a second pass.
	optimizePixels = 16 << 20
	// maxSegment is the longest payload of a JPEG segment.
	maxSegment = 65533
)

// subsampling is how a JPEG of a quality keeps its colours.
func (o *output) subsampling(quality int) jpegn.Subsampling {
	switch o.params.Subsampling {
	case "4:4:4":
		return jpegn.Subsample444
	case "4:2:2":
		return jpegn.Subsample422
	case "4:2:0":
		return jpegn.Subsample420
	}
	if quality >= fullChroma {
		return jpegn.Subsample444
	}
	return jpegn.Subsample420
}

// halves says that the output is a JPEG that halves its colours both ways.
func (o *output) halves() bool {
	return o.jpeg() && o.subsampling(o.params.Quality) == jpegn.Subsample420
}

// encodeJPEG writes a JPEG. One that is large or progressive goes through memory first.
func (o *output) encodeJPEG(ctx context.Context, w io.Writer, m image.Image, quality int) error {
	options := jpegn.EncodeOptions{Quality: quality, Subsampling: o.subsampling(quality)}
	if _, ok := m.(*image.Gray); ok {
		options.Subsampling = jpegn.SubsampleGray
	}
	exif, icc := o.metadata()
	if payload := append([]byte("Exif\x00\x00"), exif...); exif != nil && len(payload) <= maxSegment {
		options.Exif = payload
	}
	options.Segments = iccSegments(icc)
	size := m.Bounds().Size()
	small, optimize := size.X*size.Y <= stripPixels, size.X*size.Y <= optimizePixels
	if small && !o.params.Progressive {
		options.OptimizeCoding = true
		return jpegn.Encode(w, m, &options)
	}
	if !optimize && !o.params.Progressive {
		return encodeStrips(w, m, options)
	}
	order := recode.Sequential
	if o.params.Progressive {
		order = recode.Progressive
	}
	var plain bytes.Buffer
	if err := encodeStrips(stopping{ctx, &plain}, m, options); err != nil {
		return err
	}
	return recode.JPEG(ctx, w, plain.Bytes(), order)
}

// encodeStrips writes a JPEG strip by strip, each up to a restart marker, so that the writer can stop it.
func encodeStrips(w io.Writer, m image.Image, options jpegn.EncodeOptions) error {
	parts, ok := m.(interface {
		SubImage(r image.Rectangle) image.Image
	})
	size := m.Bounds().Size()
	across, rows := strip(size, options.Subsampling)
	if !ok || rows >= size.Y {
		return jpegn.Encode(w, m, &options)
	}
	var one bytes.Buffer
	for y := 0; y < size.Y; y += rows {
		one.Reset()
		part := parts.SubImage(image.Rect(0, y, size.X, min(size.Y, y+rows)).Add(m.Bounds().Min))
		if err := jpegn.Encode(&one, part, &options); err != nil {
			return err
		}
		head, data, err := splitJPEG(one.Bytes())
		if err != nil {
			return err
		}
		if y == 0 {
			if head, err = wholeHeader(head, size.Y, across*rows/mcuHeight(options.Subsampling)); err != nil {
				return err
			}
		} else {
			head = []byte{0xFF, 0xD0 | byte((y/rows-1)&7)}
		}
		if _, err := w.Write(append(head, data...)); err != nil {
			return err
		}
	}
	_, err := w.Write([]byte{0xFF, 0xD9})
	return err
}

// strip is how many MCUs lie side by side and how many rows of pixels are encoded at a time: whole MCUs, and no more than a restart interval
// can count.
func strip(size image.Point, s jpegn.Subsampling) (across, rows int) {
	width := 8
	if s == jpegn.Subsample420 || s == jpegn.Subsample422 {
		width = 16
	}
	across = ceilDiv(size.X, width)
	height := mcuHeight(s)
	rows = max(1, min(stripPixels/4/(across*width*height), 65535/across)) * height
	return across, rows
}

func mcuHeight(s jpegn.Subsampling) int {
	if s == jpegn.Subsample420 {
		return 16
	}
	return 8
}

// splitJPEG divides what our encoder wrote into all headers, the scan's included, and what is coded, without the end marker.
func splitJPEG(data []byte) (head, coded []byte, err error) {
	for at := 2; at+4 <= len(data); {
		end := at + 2 + int(data[at+2])<<8 + int(data[at+3])
		if data[at+1] == 0xDA && end+2 <= len(data) {
			return data[:end], data[end : len(data)-2], nil
		}
		at = end
	}
	return nil, nil, errors.New("a strip without a scan")
}

// wholeHeader makes the header of the whole picture of that of its first strip: with its height and a restart interval.
func wholeHeader(head []byte, height, interval int) ([]byte, error) {
	out := bytes.Clone(head)
	for at := 2; at+4 <= len(out); at += 2 + int(out[at+2])<<8 + int(out[at+3]) {
		switch out[at+1] {
		case 0xC0:
			out[at+5], out[at+6] = byte(height>>8), byte(height)
		case 0xDA:
			restart := []byte{0xFF, 0xDD, 0, 4, byte(interval >> 8), byte(interval)}
			return append(out[:at:at], append(restart, out[at:]...)...), nil
		}
	}
	return nil, errors.New("a strip without a scan")
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
