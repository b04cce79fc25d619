package strict

import "github.com/millrace/millrace"

// maxDepth bounds how deep a JSON document may nest.
const maxDepth = 64

// Scan looks over JSON bytes before they are decoded, without recursion or memory: a document of a million brackets costs a stranger more than
// us. It refuses what nests too deep, and the character U+0000, which PostgreSQL cannot keep in text. That the bytes are JSON at all is for the
// decoder to find.
func Scan(doc []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(doc); i++ {
		switch c := doc[i]; {
		case inString && c == '\\':
			if i+6 <= len(doc) && string(doc[i+1:i+6]) == "u0000" {
				return millrace.Errorf(millrace.Malformed, "the JSON holds the character U+0000, which cannot be kept")
			}
			i++ // the escaped character, a quote perhaps
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return millrace.Errorf(millrace.Malformed, "the JSON nests deeper than %d levels", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}
