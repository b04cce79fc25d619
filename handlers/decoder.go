package handlers

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

// The stream identifiers of the s2 and Snappy framing.
const (
	s2Magic     = "\xff\x06\x00\x00S2sTwO"
	snappyMagic = "\xff\x06\x00\x00sNaPpY"
)

const (
	maxWindow   = 128 << 20 // of zstd, as the stock zstd refuses more unless told otherwise
	plainWindow = 32 << 20  // what a later frame may want although the first one was smaller: our own best level uses it
)

// decoding is an input of a known codec, looked at but not yet opened.
type decoding struct {
	codec    string
	suffixes []suffix
	size     int64  // of the output, -1 while unknown; a claim of the first frame, no more
	window   uint64 // of zstd, at most
	memory   int64  // what the decoder holds at most
}

// suffix is an ending of file names and what takes its place.
type suffix struct{ packed, plain string }

// sniff tells the codec from the first bytes and reads what the header claims, before anything is allocated for it.
func sniff(r *bufio.Reader, want string) (decoding, error) {
	head, err := r.Peek(zstd.HeaderMaxSize)
	if err != nil && err != io.EOF {
		return decoding{}, err
	}
	codec := codecOf(head)
	switch {
	case len(head) == 0:
		return decoding{}, millrace.BadInput(millrace.CodeUnsupportedFormat, "the input is empty")
	case codec == "" && want == tasks.AutoCodec:
		return decoding{}, millrace.BadInput(millrace.CodeUnsupportedFormat,
			"the input is not compressed with gzip, zstd or s2: it begins with % x", head[:min(4, len(head))])
	case codec != want && want != tasks.AutoCodec:
		return decoding{}, millrace.BadInput(millrace.CodeUnsupportedFormat, "the input is no %s file", want)
	}
	switch codec {
	case tasks.Gzip:
		return decoding{codec: codec, suffixes: []suffix{{".tgz", ".tar"}, {".gz", ""}}, size: -1, memory: 1 << 20}, nil
	case tasks.S2:
		return decoding{codec: codec, suffixes: []suffix{{".s2", ""}, {".sz", ""}, {".snappy", ""}}, size: -1, memory: 10 << 20}, nil
	}
	return sniffZstd(head)
}

func sniffZstd(head []byte) (decoding, error) {
	d := decoding{codec: tasks.Zstd, suffixes: []suffix{{".tzst", ".tar"}, {".zst", ""}, {".zstd", ""}}, size: -1, window: plainWindow}
	var h zstd.Header
	if err := h.Decode(head); err != nil {
		return decoding{}, corrupt(tasks.Zstd, err)
	}
	if !h.Skippable {
		if h.HasFCS {
			d.size = int64(min(h.FrameContentSize, 1<<62))
		}
		wanted := h.WindowSize
		if h.SingleSegment {
			wanted = h.FrameContentSize
		}
		d.window = max(d.window, wanted)
	}
	if d.window > maxWindow {
		return decoding{}, windowTooLarge()
	}
	d.memory = int64(d.window) + 8<<20
	return d, nil
}

func windowTooLarge() error {
	return millrace.BadInput(millrace.CodeTooLarge, "the input wants a zstd window of more than %d MiB", maxWindow>>20)
}

// codecOf knows the magic bytes of RFC 1952, RFC 8878 (also of a skippable frame, which may come first) and of the s2 and Snappy framing.
func codecOf(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return tasks.Gzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return tasks.Zstd
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.HasPrefix(head[1:], []byte{0x2a, 0x4d, 0x18}):
		return tasks.Zstd
	case bytes.HasPrefix(head, []byte(s2Magic)), bytes.HasPrefix(head, []byte(snappyMagic)):
		return tasks.S2
	}
	return ""
}

// open starts the decoder. Members of gzip, frames of zstd and streams of s2 follow one another as one output.
func (d decoding) open(r io.Reader) (io.ReadCloser, error) {
	switch d.codec {
	case tasks.Gzip:
		return gzip.NewReader(r)
	case tasks.S2:
		return io.NopCloser(s2.NewReader(r)), nil
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeBuffersBelow(0),
		zstd.WithDecoderMaxWindow(d.window), zstd.WithDecoderMaxMemory(1<<62))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}

// outputName takes the codec's suffix off a file's name; without one the output is told from the input by .out.
func (d decoding) outputName(name string) string {
	for _, s := range d.suffixes {
		if base, ok := trimSuffixFold(name, s.packed); ok {
			return withSuffix(base, s.plain)
		}
	}
	return withSuffix(name, ".out")
}

// corrupt words what a decoder found. All of it is the input's own fault: the source keeps failures of the store apart.
func corrupt(codec string, err error) error {
	what := "is damaged"
	switch {
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return windowTooLarge()
	case errors.Is(err, zstd.ErrUnknownDictionary):
		return millrace.BadInput(millrace.CodeUnsupportedFormat, "the input needs a zstd dictionary")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		what = "is truncated: it ends in the middle of the compressed data"
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, zstd.ErrCRCMismatch), errors.Is(err, s2.ErrCRC):
		what = "is damaged: its checksum or length does not match its content"
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, zstd.ErrMagicMismatch):
		what = "is damaged, or something else follows the end of the compressed data"
	}
	return &millrace.Error{Kind: millrace.Invalid, Code: millrace.CodeCorrupt, Detail: "the " + codec + " input " + what, Err: err}
}
