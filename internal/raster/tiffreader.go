package raster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/tiff"
)

// decodeTIFF decodes one page. A panic of the decoder is for the caller.
func decodeTIFF(src *source, p tiffPage) (image.Image, error) {
	m, err := tiff.Decode(&pageReader{ReaderAt: seeker{src}, page: p.at})
	if err != nil {
		if _, ok := errors.AsType[tiff.UnsupportedError](err); ok {
			return nil, unsupported("the TIFF has a feature that is not read; save it as RGB or grey with 8 or 16 bits for each sample")
		}
		return nil, err
	}
	if want := image.Rect(0, 0, p.width, p.height); m.Bounds() != want {
		return nil, fmt.Errorf("decoded to %v, its directory says %v", m.Bounds(), want)
	}
	if g, ok := m.(*image.Gray); ok && p.faxed {
		// A fax codes black as one, whatever a one means in the picture: the decoder turns only what it takes for inverted.
		for i, v := range g.Pix {
			g.Pix[i] = ^v
		}
	}
	return m, nil
}

// pageReader shows a file in which a certain page is the first: the decoder reads no other.
type pageReader struct {
	io.ReaderAt
	page int64
}

// ReadAt implements io.ReaderAt.
func (r *pageReader) ReadAt(p []byte, at int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, at)
	if at == 0 && n >= 8 {
		order := binary.ByteOrder(binary.LittleEndian)
		if p[0] == 'M' {
			order = binary.BigEndian
		}
		order.PutUint32(p[4:], uint32(r.page))
	}
	return n, err
}

// Read implements io.Reader, which the decoder's signature asks for and the decoder does not use.
func (r *pageReader) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }
