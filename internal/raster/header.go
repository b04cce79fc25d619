package raster

import (
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace"
)

// header is what a picture says of itself before anything is decoded.
type header struct {
	format        Format
	length        int64 // of the file
	width, height int   // as stored
	frames        int   // of an animation; 0 or 1: a still
	bytesPerPixel int   // of the decoded picture, in memory; other formats than JPEG
	grey          bool
	facts         facts
	plays         int // how often an animation is shown; 0: for ever
	exif          []byte
	icc           []byte

	// JPEG only.
	jpeg jpegFrame

	// AVIF only: how the container wants the decoded picture turned. Width and height are those after it.
	avif turn

	// TIFF only.
	pages []tiffPage
	faxed bool // TIFF: coded as a fax, and its ones are white
}

func (h header) pixels() int64 { return int64(h.width) * int64(h.height) }

// readHeader sniffs the format and walks the file's structure without decoding a pixel. Metadata that cannot be read is as if it were not there.
func readHeader(r io.ReadSeeker, size int64, limits Limits) (header, error) {
	if err := limits.checkFile(size); err != nil {
		return header{}, err
	}
	head := make([]byte, sniffLen)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return header{}, fmt.Errorf("read the input: %w", err)
	}
	format, err := sniff(head[:n])
	if err != nil {
		return header{}, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return header{}, fmt.Errorf("rewind the input: %w", err)
	}
	var h header
	switch format {
	case JPEG:
		h, err = readJPEGHeader(r, limits)
	case PNG:
		h, err = readPNGHeader(r, limits)
	case GIF:
		h, err = readGIFHeader(r, limits)
	case WebP:
		h, err = readWebPHeader(r, limits)
	case AVIF:
		h, err = readAVIFHeader(r, limits)
	case TIFF:
		h, err = readTIFFHeader(r, limits)
	}
	h.format, h.length = format, size
	if err != nil {
		if e, ok := errors.AsType[*millrace.Error](err); ok {
			return h, e
		}
		return h, corrupt(format, err)
	}
	return h, limits.checkHeader(h)
}
