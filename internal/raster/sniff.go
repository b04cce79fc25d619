package raster

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Format is what a file's first bytes say it is. Names and content types do not count.
type Format string

// The formats that this engine reads.
const (
	JPEG Format = "jpeg"
	PNG  Format = "png"
	GIF  Format = "gif"
	WebP Format = "webp"
	AVIF Format = "avif"
	TIFF Format = "tiff"
)

// label is the format's name in a sentence.
func (f Format) label() string {
	if f == WebP {
		return "WebP"
	}
	return strings.ToUpper(string(f))
}

// sniffLen is how many bytes sniff looks at.
const sniffLen = 32

const readable = "JPEG, PNG, GIF, WebP, AVIF and TIFF are read"

// sniff tells the format from a file's first bytes.
func sniff(head []byte) (Format, error) {
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return JPEG, nil
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return PNG, nil
	case bytes.HasPrefix(head, []byte("GIF87a")), bytes.HasPrefix(head, []byte("GIF89a")):
		return GIF, nil
	case riff(head) == "WEBP":
		return WebP, nil
	case isAVIF(head):
		return AVIF, nil
	case bytes.HasPrefix(head, []byte("II*\x00")), bytes.HasPrefix(head, []byte("MM\x00*")):
		return TIFF, nil
	case len(head) == 0:
		return "", unsupported("the file is empty; %s", readable)
	}
	if name := foreign(head); name != "" {
		return "", unsupported("%s is not supported; %s", name, readable)
	}
	return "", unsupported("the bytes are no picture that is known here; %s", readable)
}

func riff(head []byte) string {
	if len(head) >= 12 && string(head[:4]) == "RIFF" {
		return string(head[8:12])
	}
	return ""
}

// isAVIF looks for a brand that is AVIF's among those that a file declares: the major one, or one that it says it is compatible with.
func isAVIF(head []byte) bool {
	if len(head) < 12 || string(head[4:8]) != "ftyp" {
		return false
	}
	end := min(len(head), int(min(binary.BigEndian.Uint32(head), sniffLen)))
	for at := 8; at+4 <= end; at += 4 {
		if brand := string(head[at : at+4]); at != 12 && (brand == "avif" || brand == "avis") {
			return true
		}
	}
	return false
}

// foreign names a well-known format that is not read, so that the refusal can say what the file is.
func foreign(head []byte) string {
	if len(head) >= 12 && string(head[4:8]) == "ftyp" {
		switch string(head[8:12]) {
		case "heic", "heix", "hevc", "hevx", "mif1", "msf1":
			return "HEIF"
		}
		return "a film"
	}
	for _, known := range []struct{ prefix, name string }{
		{"BM", "BMP"}, {"%PDF-", "PDF"}, {"%!PS", "PostScript"},
		{"8BPS", "Photoshop"}, {"\x00\x00\x01\x00", "ICO"}, {"<svg", "SVG"}, {"<?xml", "XML (SVG too)"},
	} {
		if bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte(known.prefix)) {
			return known.name
		}
	}
	return ""
}
