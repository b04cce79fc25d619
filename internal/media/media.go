// Package media tells what bytes are and makes names safe. It looks at bytes and names only; nothing here decodes.
package media

import (
	"bytes"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SniffLen is how many leading bytes ContentType looks at.
const SniffLen = 512

// signatures are formats that net/http does not know, by their first bytes.
var signatures = [...]struct{ magic, contentType string }{
	{"\x28\xb5\x2f\xfd", "application/zstd"},
	{"II*\x00", "image/tiff"},
	{"MM\x00*", "image/tiff"},
	{"BZh", "application/x-bzip2"},
	{"\xfd7zXZ\x00", "application/x-xz"},
}

// ContentType tells the media type from a file's first bytes, at most SniffLen of them. What it cannot tell is application/octet-stream. A type
// that a browser would run is told as what it is; serving it safely is the server's part.
func ContentType(head []byte) string {
	if len(head) > SniffLen {
		head = head[:SniffLen]
	}
	for _, s := range signatures {
		if bytes.HasPrefix(head, []byte(s.magic)) {
			return s.contentType
		}
	}
	if len(head) >= 12 && string(head[4:8]) == "ftyp" && bytes.Contains(head[8:min(len(head), 32)], []byte("avif")) {
		return "image/avif"
	}
	t := http.DetectContentType(head)
	if t == "application/x-gzip" {
		return "application/gzip" // RFC 6713
	}
	return t
}

// MaxName bounds a file name in bytes.
const MaxName = 255

// CleanName makes a plain file name of what a client calls a file: the part after the last slash or backslash, without control characters, at
// most MaxName bytes of UTF-8 with its extension kept. Where nothing is left the name is "file".
func CleanName(name string) string {
	name = strings.ToValidUTF8(name, "")
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		// Bidirectional controls can make "gpj.exe" look like "exe.jpg".
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, name)
	name = strings.TrimSpace(name)
	if strings.Trim(name, ". ") == "" {
		return "file"
	}
	return shorten(name)
}

func shorten(name string) string {
	if len(name) <= MaxName {
		return name
	}
	ext := ""
	if i := strings.LastIndexByte(name, '.'); i > 0 && len(name)-i <= 16 {
		ext = name[i:]
	}
	cut := MaxName - len(ext)
	for cut > 0 && !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + ext
}
