package raster

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf16"
)

// nameLimit is how many characters of a profile's name are told.
const nameLimit = 100

// profileName is what a profile calls itself, "" where it has no name or is none.
func profileName(icc []byte) string {
	if profileSpace(icc) == "" {
		return ""
	}
	desc := profileTags(icc)["desc"]
	if len(desc) < 12 {
		return ""
	}
	var name string
	switch string(desc[:4]) {
	case "desc": // before version 4: ASCII, with its length and its closing zero
		n := min(int64(binary.BigEndian.Uint32(desc[8:])), int64(len(desc)-12))
		name, _, _ = strings.Cut(string(desc[12:12+n]), "\x00")
	case "mluc": // in several languages: the first
		name = firstOfMany(desc)
	}
	return printable(name)
}

func firstOfMany(b []byte) string {
	if len(b) < 28 || binary.BigEndian.Uint32(b[8:]) == 0 {
		return ""
	}
	n, from := int64(binary.BigEndian.Uint32(b[20:])), int64(binary.BigEndian.Uint32(b[24:]))
	if from+n > int64(len(b)) {
		return ""
	}
	text := b[from : from+n]
	var units []uint16
	for i := 0; i+1 < len(text) && len(units) < 2*nameLimit; i += 2 {
		units = append(units, binary.BigEndian.Uint16(text[i:]))
	}
	return string(utf16.Decode(units))
}

// printable is a stranger's text fit to be shown: a line of characters that can be seen.
func printable(s string) string {
	var out []rune
	for _, r := range strings.ToValidUTF8(s, "") {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar && len(out) < nameLimit {
			out = append(out, r)
		}
	}
	return strings.TrimSpace(string(out))
}

// profileClass is what kind of device a profile is for.
func profileClass(icc []byte) string {
	if profileSpace(icc) == "" {
		return ""
	}
	return map[string]string{"scnr": "input", "mntr": "display", "prtr": "output", "spac": "space"}[string(icc[12:16])]
}
