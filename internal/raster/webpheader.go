package raster

import (
	"encoding/binary"
	"errors"
	"io"
)

// maxWebPChunks bounds the walk through a file of tiny chunks.
const maxWebPChunks = 20000

// readWebPHeader walks the chunks. The size of a still is that of the coded picture, not the one the container claims.
func readWebPHeader(r io.ReadSeeker, limits Limits) (header, error) {
	h := header{bytesPerPixel: 4}
	end, err := webpEnd(r)
	if err != nil {
		return h, err
	}
	var coded, film bool
	at := int64(12)
	for n := 0; at+8 <= end; n++ {
		if n == maxWebPChunks {
			return h, errors.New("has too many chunks")
		}
		c, err := webpChunkAt(r, at, limits)
		if err != nil {
			return h, err
		}
		if at = c.end; at > end+1 {
			return h, errors.New("is cut short")
		}
		if err := c.into(&h, film); err != nil {
			return h, err
		}
		film = film || c.kind == "VP8X" && c.data[0]&webpAnimation != 0
		coded = coded || c.kind == "VP8 " || c.kind == "VP8L"
		if limits.checkHeader(h) != nil && h.width > 0 {
			return h, nil // the caller says it
		}
	}
	if film && h.frames == 0 || !film && !coded {
		return h, errors.New("has no picture")
	}
	return h, nil
}

// webpEnd is where the container ends by its own word. What lies behind is none of the picture.
func webpEnd(r io.ReadSeeker) (int64, error) {
	end, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	var b [8]byte
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	said := 8 + int64(binary.LittleEndian.Uint32(b[4:]))
	if said > end+1 { // the last chunk may lack its padding
		return 0, errors.New("is cut short")
	}
	return min(said, end), nil
}

// webpChunk is a chunk's name, its length, where the next one begins, and as much of its data as is looked at.
type webpChunk struct {
	kind   string
	n, end int64
	data   []byte
}

func webpChunkAt(r io.ReadSeeker, at int64, limits Limits) (webpChunk, error) {
	var b [8]byte
	if _, err := r.Seek(at, io.SeekStart); err != nil {
		return webpChunk{}, err
	}
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return webpChunk{}, err
	}
	n := int64(binary.LittleEndian.Uint32(b[4:]))
	c := webpChunk{kind: string(b[:4]), n: n, end: at + 8 + n + n&1}
	c.data = make([]byte, min(n, webpKeep(c.kind, limits)))
	_, err := io.ReadFull(r, c.data)
	return c, err
}

// webpKeep is how many bytes of a chunk are read.
func webpKeep(kind string, limits Limits) int64 {
	switch kind {
	case "VP8 ", "VP8L", "VP8X", "ANIM":
		return 10
	case "EXIF", "ICCP":
		return int64(limits.MetadataBytes) + 1
	}
	return 0
}

// into puts what a chunk says into the header of a still or a film.
func (c webpChunk) into(h *header, film bool) error {
	switch c.kind {
	case "VP8X":
		if len(c.data) < 10 {
			return errors.New("VP8X is cut short")
		}
		h.width, h.height = 1+uint24(c.data[4:]), 1+uint24(c.data[7:])
		h.facts.alpha = h.facts.alpha || c.data[0]&webpAlpha != 0
	case "VP8 ", "VP8L":
		if film {
			return errors.New("has a still among its frames")
		}
		return c.picture(h)
	case "ANIM":
		if len(c.data) >= 6 && film {
			h.plays = int(binary.LittleEndian.Uint16(c.data[4:]))
		}
	case "ANMF":
		if film {
			h.frames++
		}
	case "EXIF":
		if c.n == int64(len(c.data)) {
			h.exif = trimExif(c.data)
		}
	case "ICCP":
		if c.n == int64(len(c.data)) {
			h.icc = c.data
		}
	}
	return nil
}

// picture reads the size of a coded picture.
func (c webpChunk) picture(h *header) error {
	if c.kind == "VP8L" {
		if len(c.data) < 5 || c.data[0] != 0x2F {
			return errors.New("has no VP8L signature")
		}
		bits := binary.LittleEndian.Uint32(c.data[1:])
		h.width, h.height = 1+int(bits&0x3FFF), 1+int(bits>>14&0x3FFF)
		h.bytesPerPixel = 8 // the decoder's transforms keep a second copy
		h.facts.alpha = h.facts.alpha || bits>>28&1 != 0
		return nil
	}
	if len(c.data) < 10 || c.data[3] != 0x9D || c.data[4] != 1 || c.data[5] != 0x2A {
		return errors.New("has no VP8 key frame")
	}
	h.width, h.height = int(binary.LittleEndian.Uint16(c.data[6:])&0x3FFF), int(binary.LittleEndian.Uint16(c.data[8:])&0x3FFF)
	return nil
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
