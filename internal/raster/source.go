package raster

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

// source reads the input and remembers what went wrong with reading itself, because decoders turn every error of a reader into one of the
// picture. Reads fail once the context has ended, which is how a decoder is stopped.
type source struct {
	ctx      context.Context
	in       tasks.InputFile
	err      error
	length   int64
	pos      int64
	progress func(part float64)
}

// openSource opens an input of a call.
func openSource(ctx context.Context, call *tasks.Call, i int) (*source, error) {
	in, err := call.Open(ctx, i)
	if err != nil {
		return nil, fmt.Errorf("open the picture: %w", err)
	}
	return &source{ctx: ctx, in: in, length: call.Inputs()[i].Size}, nil
}

// Close implements io.Closer.
func (s *source) Close() error { return s.in.Close() }

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if err := context.Cause(s.ctx); err != nil {
		return 0, err
	}
	n, err := s.in.Read(p)
	s.pos += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	if s.progress != nil && s.length > 0 {
		s.progress(min(1, float64(s.pos)/float64(s.length)))
	}
	return n, err
}

// Seek implements io.Seeker.
func (s *source) Seek(offset int64, whence int) (int64, error) {
	pos, err := s.in.Seek(offset, whence)
	if err != nil {
		s.err = err
		return 0, fmt.Errorf("seek in the picture: %w", err)
	}
	s.pos = pos
	return pos, nil
}

// cause is the true reason behind a decoder's error: the context's end or a failed read before the picture's own fault.
func (s *source) cause(err error) error {
	if cause := context.Cause(s.ctx); cause != nil {
		return cause
	}
	if s.err != nil {
		if e, ok := errors.AsType[*millrace.Error](s.err); ok {
			return e
		}
		return fmt.Errorf("read the picture: %w", s.err)
	}
	return err
}

// path is the name of the file that has the input, or "" where it lies elsewhere.
func (s *source) path() string {
	if f, ok := s.in.(interface{ Name() string }); ok {
		return f.Name()
	}
	return ""
}
