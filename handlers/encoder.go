package handlers

import (
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/tasks"
)

// encoding is one codec at one level. Every encoder works in the goroutine that writes to it: jobs run side by side already, and the same
// input must give the same bytes wherever it runs.
type encoding struct {
	suffix string
	memory int64 // what the encoder holds at most, with its tables
	open   func(w io.Writer, size int64) (io.WriteCloser, error)
}

// encodingFor maps the four names of levels to each codec's own. Memory is the measured peak, rounded up.
func encodingFor(codec, level string) (encoding, error) {
	switch codec {
	case tasks.Gzip:
		if n, ok := map[string]int{"fastest": 1, "default": 6, "better": 7, "best": 9}[level]; ok {
			return encoding{".gz", 2 << 20, gzipEncoder(n)}, nil
		}
	case tasks.Zstd:
		switch level {
		case "fastest":
			return encoding{".zst", 16 << 20, zstdEncoder(zstd.SpeedFastest)}, nil
		case "default":
			return encoding{".zst", 24 << 20, zstdEncoder(zstd.SpeedDefault)}, nil
		case "better":
			return encoding{".zst", 32 << 20, zstdEncoder(zstd.SpeedBetterCompression)}, nil
		case "best":
			return encoding{".zst", 64 << 20, zstdEncoder(zstd.SpeedBestCompression)}, nil
		}
	case tasks.S2:
		switch level {
		case "fastest", "default":
			return encoding{".s2", 8 << 20, s2Encoder()}, nil
		case "better":
			return encoding{".s2", 8 << 20, s2Encoder(s2.WriterBetterCompression())}, nil
		case "best":
			return encoding{".s2", 16 << 20, s2Encoder(s2.WriterBestCompression())}, nil
		}
	}
	return encoding{}, fmt.Errorf("no encoder for codec %q at level %q", codec, level)
}

// gzipEncoder leaves the header without a name, and says of the time that there is none (RFC 1952: 0): the zero time.Time would come out as a
// day in 2042.
func gzipEncoder(level int) func(io.Writer, int64) (io.WriteCloser, error) {
	return func(w io.Writer, _ int64) (io.WriteCloser, error) {
		z, err := gzip.NewWriterLevel(w, level)
		if err != nil {
			return nil, err
		}
		z.ModTime = time.Unix(0, 0)
		return z, nil
	}
}

// zstdEncoder writes the content size into the frame, so that zstd -l shows it and a decoder can refuse early, and a frame even for nothing:
// zstd -d does not take an empty file.
func zstdEncoder(level zstd.EncoderLevel) func(io.Writer, int64) (io.WriteCloser, error) {
	return func(w io.Writer, size int64) (io.WriteCloser, error) {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true))
		if err != nil {
			return nil, err
		}
		e.ResetContentSize(w, size)
		return e, nil
	}
}

// s2Encoder begins even an empty stream with its identifier, which the library leaves out: nobody could tell what the output is.
func s2Encoder(options ...s2.WriterOption) func(io.Writer, int64) (io.WriteCloser, error) {
	return func(w io.Writer, size int64) (io.WriteCloser, error) {
		if size == 0 {
			if _, err := io.WriteString(w, s2Magic); err != nil {
				return nil, err
			}
		}
		return s2.NewWriter(w, append([]s2.WriterOption{s2.WriterConcurrency(1)}, options...)...), nil
	}
}
