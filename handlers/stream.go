package handlers

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/tasks"
)

// chunk is how much a streaming handler moves between two looks at its context.
const chunk = 256 << 10

// nameLimit is the longest name of a file in bytes.
const nameLimit = 255

// source reads an input for a codec or parser. It counts bytes as progress, ends with the context, and takes no early end for the end. It
// remembers its own failure: a store that breaks off gives the very errors (io.ErrUnexpectedEOF) by which a codec says that the input is
// corrupt, and only the latter is final.
type source struct {
	ctx   context.Context // of the one call that the source lives in
	call  *tasks.Call
	in    io.Reader
	total int64

	done int64
	err  error // what the input failed with, never io.EOF
}

// openSource opens the call's only input.
func openSource(ctx context.Context, call *tasks.Call) (*source, io.Closer, error) {
	in, err := call.Open(ctx, 0)
	if err != nil {
		return nil, nil, err
	}
	s := &source{ctx: ctx, call: call, in: in, total: call.Inputs()[0].Size}
	call.Progress(0, s.total, "bytes", "")
	return s, in, nil
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.err = context.Cause(s.ctx)
		return 0, s.err
	}
	n, err := s.in.Read(p[:min(len(p), chunk)])
	if n > 0 {
		s.done += int64(n)
		s.call.Progress(s.done, s.total, "bytes", "")
	}
	if err == io.EOF && s.done != s.total {
		err = fmt.Errorf("input ended after %d of %d bytes", s.done, s.total)
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// fault tells whose fault err is: the context's or the input's own failure when there was one, else err as the codec worded it.
func (s *source) fault(err error) (own error, ok bool) {
	if err := s.ctx.Err(); err != nil {
		return context.Cause(s.ctx), true
	}
	if s.err != nil {
		return s.err, true
	}
	return err, false
}

// withSuffix is base with suffix behind it, cut so that the whole stays a legal name: what is left of a name when its own suffix has gone may end
// with a space, or be dots alone.
func withSuffix(base, suffix string) string {
	base = strings.TrimSpace(base)
	if strings.Trim(base, ". ") == "" {
		base = "output"
	}
	for len(base)+len(suffix) > nameLimit {
		_, size := utf8.DecodeLastRuneInString(base)
		base = base[:len(base)-size]
	}
	return base + suffix
}

// trimSuffixFold is strings.CutSuffix without regard to case, for suffixes in ASCII.
func trimSuffixFold(s, suffix string) (string, bool) {
	if len(s) <= len(suffix) || !strings.EqualFold(s[len(s)-len(suffix):], suffix) {
		return s, false
	}
	return s[:len(s)-len(suffix)], true
}

// counter counts what passes and remembers the writer's own failure apart from the codec's.
type counter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}
