package blob

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	sumLen  = 64 // hex digits of a SHA-256
	saltLen = 32 // hex digits of the random part
)

// NewKey makes a key for content with this SHA-256 (hex, lower case) that has never been used before.
func NewKey(sha256 string) string {
	var salt [saltLen / 2]byte
	rand.Read(salt[:])
	return sha256 + "/" + hex.EncodeToString(salt[:])
}

// SplitKey takes a key apart. Anything but lower-case hex of the right lengths around one slash is an error, so the parts are safe to build
// a path or an object's name from.
func SplitKey(key string) (sha256, salt string, err error) {
	sha256, salt, ok := strings.Cut(key, "/")
	if !ok || !isHex(sha256, sumLen) || !isHex(salt, saltLen) {
		return "", "", fmt.Errorf("blob key %.100q is malformed", key)
	}
	return sha256, salt, nil
}

func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
