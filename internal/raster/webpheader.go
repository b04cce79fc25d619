package raster

import (
	"encoding/binary"
	"errors"
	"io"
)

// maxWebPChunks bounds the walk through a file of tiny chunks.
const maxWebPChunks = 1000

// readWebPHeader walks the chunks. The size is that of the coded picture, not the one the container claims.
func readWebPHeader(r io.ReadSeeker, limits Limits) (header, error) {
	h := header{bytesPerPixel: 4}
	if _, err := r.Seek(12, io.SeekStart); err != nil {
		return h, err
	}
	var coded bool
	for range maxWebPChunks {
		var b [8]byte
		if _, err := io.ReadFull(r, b[:]); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return h, err
		}
		n := int64(binary.LittleEndian.Uint32(b[4:]))
		kind := string(b[:4])
		if kind == "ANIM" || kind == "ANMF" {
			return h, unsupported("animated WebP is not supported in this release; send a still picture or a GIF")
		}
		data := make([]byte, min(n, webpKeep(kind, limits)))
		if _, err := io.ReadFull(r, data); err != nil {
			return h, err
		}
		if err := webpChunk(kind, n, data, &h); err != nil {
			return h, err
		}
		if limits.checkHeader(h) != nil && h.width > 0 {
			return h, nil // the caller says it
		}
		coded = coded || kind == "VP8 " || kind == "VP8L"
		if _, err := r.Seek(n+n&1-int64(len(data)), io.SeekCurrent); err != nil {
			return h, err
		}
	}
	if !coded {
		return h, errors.New("has no picture")
	}
	return h, nil
}

// webpKeep is how many bytes of a chunk are read.
func webpKeep(kind string, limits Limits) int64 {
	switch kind {
	case "VP8 ", "VP8L", "VP8X":
		return 10
	case "EXIF", "ICCP":
		return int64(limits.MetadataBytes) + 1
	}
	return 0
}

func webpChunk(kind string, n int64, data []byte, h *header) error {
	switch kind {
	case "VP8X":
		if len(data) < 10 {
			return errors.New("VP8X is cut short")
		}
		if data[0]&2 != 0 {
			return unsupported("animated WebP is not supported in this release; send a still picture or a GIF")
		}
		h.width, h.height = 1+uint24(data[4:]), 1+uint24(data[7:])
		h.facts.alpha = data[0]&0x10 != 0
	case "VP8 ":
		if len(data) < 10 || data[3] != 0x9D || data[4] != 1 || data[5] != 0x2A {
			return errors.New("has no VP8 key frame")
		}
		h.width, h.height = int(binary.LittleEndian.Uint16(data[6:])&0x3FFF), int(binary.LittleEndian.Uint16(data[8:])&0x3FFF)
	case "VP8L":
		if len(data) < 5 || data[0] != 0x2F {
			return errors.New("has no VP8L signature")
		}
		bits := binary.LittleEndian.Uint32(data[1:])
		h.width, h.height = 1+int(bits&0x3FFF), 1+int(bits>>14&0x3FFF)
		h.facts.alpha = bits>>28&1 != 0
		h.bytesPerPixel = 8 // the decoder's transforms keep a second copy
	case "EXIF":
		if n == int64(len(data)) {
			h.exif = trimExif(data)
		}
	case "ICCP":
		if n == int64(len(data)) {
			h.icc = data
		}
	}
	return nil
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
