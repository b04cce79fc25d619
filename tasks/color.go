package tasks

import (
	"encoding/hex"
	"image/color"
	"strings"
)

// ParseColor reads #rgb, #rrggbb, #rrggbbaa or "transparent".
func ParseColor(s string) (color.NRGBA, bool) {
	if s == "transparent" {
		return color.NRGBA{}, true
	}
	digits, ok := strings.CutPrefix(s, "#")
	if !ok {
		return color.NRGBA{}, false
	}
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	if len(digits) == 6 {
		digits += "ff"
	}
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != 4 {
		return color.NRGBA{}, false
	}
	return color.NRGBA{R: b[0], G: b[1], B: b[2], A: b[3]}, true
}
