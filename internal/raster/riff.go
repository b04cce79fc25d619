package raster

import (
	"encoding/binary"
	"errors"
	"image"
)

// The flags of a VP8X chunk.
const (
	webpAnimation = 1 << 1
	webpEXIF      = 1 << 3
	webpAlpha     = 1 << 4
	webpICC       = 1 << 5
)

// maxWebPSide is the longest side that a WebP can state.
const maxWebPSide = 16383

// riffChunk appends a chunk: its name, its length, its parts, and a zero where that makes it even.
func riffChunk(out []byte, name string, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out = append(out, name...)
	out = binary.LittleEndian.AppendUint32(out, uint32(n))
	for _, p := range parts {
		out = append(out, p...)
	}
	if n%2 != 0 {
		out = append(out, 0)
	}
	return out
}

// riffFile wraps chunks into a WebP.
func riffFile(chunks []byte) []byte {
	out := make([]byte, 0, 12+len(chunks))
	out = binary.LittleEndian.AppendUint32(append(out, "RIFF"...), uint32(4+len(chunks)))
	return append(append(out, "WEBP"...), chunks...)
}

// vp8x is the body of the chunk that begins a WebP of more than a picture.
func vp8x(flags byte, size image.Point) []byte {
	return putUint24(putUint24([]byte{flags, 0, 0, 0}, size.X-1), size.Y-1)
}

func putUint24(out []byte, v int) []byte { return append(out, byte(v), byte(v>>8), byte(v>>16)) }

// webpPicture cuts the chunks of the picture itself, VP8L or VP8 and the ALPH before it, out of an encoded still.
func webpPicture(file []byte) ([]byte, error) {
	if len(file) < 12 || riff(file) != "WEBP" {
		return nil, errors.New("encoded to something that is no WebP")
	}
	var out []byte
	for rest := file[12:]; len(rest) >= 8; {
		n := 8 + int(binary.LittleEndian.Uint32(rest[4:]))
		n = min(n+n&1, len(rest))
		switch string(rest[:4]) {
		case "ALPH", "VP8 ", "VP8L":
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	if out == nil {
		return nil, errors.New("encoded to a WebP without a picture")
	}
	return out, nil
}

// withMetadata is an encoded still that carries a profile and EXIF.
func withMetadata(file []byte, size image.Point, alpha bool, exif, icc []byte) ([]byte, error) {
	if exif == nil && icc == nil {
		return file, nil
	}
	picture, err := webpPicture(file)
	if err != nil {
		return nil, err
	}
	var flags byte
	if alpha {
		flags |= webpAlpha
	}
	if exif != nil {
		flags |= webpEXIF
	}
	if icc != nil {
		flags |= webpICC
	}
	out := riffChunk(nil, "VP8X", vp8x(flags, size))
	if icc != nil {
		out = riffChunk(out, "ICCP", icc)
	}
	out = append(out, picture...)
	if exif != nil {
		out = riffChunk(out, "EXIF", exif)
	}
	return riffFile(out), nil
}
