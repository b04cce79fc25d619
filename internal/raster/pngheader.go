package raster

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
)

// maxPNGChunks bounds the walk through a file of tiny chunks; metadata behind them is not looked for.
const maxPNGChunks = 20000

// readPNGHeader reads IHDR and looks through the other chunks for metadata. Whether the pixels are all there is the decoder's to find.
func readPNGHeader(r io.ReadSeeker, limits Limits) (header, error) {
	var start [33]byte
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return header{}, err
	}
	if string(start[12:16]) != "IHDR" || binary.BigEndian.Uint32(start[8:]) != 13 {
		return header{}, errors.New("does not begin with IHDR")
	}
	w, ht := binary.BigEndian.Uint32(start[16:]), binary.BigEndian.Uint32(start[20:])
	if w > 1<<31-1 || ht > 1<<31-1 {
		return header{}, errors.New("declares a negative size")
	}
	h := header{width: int(w), height: int(ht), bytesPerPixel: pngBytesPerPixel(start[24], start[25]), grey: start[25] == 0}
	h.facts = facts{depth: int(start[24]), alpha: start[25]&4 != 0, interlaced: start[28] != 0}
	if start[25]&^4 == 0 {
		h.facts.space = "gray"
	}
	if start[28] != 0 {
		h.bytesPerPixel *= 2 // interlaced: each pass is a picture of its own first
	}
	if limits.checkHeader(h) != nil {
		return h, nil // the caller says it
	}
	for range maxPNGChunks {
		if !pngChunk(r, &h, limits) {
			break
		}
	}
	return h, nil
}

// pngBytesPerPixel is the memory that the standard decoder takes for a pixel; the greatest where tRNS may change it.
func pngBytesPerPixel(depth, colorType byte) int {
	n := 4
	if colorType == 3 {
		n = 1
	}
	if depth == 16 {
		n = 8
	}
	return n
}

// pngChunk looks at the next chunk and says whether there may be another.
func pngChunk(r io.ReadSeeker, h *header, limits Limits) bool {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return false
	}
	n := int64(binary.BigEndian.Uint32(b[:4]))
	kind := string(b[4:])
	if kind == "IEND" || n > 1<<31-1 {
		return false
	}
	switch kind {
	case "tRNS":
		h.facts.alpha = true
	case "eXIf", "iCCP", "acTL":
		if n <= int64(limits.MetadataBytes) {
			data := make([]byte, n)
			if _, err := io.ReadFull(r, data); err != nil {
				return false
			}
			pngMetadata(kind, data, h, limits)
			n = 0
		}
	}
	_, err := r.Seek(n+4, io.SeekCurrent)
	return err == nil
}

func pngMetadata(kind string, data []byte, h *header, limits Limits) {
	switch kind {
	case "eXIf":
		h.exif = data
	case "acTL":
		if len(data) == 8 {
			h.frames = int(min(binary.BigEndian.Uint32(data), 1<<30))
		}
	case "iCCP":
		if _, packed, ok := bytes.Cut(data, []byte{0}); ok && len(packed) > 1 {
			h.icc = inflate(packed[1:], limits.MetadataBytes)
		}
	}
}

// inflate unpacks at most limit bytes, or nothing at all.
func inflate(packed []byte, limit int) []byte {
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(z, int64(limit)+1))
	if err != nil || len(data) > limit {
		return nil
	}
	return data
}
