package postgres

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// parseID reads an id in its one spelling: 36 characters, lower case. Ids come from URLs, so anything else is simply an id that does not exist.
func parseID(s string) (id pgtype.UUID, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' || strings.ToLower(s) != s {
		return id, false
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(id.Bytes[:], []byte(digits)); err != nil {
		return id, false
	}
	id.Valid = true
	return id, true
}

// orNull is NULL for the empty string.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// orNever is NULL for the zero time.
func orNever(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// orZero is the zero time for NULL.
func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// clean makes text that a handler or a client made up storable: PostgreSQL takes neither invalid UTF-8 nor NUL, and an outcome that cannot be
// written would keep its job running for ever.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
