package csvstat

import (
	"bytes"
	"io"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

const bufferSize = 64 << 10

// guard stands between the input and the CSV reader, which by itself would keep a record of any size. It bounds what is read for one record,
// give or take two buffers, and refuses bytes that are no UTF-8 text with the line they are on.
type guard struct {
	r         io.Reader
	delimiter byte                    // counted when it is ASCII; 0: not
	report    func(what string) error // words an overflow with the line where the record begins

	buf     []byte
	ready   []byte // of buf: checked and not yet handed out
	rest    []byte // behind ready: the beginning of a character
	line    int    // lines read so far
	readErr error  // what comes when ready is empty

	err   error // why the guard itself stopped; the CSV reader may report a consequence instead
	bytes int   // handed out since the last record, empty lines before it not counted
	cells int
	blank bool // only empty lines since the last record
}

func newGuard(r io.Reader) *guard {
	return &guard{r: r, buf: make([]byte, bufferSize), rest: make([]byte, 0, utf8.UTFMax), blank: true}
}

// recordDone starts the count for the next record.
func (g *guard) recordDone() { g.bytes, g.cells, g.blank = 0, 0, true }

func (g *guard) Read(p []byte) (int, error) {
	for len(g.ready) == 0 {
		if g.err != nil {
			return 0, g.err
		}
		if g.readErr != nil {
			return 0, g.readErr
		}
		g.fill()
	}
	n := copy(p, g.ready)
	g.ready = g.ready[n:]
	if g.count(p[:n]); g.err != nil {
		return 0, g.err
	}
	return n, nil
}

// fill reads on and checks what came.
func (g *guard) fill() {
	kept := copy(g.buf, g.rest)
	n, err := g.r.Read(g.buf[kept:])
	p := g.buf[:kept+n]
	g.readErr = err
	whole := len(p)
	if err == nil {
		whole -= cutCharacter(p)
	}
	if g.err = g.check(p[:whole]); g.err != nil {
		return
	}
	g.line += bytes.Count(p[:whole], []byte{'\n'})
	g.ready, g.rest = p[:whole], append(g.rest[:0], p[whole:]...)
}

// check refuses what is no text.
func (g *guard) check(p []byte) error {
	if i := bytes.IndexByte(p, 0); i >= 0 {
		return millrace.BadInput(millrace.CodeInvalidInput, "line %d holds a NUL byte: the input is not a text file", g.lineOf(p[:i]))
	}
	if utf8.Valid(p) {
		return nil
	}
	i := firstInvalid(p)
	return millrace.BadInput(millrace.CodeInvalidInput, "line %d is not valid UTF-8 (byte 0x%02x): convert the input first", g.lineOf(p[:i]), p[i])
}

func (g *guard) lineOf(before []byte) int { return g.line + 1 + bytes.Count(before, []byte{'\n'}) }

// count holds a piece against the bounds of a record.
func (g *guard) count(p []byte) {
	if g.blank {
		p = bytes.TrimLeft(p, "\r\n")
		g.blank = len(p) == 0
	}
	g.bytes += len(p)
	if g.delimiter != 0 {
		g.cells += bytes.Count(p, []byte{g.delimiter})
	}
	switch {
	case g.bytes > MaxRecord+bufferSize:
		g.err = g.report("is larger than the limit of 4 MiB; is a quote left open?")
	case g.cells > maxCells+bufferSize:
		g.err = g.report("has more than 200000 delimiters")
	}
}

// cutCharacter is the number of bytes at the end of p that may be the beginning of a character.
func cutCharacter(p []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if tail := p[len(p)-i:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return i
		}
	}
	return 0
}

func firstInvalid(p []byte) int {
	for i := 0; i < len(p); {
		r, size := utf8.DecodeRune(p[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return 0
}
