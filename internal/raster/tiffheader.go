package raster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A TIFF has a chain of directories, each of which describes a page. The chain is walked, bounded and without loops; of each page only what
// resizing has to know is read, so that the decoder is given none whose figures have not been checked.

// maxPages bounds the walk through a chain; a longer one is not read to its end.
const maxPages = 1000

// tiffPage is a page: where its directory lies, and the header of a picture that is this page alone.
type tiffPage struct {
	at int64
	header
}

// tiffWalk reads directories.
type tiffWalk struct {
	r      io.ReaderAt
	order  binary.ByteOrder
	length int64
	limits Limits
}

// readTIFFHeader reads the first page's header, and those of the others besides.
func readTIFFHeader(r io.ReadSeeker, limits Limits) (header, error) {
	length, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return header{}, err
	}
	at, ok := r.(io.ReaderAt)
	if !ok {
		at = seeker{r}
	}
	w := &tiffWalk{r: at, length: length, limits: limits}
	var head [8]byte
	if _, err := at.ReadAt(head[:], 0); err != nil {
		return header{}, err
	}
	w.order = binary.ByteOrder(binary.LittleEndian)
	if head[0] == 'M' {
		w.order = binary.BigEndian
	}
	pages, err := w.pages(int64(w.order.Uint32(head[4:])))
	if err != nil {
		return header{}, err
	}
	h := pages[0].header
	h.frames, h.pages = len(pages), pages
	return h, nil
}

// pages walks the chain. What is wrong with the first page is wrong with the file; a later one that is damaged ends the walk.
func (w *tiffWalk) pages(at int64) ([]tiffPage, error) {
	var out []tiffPage
	seen := make(map[int64]bool)
	for at != 0 && len(out) < maxPages {
		if seen[at] {
			return nil, errors.New("its directories run in a circle")
		}
		seen[at] = true
		d, next, err := w.directory(at)
		if err == nil {
			var h header
			if h, err = w.page(d); err == nil {
				out = append(out, tiffPage{at, h})
			}
		}
		if err != nil && len(out) == 0 {
			return nil, err
		}
		if err != nil {
			break
		}
		at = next
	}
	if len(out) == 0 {
		return nil, errors.New("has no directory")
	}
	return out, nil
}

// directory reads the entries at an offset, and where the next ones are.
func (w *tiffWalk) directory(at int64) (entries []byte, next int64, err error) {
	var count [2]byte
	if _, err := w.r.ReadAt(count[:], at); err != nil {
		return nil, 0, err
	}
	n := int(w.order.Uint16(count[:]))
	if n == 0 || n > maxEntries {
		return nil, 0, fmt.Errorf("has a directory of %d entries", n)
	}
	b := make([]byte, 12*n+4)
	if read, err := w.r.ReadAt(b, at+2); err != nil && read < 12*n {
		return nil, 0, err
	}
	return b[:12*n], int64(w.order.Uint32(b[12*n:])), nil
}

// page reads what a directory says of its picture.
func (w *tiffWalk) page(d []byte) (header, error) {
	h := header{format: TIFF}
	var kept []tiffEntry
	compression, photometric, sampleFormat, bits, samples := 1, photometricGrey, 1, 1, 1
	for ; len(d) >= 12; d = d[12:] {
		tag, v := w.order.Uint16(d), w.first(d)
		switch tag {
		case tagWidth:
			h.width = v
		case tagHeight:
			h.height = v
		case tagBits:
			bits = v
		case tagCompression:
			compression = v
		case tagPhotometric:
			photometric = v
		case tagSamples:
			samples = v
		case tagSampleFormat:
			sampleFormat = v
		case tagExtraSamples:
			h.facts.alpha = true
		case tagICC:
			h.icc = w.bytes(d)
		case tagOrientation:
			kept = append(kept, shortEntry(tagOrientation, v))
		}
		if text := w.bytes(d); isText(tag) && text != nil {
			kept = append(kept, tiffEntry{tag, typeASCII, len(text), text})
		}
	}
	if kept != nil {
		h.exif = tiffDirectory(kept, nil)
	}
	if err := w.limits.checkHeader(h); err != nil {
		return h, err
	}
	switch compression {
	case 1, 2, 3, 4, 5, compressDeflate, 32773, 32946:
	default:
		return h, unsupported("the TIFF is compressed by method %d; save it with LZW, Deflate or none", compression)
	}
	if sampleFormat != 1 || bits != 1 && bits != 8 && bits != 16 {
		return h, unsupported("the TIFF has samples of a kind that is not read; save it with 8 or 16 bits for each")
	}
	if photometric > 3 {
		return h, unsupported("the TIFF's colours are of model %d; save it as RGB or grey", photometric)
	}
	h.faxed = (compression == 3 || compression == 4) && photometric == photometricGrey
	h.facts.depth = bits
	if h.grey = photometric < photometricRGB; h.grey {
		h.facts.space = "gray"
	}
	h.bytesPerPixel = tiffBytesPerPixel(bits, samples)
	return h, nil
}

// tiffBytesPerPixel is the memory that the decoder takes for a pixel: the picture, and as much again for a strip that is all of it.
func tiffBytesPerPixel(bits, samples int) int {
	n := 1
	if samples > 1 {
		n = 4
	}
	if bits == 16 {
		n *= 2
	}
	return 2 * n
}

// first is the first number of an entry, 0 where it has none.
func (w *tiffWalk) first(d []byte) int {
	kind, count := w.order.Uint16(d[2:]), w.order.Uint32(d[4:])
	switch {
	case count == 0:
		return 0
	case kind == 1:
		return int(d[8])
	case kind == typeShort && count <= 2:
		return int(w.order.Uint16(d[8:]))
	case kind == typeLong && count == 1:
		return int(min(w.order.Uint32(d[8:]), 1<<30))
	case kind == typeShort:
		var b [2]byte
		if _, err := w.r.ReadAt(b[:], int64(w.order.Uint32(d[8:]))); err == nil {
			return int(w.order.Uint16(b[:]))
		}
	}
	return 0
}

// bytes is the value of an entry of single bytes, within the limit for metadata.
func (w *tiffWalk) bytes(d []byte) []byte {
	n, at := int64(w.order.Uint32(d[4:])), int64(w.order.Uint32(d[8:]))
	if n <= 4 || n > int64(w.limits.MetadataBytes) || at+n > w.length {
		return nil
	}
	b := make([]byte, n)
	if _, err := w.r.ReadAt(b, at); err != nil {
		return nil
	}
	return b
}

// seeker reads at offsets by seeking.
type seeker struct{ io.ReadSeeker }

// ReadAt implements io.ReaderAt.
func (s seeker) ReadAt(p []byte, at int64) (int, error) {
	if _, err := s.Seek(at, io.SeekStart); err != nil {
		return 0, err
	}
	return io.ReadFull(s, p)
}
